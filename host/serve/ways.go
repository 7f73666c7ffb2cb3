package serve

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/events"
	"github.com/vaeguard/vaeguard/host/serve/oip"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// mountProxy puts the proxy before the servers of models, where the spec names them, and
// reports whether it does. Models without one are served beside them.
func (s *Server) mountProxy(o oip.Options) bool {
	models := proxied(s.spec)
	if len(models) == 0 {
		return false
	}
	own := &proxy.Own{Has: s.models.own, Handler: oip.Handler(s.models, o), Calls: oip.ModelCalls(s.models, o)}
	p, err := proxy.New(s.models, models, proxy.Options{MaxBody: int64(s.spec.Limits.Body), Client: Client, Tracer: s.traces, StripAuthorization: s.spec.Auth.clients(), Own: own, Kinds: s.kinds, Logger: s.log})
	if err != nil {
		s.broken = cmp.Or(s.broken, err)
		return true
	}
	s.proxy, s.front = p, p
	s.closers = append(s.closers, func(ctx context.Context) {
		if p.Drain(ctx) {
			s.cut.Store(true)
		}
		p.Close()
	})
	s.callOptions = append(s.callOptions, p.ServerOptions()...)
	return true
}

// proxied are the models that have a server of their own.
func proxied(s *Spec) []proxy.Model {
	var out []proxy.Model
	for _, m := range s.Models {
		if u := m.Upstream; u != nil {
			out = append(out, proxy.Model{Name: m.Name, URL: u.URL, GRPC: u.GRPC, Model: u.Model, Input: u.Input, Output: u.Output, Policy: proxy.Policy(m.Policy), Rows: m.Block == "row", Closed: m.OnFailure == "closed"})
		}
	}
	return out
}

// Proxy is what stands before the servers of models; nil: nothing does.
func (s *Server) Proxy() *proxy.Proxy { return s.proxy }

// mountWays puts the protocols on the listeners: each way in is a line here.
func (s *Server) mountWays() {
	o := oip.Options{MaxBody: int64(s.spec.Limits.Body), Version: host.Version(), Client: Client, Leaving: s.leaving, Draining: s.draining}
	if !s.mountProxy(o) {
		s.mountModels(o)
	}
	s.mountEvents()
	o.Admin = true
	s.HandleAdmin("/v2/", oip.Handler(s.models, o))
	s.HandleAdmin("/v2", oip.Handler(s.models, o))
}

// mountEvents puts the sink of events on the listener, where the spec has one.
func (s *Server) mountEvents() {
	e := s.spec.Events
	if e == nil {
		return
	}
	body := int64(s.spec.Limits.Body)
	s.sink = events.New(s.models, events.Options{ReplyURL: e.ReplyURL, Type: e.Type, Input: e.Input, Output: e.Output, Wait: time.Duration(e.Wait), MaxBody: body, Kinds: s.kinds, Logger: s.log})
	s.closers = append(s.closers, func(ctx context.Context) {
		s.sink.Drain(ctx)
		s.sink.Close()
	})
	if k := e.Kafka; k != nil {
		err := s.sink.Kafka(events.KafkaOptions{Brokers: k.Brokers, Topic: k.Topic, Group: k.Group, Reply: k.Reply, TLS: k.TLS, User: k.User, Password: k.Password, Mechanism: k.Mechanism})
		if err != nil {
			s.broken = cmp.Or(s.broken, fmt.Errorf("events.kafka: %w", err))
		}
	}
	s.Handle(e.Path, s.sink)
	if e.Token == "clients" && s.spec.Auth.clients() && s.spec.Listen.HTTP != "" {
		s.log.Warn("events need the token of clients, which KServe's logger does not send: events.token none is for it")
	}
}

// withoutToken lets events in without the token that h asks for, where the spec says so.
func (s *Server) withoutToken(h http.Handler) http.Handler {
	e := s.spec.Events
	if e == nil || e.Token != "none" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == e.Path {
			s.sink.ServeHTTP(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Events is the sink of events; nil: there is none.
func (s *Server) Events() *events.Sink { return s.sink }

// mountModels puts the guards on the listeners as models.
func (s *Server) mountModels(o oip.Options) {
	s.Handle("/v2", oip.Handler(s.models, o))
	s.Handle("/v2/", oip.Handler(s.models, o))
	s.Handle("/v1/", oip.Handler(s.models, o))
	s.Register(func(g *grpc.Server) error { return oip.Register(g, s.models, o) }, append(oip.ServerOptions(o), grpc.UnknownServiceHandler(unknownCall))...)
}

// unknownCall answers calls of methods that there are not, which so pass what others pass.
func unknownCall(_ any, call grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(call)
	return status.Error(codes.Unimplemented, "there is no such method: "+tensors.Quote(method))
}
