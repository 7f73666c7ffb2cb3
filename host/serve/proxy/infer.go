package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// maxParts is the most tensors, parameters and texts of one message.
const maxParts = 1 << 20

// noMessage refuses what others may read otherwise than the guard: it would be another model there than here.
const noMessage = "no message of the protocol: it cannot be read to its end, or has fields that there cannot be"

// infer answers ModelInfer.
func (p *Proxy) infer(ctx context.Context, s grpc.ServerStream) error {
	in := &frame{}
	if err := s.RecvMsg(in); err != nil {
		return err
	}
	size := int64(len(in.b)) // which is held until its answer is there
	defer p.held.Add(-size)
	if p.held.Add(size) > 16*p.o.MaxBody {
		p.counts.refused.Add(1)
		return status.Error(codes.ResourceExhausted, "the guard holds as many messages as it has memory for")
	}
	name, whole := inference.Text(in.b, 1)
	if !whole {
		p.counts.refused.Add(1)
		return status.Error(codes.InvalidArgument, noMessage)
	}
	if strings.ContainsRune(name, 0) {
		p.counts.refused.Add(1)
		return status.Error(codes.InvalidArgument, zeroByte)
	}
	if p.has(name) {
		return p.ownCall(s, inference.ModelInfer, in)
	}
	t := p.of(name)
	to := p.models()[0]
	if t != nil {
		to = t
	} else {
		p.counts.passed.Add(1)
	}
	if to.conn == nil {
		return status.Error(codes.Unimplemented, "the model's server has no gRPC here")
	}
	var a *asked
	var note string
	if t != nil && t.Policy != Observe {
		err := p.admit(ctx, t, caller(ctx))
		var q tensors.Request
		if err == nil {
			q, err = request(in.b)
		}
		if err == nil {
			a, err = p.read(t, q)
		}
		if err != nil {
			if note, err = p.unjudged(t, err); err != nil {
				return call(err)
			}
		} else {
			defer a.done()
		}
	}
	out := &frame{}
	var head, trail metadata.MD
	asked, answered := p.tracedCall(ctx)
	err := to.conn.Invoke(asked, inference.ModelInfer, in, out, grpc.Header(&head), grpc.Trailer(&trail))
	answered(err)
	if c := status.Code(err); t != nil && (c == codes.Unavailable || c == codes.DeadlineExceeded) {
		p.o.Kinds.Doubt(t.URL)
	}
	if len(head) > 0 {
		_ = s.SetHeader(ofCall(head)) // fails where the caller is gone
	}
	s.SetTrailer(trail)
	if err != nil {
		return err
	}
	switch {
	case note != "":
		s.SetTrailer(metadata.Pairs("x-vaeguard-verdict", note))
	case a != nil:
		if out, err = p.verdictCall(ctx, s, t, a, out); err != nil {
			return call(err)
		}
	case t != nil:
		p.observeCall(trace.SpanContextFromContext(ctx), t, in.b, out.b, caller(ctx))
	}
	return s.SendMsg(out)
}

// verdictCall judges an answer and writes the verdict into it.
func (p *Proxy) verdictCall(ctx context.Context, s grpc.ServerStream, t *target, a *asked, out *frame) (*frame, error) {
	v, written, err := p.writeCall(ctx, t, a, out)
	var blocked *refusal
	if err != nil && !errors.As(err, &blocked) {
		note, err := p.unjudged(t, err)
		if err == nil {
			s.SetTrailer(metadata.Pairs("x-vaeguard-verdict", note))
		}
		return out, err
	}
	s.SetTrailer(metadata.New(headers(v)))
	return written, err
}

// writeCall judges an answer, and gives what the caller gets: the model server's bytes, and
// the parameters after them, which a reader adds to those before.
func (p *Proxy) writeCall(ctx context.Context, t *target, a *asked, out *frame) (*judge.Opinion, *frame, error) {
	r, err := response(out.b)
	if err != nil {
		return nil, nil, err
	}
	v, err := p.judge(ctx, t, a, r, caller(ctx))
	if err != nil {
		return nil, nil, err
	}
	b := out.b
	switch t.Policy {
	case Block:
		if flagged(v) == 0 {
			return v, out, nil
		}
		p.counts.blocked.Add(1)
		if !t.Rows || !blank(&r, v) {
			return v, nil, &refusal{http.StatusForbidden, blockedMessage}
		}
		if b, err = proto.Marshal(r.Message()); err != nil {
			return nil, nil, &refusal{http.StatusForbidden, blockedMessage}
		}
	case Correct:
		n, err := t.correct(a.model.Detector(), &r, v)
		if err != nil {
			return nil, nil, err
		}
		p.counts.corrected.Add(int64(n))
		if n > 0 {
			if b, err = proto.Marshal(r.Message()); err != nil {
				return nil, nil, err
			}
		}
	}
	added, err := proto.Marshal(tensors.Response{Parameters: parameters(v)}.Message())
	if err != nil {
		return nil, nil, err
	}
	return v, &frame{append(b[:len(b):len(b)], added...)}, nil
}

// request reads a message.
func request(b []byte) (tensors.Request, error) {
	m := &inference.ModelInferRequest{}
	if err := inference.Unmarshal(b, m, maxParts); err != nil {
		return tensors.Request{}, &judge.InputError{Err: err}
	}
	q, err := tensors.FromRequest(m, tensors.Limits{})
	var form *tensors.Error
	if err != nil && !errors.As(err, &form) {
		err = &judge.InputError{Err: err}
	}
	return q, err
}

// response reads a message. Its errors are no fault of the caller's.
func response(b []byte) (tensors.Response, error) {
	m := &inference.ModelInferResponse{}
	if err := inference.Unmarshal(b, m, maxParts); err != nil {
		return tensors.Response{}, errors.New("the model server's answer is none of the protocol")
	}
	r, err := tensors.FromResponse(m, tensors.Limits{})
	if err != nil {
		return r, errors.New("the model server's answer is none of the protocol: " + err.Error())
	}
	return r, nil
}

// call is a refusal as gRPC has it.
func call(err error) error {
	var own *refusal
	if !errors.As(err, &own) {
		return err
	}
	code := map[int]codes.Code{http.StatusForbidden: codes.PermissionDenied, http.StatusBadRequest: codes.InvalidArgument, http.StatusRequestEntityTooLarge: codes.ResourceExhausted,
		http.StatusTooManyRequests: codes.ResourceExhausted}
	if c, ok := code[own.status]; ok {
		return status.Error(c, own.message)
	}
	return status.Error(codes.Unavailable, own.message)
}

// caller is the address that a call comes from, without its port.
func caller(ctx context.Context) string {
	if p, ok := peer.FromContext(ctx); ok && p.Addr != nil {
		return hostOf(p.Addr.String())
	}
	return ""
}
