package inference

import (
	"context"
	"fmt"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Method is one call of the service, which f answers. name is its full name, one
// of this package's.
func Method[In, Out any](name string, f func(context.Context, *In) (*Out, error)) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: path.Base(name), Handler: func(_ any, ctx context.Context, decode func(any) error, i grpc.UnaryServerInterceptor) (any, error) {
		in := new(In)
		if err := decode(in); err != nil {
			return nil, err
		}
		h := func(ctx context.Context, in any) (any, error) { return f(ctx, in.(*In)) }
		if i == nil {
			return h(ctx, in)
		}
		return i(ctx, in, &grpc.UnaryServerInfo{FullMethod: name}, h)
	}}
}

// Register puts the service with some of its calls on a server; the others are
// answered with UNIMPLEMENTED.
func Register(s grpc.ServiceRegistrar, calls ...grpc.MethodDesc) {
	s.RegisterService(&grpc.ServiceDesc{ServiceName: Service, HandlerType: (*any)(nil), Methods: calls, Metadata: protocolFile}, nil)
}

// protocolFile is how reflection calls the file that Descriptors has.
const protocolFile = "open_inference_protocol.proto"

// Descriptors are what reflection tells of the service: the messages and the
// service under the names that the protocol gives them, in a registry of their
// own, in which names that it lacks are looked for in the program's.
func Descriptors() (protodesc.Resolver, error) {
	f := protodesc.ToFileDescriptorProto(File_host_serve_inference_inference_proto)
	ours, theirs := "."+f.GetPackage()+".", "."+strings.TrimSuffix(Service, ".GRPCInferenceService")+"."
	rename := func(name *string) *string {
		if name == nil {
			return nil
		}
		renamed := strings.Replace(*name, ours, theirs, 1)
		return &renamed
	}
	name, pkg := protocolFile, strings.Trim(theirs, ".")
	f.Name, f.Package = &name, &pkg
	var walk func([]*descriptorpb.DescriptorProto)
	walk = func(messages []*descriptorpb.DescriptorProto) {
		for _, m := range messages {
			for _, field := range m.Field {
				field.TypeName = rename(field.TypeName)
			}
			walk(m.NestedType)
		}
	}
	walk(f.MessageType)
	for _, s := range f.Service {
		for _, m := range s.Method {
			m.InputType, m.OutputType = rename(m.InputType), rename(m.OutputType)
		}
	}
	file, err := protodesc.NewFile(f, protoregistry.GlobalFiles)
	if err != nil {
		return nil, fmt.Errorf("inference: %w", err)
	}
	files := &protoregistry.Files{}
	if err := files.RegisterFile(file); err != nil {
		return nil, fmt.Errorf("inference: %w", err)
	}
	return resolver{files}, nil
}

// resolver looks in files before it looks in those of the program.
type resolver struct{ files *protoregistry.Files }

func (r resolver) FindFileByPath(path string) (protoreflect.FileDescriptor, error) {
	if f, err := r.files.FindFileByPath(path); err == nil {
		return f, nil
	}
	return protoregistry.GlobalFiles.FindFileByPath(path)
}

func (r resolver) FindDescriptorByName(name protoreflect.FullName) (protoreflect.Descriptor, error) {
	if d, err := r.files.FindDescriptorByName(name); err == nil {
		return d, nil
	}
	return protoregistry.GlobalFiles.FindDescriptorByName(name)
}
