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
	safe := (r.Method == http.MethodGet || r.Method == http.MethodHead || r.Method == http.MethodOptions) && r.Header.Get("Upgrade") == ""
	parts := strings.Split(strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/"), "/")
	if len(parts) < 3 || parts[0] != "v1" && parts[0] != "v2" || parts[1] != "models" {
		t := p.ofRepository(parts)
		if safe || slices.ContainsFunc(controls, func(c string) bool { return strings.HasPrefix(strings.Join(parts, "/")+"/", c) }) {
			return t, passes
		}
		return t, beside
	}
	name, verb, _ := strings.Cut(parts[2], ":")
	t := p.of(name)
	if t == nil && strings.ContainsAny(parts[2], "%/\\") && !safe { // a guarded one's, for who decodes it again
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
	if slices.ContainsFunc(others, func(s string) bool { return strings.HasPrefix(method, s) }) {
		return passes, 0
	}
	if ours && name == "ModelStreamInfer" {
		return beside, 1
	}
	return beside, 0
}
