package serve

import (
	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/oip"
)

// mountWays puts the protocols on the listeners: each way in is a line here.
func (s *Server) mountWays() {
	o := oip.Options{MaxBody: int64(s.spec.Limits.Body), Version: host.Version(), Client: Client}
	s.Handle("/v2", oip.Handler(s.models, o))
	s.Handle("/v2/", oip.Handler(s.models, o))
	s.Register(func(g *grpc.Server) error { return oip.Register(g, s.models, o) }, oip.ServerOptions(o)...)
	o.Admin = true
	s.HandleAdmin("/v2/", oip.Handler(s.models, o))
	s.HandleAdmin("/v2", oip.Handler(s.models, o))
}
