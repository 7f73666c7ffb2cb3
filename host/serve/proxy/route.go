package proxy

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// way is what a request asks.
type way int

const (
	passes way = iota // no inference of a guarded model
	judged            // one that is judged
	beside            // one that cannot be judged, or what may be one
)

// route is what a request asks of which guarded model; nil: of none, and it goes to the server of
// the first. Paths are compared after what servers do to them: no spelling of one goes around the
// guard.
func (p *Proxy) route(r *http.Request) (*target, way) {
	safe := (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions) && !tunnels(r)
	clean := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	parts := strings.Split(clean, "/")
	odd := strings.ContainsAny(clean, "%\\;") // it is another path for who decodes it again, or drops what follows a semicolon
	if len(parts) < 3 || parts[0] != "v1" && parts[0] != "v2" || parts[1] != "models" {
		t := p.ofRepository(parts)
		if safe || !odd && slices.ContainsFunc(controls, func(c string) bool { return strings.HasPrefix(clean+"/", c) }) {
			return t, passes
		}
		return t, beside
	}
	t, verb := p.named(parts[2])
	if t == nil && odd && !safe { // a guarded one's, for some
		return nil, beside
	}
	if t == nil {
		return nil, passes
	}
	rest := parts[3:]
	if len(rest) >= 2 && rest[0] == "versions" {
		_, verb, _ = strings.Cut(rest[1], ":")
		rest = rest[2:]
	}
	last := strings.Join(rest, "/")
	switch {
	case parts[0] == "v2" && last == "infer", parts[0] == "v1" && last == "" && verb == "predict":
		if r.Method == http.MethodPost {
			return t, judged
		}
		if safe {
			return t, passes // which the model server refuses
		}
	case verb != "", strings.HasPrefix(last, "infer"), strings.HasPrefix(last, "generate"):
	case safe, last == "trace/setting":
		return t, passes
	}
	return t, beside
}

// named is the guarded model that an element of a path names, perhaps with a verb after a colon, which names may have too: some
// servers cut at the last one, some at the first.
func (p *Proxy) named(element string) (t *target, verb string) {
	if t = p.of(element); t != nil {
		return t, ""
	}
	for _, at := range []int{strings.LastIndexByte(element, ':'), strings.IndexByte(element, ':')} {
		if at < 0 {
			continue
		}
		if t = p.of(element[:at]); t != nil {
			return t, element[at+1:]
		}
	}
	return nil, ""
}

// tunnels reports whether a request asks for another protocol on its connection, of which nothing is seen here.
func tunnels(r *http.Request) bool { return r.Header.Get("Upgrade") != "" }

// controls are where paths begin that change something and are no inference, though they are not asked by
// GET: of KServe, Triton and MLServer.
var controls = []string{"v2/repository/", "v2/systemsharedmemory/", "v2/cudasharedmemory/", "v2/trace/setting/", "v2/logging/"}

// ofRepository is the guarded model that is loaded or unloaded; nil: it is none.
func (p *Proxy) ofRepository(parts []string) *target {
	if len(parts) > 3 && parts[0] == "v2" && parts[1] == "repository" && parts[2] == "models" {
		return p.of(parts[3])
	}
	return nil
}

// closed reports whether t refuses what cannot be judged; nil: whether any model does.
func (p *Proxy) closed(t *target) bool {
	if t != nil {
		return t.Closed && t.Policy != Observe
	}
	return slices.ContainsFunc(p.models(), p.closed)
}

// calls that are no inference, and in which field each names its model; 0: it names none. Others may be one.
var calls = map[string]protowire.Number{
	"ServerLive": 0, "ServerReady": 0, "ServerMetadata": 0, "RepositoryIndex": 0, "LogSettings": 0,
	"ModelReady": 1, "ModelMetadata": 1, "ModelConfig": 1, "ModelStatistics": 1,
	"RepositoryModelLoad": 2, "RepositoryModelUnload": 2, "TraceSetting": 2,
	"SystemSharedMemoryStatus": 0, "SystemSharedMemoryRegister": 0, "SystemSharedMemoryUnregister": 0,
	"CudaSharedMemoryStatus": 0, "CudaSharedMemoryRegister": 0, "CudaSharedMemoryUnregister": 0,
}

// others are services without inferences: gRPC's own, and MLServer's second one.
var others = []string{"/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/", "/grpc.reflection.v1alpha.ServerReflection/", "/inference.model_repository.ModelRepositoryService/"}

// routeCall is what a call asks, but for ModelInfer, and the field of its first message that names the
// model; 0: none does.
func routeCall(method string) (way, protowire.Number) {
	name, ours := strings.CutPrefix(method, "/"+inference.Service+"/")
	if field, ok := calls[name]; ours && ok {
		return passes, field
	}
	if slices.ContainsFunc(others, func(s string) bool { return plainCall(method, s) }) {
		return passes, 0
	}
	if ours && name == "ModelStreamInfer" {
		return beside, 1
	}
	return beside, 0
}

// plainCall reports whether a call is one of a service, by a name without a sign in which another path could be: some servers
// clean paths.
func plainCall(method, service string) bool {
	name, ok := strings.CutPrefix(method, service)
	return ok && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}

// asks is what a request asks, and of which guarded model, as route has it. An inference that is judged goes on without what it
// says of another protocol, in which its answer would not be seen, and so does any request where a guard is closed that offers
// HTTP/2, as some clients do with each: no server has to take it up.
func (p *Proxy) asks(r *http.Request) (*http.Request, *target, way) {
	t, asks := p.route(r)
	if !tunnels(r) || asks != judged && !(p.closed(nil) && strings.EqualFold(only(r.Header, "Upgrade"), "h2c")) {
		return r, t, asks
	}
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header.Del("Upgrade")
	t, asks = p.route(&plain)
	return &plain, t, asks
}

// leadsOut reports whether a path leads out of that of its model's server, which clients have no say in.
func leadsOut(t *target, r *http.Request) bool {
	if strings.Trim(t.url.Path, "/") == "" {
		return false
	}
	return slices.ContainsFunc(strings.FieldsFunc(r.URL.Path, func(r rune) bool { return r == '/' || r == '\\' }), func(part string) bool {
		part, _, _ = strings.Cut(part, ";")
		return part == ".."
	})
}
