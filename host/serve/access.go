package serve

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// idHeader carries the id of a request, both ways.
const idHeader = "X-Request-Id"

type idKey struct{}

// RequestID is the id of the request that ctx is of: the caller's, if it is one,
// else one that the server made. "": ctx is of none.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(idKey{}).(string)
	return id
}

// requestID is the caller's id if it is short and plain, else a new one.
func requestID(given string) string {
	if given != "" && len(given) <= 128 && !strings.ContainsFunc(given, func(r rune) bool { return !nameRune(r) && r != ':' && r != '/' && r != '=' && r != '+' }) {
		return given
	}
	return rand.Text()
}

// refuse answers with an error as the protocols over HTTP have it.
func refuse(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": message}) // who has gone needs no answer
}

// written counts what is answered.
type written struct {
	http.ResponseWriter
	status   int
	bytes    int64
	patience time.Duration // that its client may take for what is written at once; 0: any
	start    time.Time
	after    time.Duration // from start, when a refusal for want of room or of a model was on its way; 0: it is none
}

// refused sends a refusal, if it is one and was not sent already, and notes when.
func (w *written) refused() {
	if full(w.status) && w.after == 0 {
		_ = w.FlushError() // who has gone needs no answer
	}
}

// full reports whether a status is that of a refusal for want of room, or of a model.
func full(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable
}

// WriteHeader implements http.ResponseWriter.
func (w *written) WriteHeader(code int) {
	if w.status == 0 && code >= 200 {
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write implements http.ResponseWriter.
func (w *written) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.within(w.patience)
	n, err := w.ResponseWriter.Write(b)
	w.within(0) // a stream may be silent for longer
	w.bytes += int64(n)
	return n, err
}

// FlushError is for http.ResponseController.
func (w *written) FlushError() error {
	w.within(w.patience)
	defer w.within(0)
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if err == nil && w.after == 0 && full(w.status) {
		w.after = time.Since(w.start)
	}
	return err
}

// within gives its client d to take what is written from now on; 0: any time.
func (w *written) within(d time.Duration) {
	var until time.Time
	if w.patience <= 0 {
		return
	}
	if d > 0 {
		until = time.Now().Add(d)
	}
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(until) // fails in tests alone
}

// Unwrap is for http.ResponseController.
func (w *written) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// counted counts what is read.
type counted struct {
	io.ReadCloser
	bytes int64
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.bytes += int64(n)
	return n, err
}

// bounded is a body with the server's bound, which a handler that holds no body may
// leave off.
type bounded struct {
	io.ReadCloser
	whole io.ReadCloser
}

// Unbounded is the body without its bound.
func (b bounded) Unbounded() io.ReadCloser { return b.whole }

// around is what every request over HTTP passes: an id, the name of its caller, a
// bound of its body, a line of the log, and a recovery from panics.
func (s *Server) around(listener string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start, id := time.Now(), requestID(r.Header.Get(idHeader))
		r = named(r)
		r = r.WithContext(context.WithValue(r.Context(), idKey{}, id))
		var span trace.Span = noop.Span{}
		if listener == "http" {
			r, span = s.traces.request(r)
		}
		w, body := &written{ResponseWriter: rw, patience: time.Duration(s.spec.Limits.Read), start: start}, &counted{ReadCloser: r.Body}
		r.Body = bounded{http.MaxBytesReader(w, body, int64(s.spec.Limits.Body)), body}
		w.Header().Set(idHeader, id)
		defer func() {
			p := recover()
			aborted := false
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				aborted = true // the handler's way to cut a connection
			} else if p != nil {
				s.log.Error("a request panicked", "id", id, "panic", p)
				if w.status == 0 {
					refuse(w, http.StatusInternalServerError, "the server failed")
				}
			}
			if w.refused(); listener == "http" && w.after > 0 {
				s.refused("http", w.after)
			}
			w.within(w.patience) // what is left of the answer goes now
			answered(span, w.status)
			if s.access != nil && !(w.status == http.StatusOK && probe(r.URL.Path)) {
				s.access.Info("request", "listener", listener, "id", id, "client", Client(r.Context(), hostOf(r.RemoteAddr)), "method", wire.Text(r.Method, 20),
					"path", wire.Text(r.URL.Path, 200), "status", w.status, "in", body.bytes, "out", w.bytes, "ms", millis(start), "aborted", aborted)
			}
			if aborted {
				panic(p)
			}
		}()
		h.ServeHTTP(w, r)
	})
}

