package inference

import (
	"context"
	"path"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
)

// MaxTensors is the most inputs, and the most outputs, of one message.
const MaxTensors = 1 << 14

// Infer is the call ModelInfer, which f answers, unless admit fails, which is asked before the message is decoded; nil:
// nobody is asked. A message of more than parts tensors, parameters and texts together is refused before memory is
// claimed for them: an empty tensor has two bytes on the wire, and a hundred times as many here.
func Infer(parts int, admit func(ctx context.Context, model, version string) error, f func(context.Context, *ModelInferRequest) (*ModelInferResponse, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: path.Base(ModelInfer), Handler: func(_ any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		var raw emptypb.Empty // to which all fields are unknown: it keeps their bytes
		if err := decode(&raw); err != nil {
			return nil, err
		}
		b := raw.ProtoReflect().GetUnknown()
		if admit != nil {
			model, _ := Text(b, 1) // a message that cannot be read is refused below
			version, _ := Text(b, 2)
			if err := admit(ctx, model, version); err != nil {
				return nil, err
			}
		}
		in := &ModelInferRequest{}
		if err := Unmarshal(b, in, parts); err != nil {
			return nil, err
		}
		h := func(ctx context.Context, in any) (any, error) { return f(ctx, in.(*ModelInferRequest)) }
		if i == nil {
			return h(ctx, in)
		}
		return i(ctx, in, &grpc.UnaryServerInfo{FullMethod: ModelInfer}, h)
	}}
}

// Text is a field of a message that has a text, the last of which counts: of a request 1 is the model's name and 2 its
// version. "": there is none. whole says that all readers of the message see this one: that it can be read to its end, and
// has no field of a number that there cannot be, of which readers in C++ and Java keep the low bits, as those of another field.
func Text(b []byte, field protowire.Number) (text string, whole bool) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 || number > protowire.MaxValidNumber {
			return text, false
		}
		b = b[n:]
		if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return text, false
		}
		if number == field && kind == protowire.BytesType {
			v, _ := protowire.ConsumeBytes(b)
			text = string(v)
		}
		b = b[n:]
	}
	return text, true
}

// Unmarshal reads a request or a response of ModelInfer that has at most parts
// tensors, parameters and texts together, and MaxTensors tensors. Errors have a gRPC status.
func Unmarshal(b []byte, into proto.Message, parts int) error {
	if tooMany(b) {
		return status.Errorf(codes.InvalidArgument, "more than %d tensors", MaxTensors)
	}
	if n := count(b, message, parts+1); n > parts {
		return status.Errorf(codes.InvalidArgument, "more than %d tensors, parameters and texts", parts)
	}
	if err := proto.Unmarshal(b, into); err != nil {
		return status.Error(codes.InvalidArgument, "no message of the protocol")
	}
	return nil
}

// tooMany reports whether a message has more tensors than MaxTensors, which take a hundred times as much as a text.
func tooMany(b []byte) bool {
	n := map[protowire.Number]int{}
	for len(b) > 0 {
		number, kind, size := protowire.ConsumeField(b)
		if size < 0 {
			return false
		}
		if _, tensor := message[number]; tensor && kind == protowire.BytesType {
			if n[number]++; n[number] > MaxTensors {
				return true
			}
		}
		b = b[size:]
	}
	return false
}

// nesting says which fields of a message are messages themselves.
type nesting map[protowire.Number]nesting

var (
	tensorFields = nesting{4: {2: {}}, 5: {}} // parameters and contents
	message      = nesting{4: {2: {}}, 5: tensorFields, 6: {2: {2: {}}}}
)

// count is the number of fields with a length in a message and those in it, as far
// as most.
func count(b []byte, in nesting, most int) int {
	n := 0
	for len(b) > 0 && n < most {
		number, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return n
		}
		b = b[size:]
		if size = protowire.ConsumeFieldValue(number, kind, b); size < 0 {
			return n
		}
		if kind == protowire.BytesType {
			n++
			if inner := in[number]; inner != nil {
				value, _ := protowire.ConsumeBytes(b)
				n += count(value, inner, most-n)
			}
		}
		b = b[size:]
	}
	return n
}
