// Package serve is the guard at work: models that are opened, watched and
// replaced while requests go on, listeners with the protocols on them, and the
// life of the process around both.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/events"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/watch"
)

// Options of New.
type Options struct {
	Components host.Components
	Host       host.Options
	Logger     hclog.Logger // nil: none
	Access     io.Writer    // of the access log, if the spec wants one; nil: none
	// Reread reads the server's file again, for Reload; nil: it stays as New got it.
	Reread func() (*Spec, error)
	// Listening is told of each listener, before its first request; nil: nobody is.
	Listening func(name string, at net.Addr)
}

// Server serves the models of a spec. What is mounted on it is mounted before Start.
type Server struct {
	spec   *Spec // as it was started with; Spec is in force
	o      Options
	log    hclog.Logger
	access hclog.Logger // nil: none
	bearer tokens
	admin  tokens
	models *Models
	board  *watch.Board

	public, open, inner []mount
	front               http.Handler            // before all of public; nil: none
	proxy               *proxy.Proxy            // nil: none
	sink                *events.Sink            // nil: none
	kinds               *judge.Kinds            // of what model servers answer
	cut                 atomic.Bool             // Stop has cut off what was under way
	closers             []func(context.Context) // until which what they hold may be judged
	broken              error                   // what New found, for Start
	calls               []func(*grpc.Server) error
	callOptions         []grpc.ServerOption

	certs    *certificates
	https    []*http.Server
	grpc     *grpc.Server
	places   map[string]net.Addr
	leaving  chan struct{} // closed once it is about to stop: it is not ready from then on
	draining chan struct{} // closed once it takes nothing new
	leave    func()
	drain    func()
	failed   chan error // of a listener
	notify   *notifier
	cancel   context.CancelFunc
	work     sync.WaitGroup
	reload   sync.Mutex
	traces   *tracing
	refused  func(way string, took time.Duration) // told of each refusal for want of room or of a model
}

// mount is a handler and where it stands, as http.ServeMux has it.
type mount struct {
	pattern string
	handler http.Handler
}

// New makes a server. Nothing is opened yet.
func New(s *Spec, o Options) *Server {
	if o.Logger == nil {
		o.Logger = hclog.NewNullLogger()
	}
	out := &Server{spec: s, o: o, log: o.Logger, places: map[string]net.Addr{}, failed: make(chan error, 4), leaving: make(chan struct{}), draining: make(chan struct{})}
	out.leave = sync.OnceFunc(func() { close(out.leaving) })
	out.drain = sync.OnceFunc(func() { close(out.draining) })
	if s.Log.Access && o.Access != nil {
		out.access = accessLog(o.Access)
	}
	if o.Host.Logger == nil {
		o.Host.Logger = o.Logger
	}
	if out.traces, out.broken = newTracing(s.Traces, func(err error) { out.log.Warn("spans are lost", "error", err) }); out.broken != nil {
		out.traces = &tracing{Tracer: noop.Tracer{}}
	}
	out.models = newModels(newSource(s), ModelOptions{Components: o.Components, Host: o.Host, Logger: o.Logger, Tracer: out.traces})
	out.kinds = judge.NewKinds(judge.KindsOptions{Logger: o.Logger})
	out.mountWays()
	out.mountWatch()
	return out
}

// Spec is what the server was made of, or the file that it has read since.
func (s *Server) Spec() *Spec { return s.models.source.now() }

// Models are the server's.
func (s *Server) Models() *Models { return s.models }

// Logger is the server's.
func (s *Server) Logger() hclog.Logger { return s.log }

// Watch adds a watcher of every request. Before Start.
func (s *Server) Watch(w judge.Watcher) { s.models.o.Watchers = append(s.models.o.Watchers, w) }

// Handle mounts a handler for clients, by a pattern of http.ServeMux. Before Start.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.public = append(s.public, mount{pattern, h})
}

// HandleAdmin mounts a handler for administrators. Before Start.
func (s *Server) HandleAdmin(pattern string, h http.Handler) {
	s.inner = append(s.inner, mount{pattern, h})
}

// HandleOpen mounts a handler on admin that needs no token, such as metrics. Before
// Start.
func (s *Server) HandleOpen(pattern string, h http.Handler) {
	s.open = append(s.open, mount{pattern, h})
}

// Register puts services on the gRPC server, which has the options too. Before Start.
func (s *Server) Register(register func(*grpc.Server) error, o ...grpc.ServerOption) {
	s.calls, s.callOptions = append(s.calls, register), append(s.callOptions, o...)
}

// Address is where a listener of the spec, http, grpc or admin, listens after
// Start; nil: it does not.
func (s *Server) Address(listener string) net.Addr { return s.places[listener] }

// Ready reports whether every model answers and the server is not stopping; why
// says what is not ready, for a log.
func (s *Server) Ready() (ok bool, why []string) {
	select {
	case <-s.leaving:
		return false, []string{errStopping.Reason}
	default:
		return s.models.Ready()
	}
}

// Start listens, and opens the models. What may pass by itself, such as a model
// server that is not up yet, is tried again for as long as the server runs, which is
// not ready meanwhile; anything else that is wrong with a model is an error here. The
// caller must Stop the server after Start, whatever it returned.
func (s *Server) Start(ctx context.Context) error {
	if s.broken != nil {
		return s.broken
	}
	life, cancel := context.WithCancel(context.Background())
	s.cancel, s.notify = cancel, newNotifier()
	if err := s.renewTokens(s.spec); err != nil {
		return err
	}
	if s.spec.Listen.TLS != nil {
		var err error
		if s.certs, err = loadCertificates(*s.spec.Listen.TLS, s.spec.Abs); err != nil {
			return err
		}
	}
	if err := s.listen(ctx); err != nil {
		return err
	}
	s.notify.status("opening models")
	s.work.Go(func() { s.beat(life) })
	if err := s.models.Refresh(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !lasting(err) {
			s.log.Warn("a model is not ready yet", "error", err)
		} else if len(s.spec.Models) > 0 {
			return err
		}
	}
	s.work.Go(func() { s.keep(life) })
	s.work.Go(func() { s.watchFiles(life) })
	return nil
}