// probe reports whether a path is asked for so often that good news is none.
func probe(path string) bool {
	return path == "/livez" || path == "/readyz" || path == "/metrics" || healthPath(path)
}

func millis(start time.Time) float64 {
	return float64(time.Since(start).Microseconds()) / 1000
}

// aroundCall is around for a gRPC call.
func (s *Server) aroundCall(ctx context.Context, method string, call func(context.Context) error) (err error) {
	start, given := time.Now(), ""
	if md, ok := metadata.FromIncomingContext(ctx); ok {
		if v := md.Get(idHeader); len(v) > 0 {
			given = v[0]
		}
	}
	id := requestID(given)
	ctx = context.WithValue(ctx, idKey{}, id)
	if a := arrivalOf(ctx); a != nil {
		a.logged.Store(true)
	}
	ctx, traced := s.traces.call(ctx, method)
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("a call panicked", "id", id, "panic", p)
			err = status.Error(codes.Internal, "the server failed")
		}
		traced(err)
		s.refusedCall(start, err)
		s.logCall(ctx, id, method, start, err)
	}()
	return call(ctx)
}

// refusedCall notes a refusal for want of room, or of a model.
func (s *Server) refusedCall(start time.Time, err error) {
	if code := status.Code(err); code == codes.ResourceExhausted || code == codes.Unavailable {
		s.refused("grpc", time.Since(start))
	}
}

// logCall writes a line of the log for a call over gRPC.
func (s *Server) logCall(ctx context.Context, id, method string, start time.Time, err error) {
	if s.access == nil {
		return
	}
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = hostOf(p.Addr.String())
	}
	s.access.Info("request", "listener", "grpc", "id", id, "client", Client(ctx, from), "path", wire.Text(method, 200), "status", status.Code(err).String(), "ms", millis(start))
}

func (s *Server) unary(ctx context.Context, r any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (out any, err error) {
	err = s.aroundCall(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		_ = grpc.SetHeader(ctx, metadata.Pairs(idHeader, RequestID(ctx))) // fails where it is sent already
		out, err = h(ctx, r)
		return err
	})
	return out, err
}

// streamed is a stream with another context, whose answer has the id of its request unless it has one already:
// a model server's.
type streamed struct {
	grpc.ServerStream
	ctx   context.Context
	named atomic.Bool
	comes *arrival // of messages that come when they like; nil: of one alone
}

// Context implements grpc.ServerStream.
func (s *streamed) Context() context.Context { return s.ctx }

// RecvMsg implements grpc.ServerStream. What comes of a message is held against the memory that there is for those until it is whole.
func (s *streamed) RecvMsg(m any) error {
	s.comes.wait()
	defer s.comes.over()
	return s.ServerStream.RecvMsg(m)
}

// SetHeader implements grpc.ServerStream.
func (s *streamed) SetHeader(md metadata.MD) error {
	if len(md.Get(idHeader)) > 0 {
		s.named.Store(true)
	}
	return s.ServerStream.SetHeader(md)
}

// SendHeader implements grpc.ServerStream.
func (s *streamed) SendHeader(md metadata.MD) error {
	if err := s.SetHeader(md); err != nil {
		return err
	}
	s.name()
	return s.ServerStream.SendHeader(nil)
}

// SendMsg implements grpc.ServerStream.
func (s *streamed) SendMsg(m any) error {
	s.name()
	return s.ServerStream.SendMsg(m)
}

func (s *streamed) name() {
	if !s.named.Swap(true) {
		_ = s.ServerStream.SetHeader(metadata.Pairs(idHeader, RequestID(s.ctx))) // fails where it is sent already
	}
}

func (s *Server) stream(srv any, ss grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
	var comes *arrival
	if info.IsClientStream && info.FullMethod != inference.ModelInfer { // which a proxy takes as a stream of one message
		comes = arrivalOf(ss.Context())
		comes.any()
	}
	return s.aroundCall(ss.Context(), info.FullMethod, func(ctx context.Context) error {
		answer := &streamed{ServerStream: ss, ctx: ctx, comes: comes}
		defer answer.name() // of one without messages
		return h(srv, answer)
	})
}

// accessLog writes lines of JSON.
func accessLog(w io.Writer) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "access", Level: hclog.Info, Output: w, JSONFormat: true})
}
