package proxy

import (
	"net/http"
	"path"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// Own are models that are served here, beside those of model servers: what names one of them does not pass. Everything that
// names none, such as the server's metadata and health, does.
type Own struct {
	// Has reports whether a name is one of theirs. One that a guarded model has on its server is not asked about.
	Has     func(name string) bool
	Handler http.Handler      // of paths below /v2/models/NAME and /v1/models/NAME
	Calls   []grpc.MethodDesc // that name a model, without interceptors
}

// has reports whether a name is of a model that is served here.
func (p *Proxy) has(name string) bool {
	return p.o.Own != nil && p.of(name) == nil && p.o.Own.Has(name)
}

// ours reports whether a request is for a model that is served here. Paths are compared as route does.
func (p *Proxy) ours(r *http.Request) bool {
	if p.o.Own == nil {
		return false
	}
	parts := strings.Split(strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/"), "/")
	if len(parts) < 3 || parts[0] != "v1" && parts[0] != "v2" || parts[1] != "models" {
		return false
	}
	if t, _ := p.named(parts[2]); t != nil {
		return false
	}
	name, _, _ := strings.Cut(parts[2], ":")
	return p.has(name)
}

// ownCall answers a call for a model that is served here, of which in is the message.
func (p *Proxy) ownCall(s grpc.ServerStream, method string, in *frame) error {
	service, name := path.Split(method)
	for _, c := range p.o.Own.Calls {
		if c.MethodName != name || service != "/"+inference.Service+"/" {
			continue
		}
		decode := func(into any) error {
			if proto.Unmarshal(in.b, into.(proto.Message)) != nil {
				return status.Error(codes.InvalidArgument, "no message of the protocol")
			}
			return nil
		}
		out, err := c.Handler(nil, s.Context(), decode, nil)
		if err != nil {
			return err
		}
		b, err := proto.Marshal(out.(proto.Message))
		if err != nil {
			return status.Error(codes.Internal, "the answer cannot be written")
		}
		return s.SendMsg(&frame{b})
	}
	return status.Error(codes.Unimplemented, "there is no such method for a model that is served here")
}