// lasting reports whether one of joined errors will not pass by itself.
func lasting(err error) bool {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			if lasting(one) {
				return true
			}
		}
		return false
	}
	return !passing(err)
}

// listen opens the listeners and serves on them.
func (s *Server) listen(ctx context.Context) error {
	for _, p := range s.spec.Listen.all() {
		if p.at == "" {
			continue
		}
		l, err := listen(ctx, p.at)
		if err != nil {
			return fmt.Errorf("listen.%s: %w", p.name, err)
		}
		s.places[p.name] = l.Addr()
		if s.o.Listening != nil {
			s.o.Listening(p.name, l.Addr())
		}
		if p.name == "grpc" {
			if err := s.serveGRPC(l); err != nil {
				return errors.Join(err, l.Close())
			}
			continue
		}
		handler := s.withoutToken(s.bearer.guard(asBearer, s.publicHandler()))
		secure := s.certs != nil
		if p.name == "admin" {
			handler, secure = s.adminHandler(), s.certs != nil && s.spec.Listen.TLS.Admin
		}
		s.serveHTTP(p.name, l, handler, secure)
	}
	return nil
}

func (s *Server) publicHandler() http.Handler {
	mux := http.NewServeMux()
	for _, m := range s.public {
		mux.Handle(m.pattern, m.handler)
	}
	if s.front == nil {
		return mux
	}
	e := s.spec.Events
	if e == nil {
		return s.front
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == e.Path { // the one path that does not pass
			s.sink.ServeHTTP(w, r)
			return
		}
		s.front.ServeHTTP(w, r)
	})
}

// Times that keep connections that do nothing from piling up.
const (
	headerTime = 10 * time.Second
	idleTime   = 2 * time.Minute
	// When a connection over HTTP/2 that is silent is asked whether it is there, and how long its answer may take.
	pingTime     = 30 * time.Second
	pingPatience = 20 * time.Second
)

func (s *Server) serveHTTP(name string, l net.Listener, h http.Handler, secure bool) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	read := time.Duration(s.spec.Limits.Read)
	server := &http.Server{Handler: s.around(name, h), ReadHeaderTimeout: headerTime, ReadTimeout: read, IdleTimeout: idleTime,
		HTTP2:          &http.HTTP2Config{SendPingTimeout: pingTime, PingTimeout: pingPatience, WriteByteTimeout: read},
		MaxHeaderBytes: maxHeaders, Protocols: protocols, ErrorLog: s.log.Named(name).StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug})}
	s.https = append(s.https, server)
	serve := server.Serve
	if secure {
		server.TLSConfig = s.certs.config()
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	s.work.Go(func() {
		if err := serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("listen.%s: %w", name, err)
		}
	})
}

func (s *Server) serveGRPC(l net.Listener) error {
	g := newGate(s)
	o := append(g.options(),
		grpc.ChainUnaryInterceptor(s.unary), grpc.ChainStreamInterceptor(s.stream), grpc.ConnectionTimeout(headerTime),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 2 * idleTime, Time: idleTime, Timeout: pingPatience}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	)
	o = append(o, s.callOptions...)
	if s.certs != nil {
		o = append(o, grpc.Creds(credentials.NewTLS(s.certs.config())))
	}
	s.grpc = grpc.NewServer(o...)
	for _, register := range s.calls {
		if err := register(s.grpc); err != nil {
			return err
		}
	}
	s.work.Go(func() {
		if err := s.grpc.Serve(g.listener(l)); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			s.failed <- fmt.Errorf("listen.grpc: %w", err)
		}
	})
	return nil
}

// Failed gives what ends a listener by itself.
func (s *Server) Failed() <-chan error { return s.failed }

// Leave makes the server unready, wherever that is asked, while it goes on to answer: those who send to it need a
// moment to find out. Stop follows.
func (s *Server) Leave() {
	s.leave()
	if s.notify != nil {
		s.notify.stopping()
	}
}

// ends is a handler whose requests end when the server takes nothing new: what goes on for as long as its client likes, as
// the live page and profiles, would take the time of those who wait for an answer.
func (s *Server) ends(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		go func() {
			select {
			case <-s.draining:
				cancel()
			case <-ctx.Done():
			}
		}()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// Stop makes the server unready, lets what is under way be answered until ctx is
// done, and ends what is left then. The error says that there was something left.
func (s *Server) Stop(ctx context.Context) error {
	s.Leave()
	s.drain()
	if s.cancel != nil {
		s.cancel()
	}
	var wg sync.WaitGroup
	for _, h := range s.https {
		wg.Go(func() {
			if h.Shutdown(ctx) != nil {
				s.cut.Store(true)
				_ = h.Close()
			}
		})
	}
	if s.grpc != nil {
		wg.Go(func() {
			done := context.AfterFunc(ctx, func() {
				s.cut.Store(true)
				s.grpc.Stop()
			})
			defer done()
			s.grpc.GracefulStop()
		})
	}
	wg.Wait()
	for _, end := range s.closers {
		end(ctx)
	}
	s.closers = nil
	s.models.Close(ctx)
	s.work.Wait()
	s.traces.close()
	if s.cut.Load() {
		return errors.New("requests that were under way were cut off: they took longer than limits.drain")
	}
	return nil
}
