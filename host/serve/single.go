package serve

import (
	"cmp"
	"context"
	"net/http"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/oip"
)

// Single is one detector in somebody's own server: the protocols without the
// process around them.
type Single struct{ guard *judge.Guard }

var _ judge.Models = (*Single)(nil)

// NewSingle makes a Single. A name that o does not have is guard, a version the head
// of the detector's digest. The caller keeps the detector and closes it after Close.
func NewSingle(d *host.Detector, o judge.Options) *Single {
	o.Name, o.Version = cmp.Or(o.Name, "guard"), cmp.Or(o.Version, candidate{}.versionOf(d), "1")
	return &Single{judge.New(d, o)}
}

// Handler serves the Open Inference Protocol over HTTP, below /v2.
func (s *Single) Handler() http.Handler { return oip.Handler(s, singleOptions()) }

// Register puts the Open Inference Protocol on a gRPC server that was made with
// ServerOptions, for messages of more than 4 MiB.
func (s *Single) Register(g *grpc.Server) error { return oip.Register(g, s, singleOptions()) }

// Guard is the model itself, for a protocol of one's own.
func (s *Single) Guard() *judge.Guard { return s.guard }

// Close lets what is under way be answered until ctx is done.
func (s *Single) Close(ctx context.Context) { s.guard.Close(ctx) }

func singleOptions() oip.Options { return oip.Options{Version: host.Version()} }

// ServerOptions are those of a gRPC server that Register is for.
func ServerOptions() []grpc.ServerOption { return oip.ServerOptions(singleOptions()) }

// Handler serves a detector, by the name guard, for as long as the process lives;
// NewSingle is for one that ends before, or that both protocols share.
func Handler(d *host.Detector) http.Handler { return NewSingle(d, judge.Options{}).Handler() }

// Register is Handler for a gRPC server.
func Register(g *grpc.Server, d *host.Detector) error {
	return NewSingle(d, judge.Options{}).Register(g)
}

// Lease implements judge.Models.
func (s *Single) Lease(name, version string) (judge.Model, func(), error) {
	if name != s.guard.Name() {
		return nil, nil, &judge.NotFoundError{Name: name}
	}
	if version != "" && version != s.guard.Version() {
		return nil, nil, &judge.NotFoundError{Name: name, Version: version}
	}
	return s.guard, func() {}, nil
}

// List implements judge.Models.
func (s *Single) List() []judge.Status {
	st := judge.Status{Name: s.guard.Name(), Version: s.guard.Version(), Ready: !s.guard.Away()}
	if !st.Ready {
		st.Reason = "the classifier is away"
	}
	return []judge.Status{st}
}

// Load implements judge.Models: there is nothing to load.
func (s *Single) Load(context.Context, string) error {
	return &judge.UnavailableError{Reason: "the detector is the program's own"}
}

// Unload implements judge.Models: there is nothing to unload.
func (s *Single) Unload(context.Context, string) error {
	return &judge.UnavailableError{Reason: "the detector is the program's own"}
}
