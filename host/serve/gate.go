package serve

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/tap"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/oip"
)

// What one connection may have at once.
const (
	maxStreams = 1000     // calls over gRPC
	maxHeaders = 64 << 10 // bytes of names and values of a request
	maxUntaken = 1 << 20  // bytes of answers over gRPC that its client leaves lying
	maxSpared  = 1 << 20  // bytes of messages that come, for which no connection is ended
)

// gate is what calls over gRPC pass before more of them is read than their headers. It bounds how long messages
// take to come and answers to go, and the memory of messages that come: gRPC itself waits as long as there is a
// connection, and holds what there is.
type gate struct {
	s        *Server
	patience time.Duration // limits.Read; 0: any time
	memory   int64         // bytes of messages that come, of all connections
	held     atomic.Int64  // of them
}

func newGate(s *Server) *gate {
	return &gate{s: s, patience: time.Duration(s.spec.Limits.Read), memory: 16 * int64(s.spec.Limits.Body)}
}

func (g *gate) options() []grpc.ServerOption {
	return []grpc.ServerOption{grpc.MaxConcurrentStreams(maxStreams), grpc.MaxHeaderListSize(maxHeaders), grpc.InTapHandle(g.enter), grpc.StatsHandler(g)}
}

// arrival is a call whose message is still to come.
type arrival struct {
	method  string
	line    *line
	timer   *time.Timer // nil: it may take any time
	forget  func() bool
	settled atomic.Bool
	logged  atomic.Bool // or will be, by aroundCall
}

// arrived tells that a message of n bytes is there, or that none is waited for.
func (a *arrival) arrived(n int) {
	if a == nil {
		return
	}
	if a.timer != nil {
		a.timer.Stop()
	}
	a.forget()
	a.settle(n)
}

func (a *arrival) settle(n int) {
	if !a.settled.Swap(true) && a.line != nil {
		a.line.settle(int64(n))
	}
}

// any tells that messages of a call come when they like.
func (a *arrival) any() {
	if a != nil && a.timer != nil {
		a.timer.Stop()
	}
}

// wait tells that one more message is waited for.
func (a *arrival) wait() {
	if a != nil && a.settled.Swap(false) && a.line != nil {
		a.line.begin()
	}
}

// over tells that none is waited for, whether one came or not.
func (a *arrival) over() {
	if a != nil {
		a.settle(0)
	}
}

type arrivalKey struct{}

// arrivalOf is that of a call; nil: it came through no gate.
func arrivalOf(ctx context.Context) *arrival {
	a, _ := ctx.Value(arrivalKey{}).(*arrival)
	return a
}

var errLate = errors.New("the message was not there within limits.read")

// lateContext ends by a deadline if its call's message was late, so that this is what gRPC answers.
type lateContext struct{ context.Context }

// Err implements context.Context.
func (c lateContext) Err() error {
	if errors.Is(context.Cause(c.Context), errLate) {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}

// enter is a tap.ServerInHandle: who may not ask is refused before anything of a message is read.
func (g *gate) enter(ctx context.Context, info *tap.Info) (context.Context, error) {
	if err := g.s.bearer.admit(ctx, info.FullMethodName); err != nil {
		g.s.logCall(ctx, requestID(""), info.FullMethodName, time.Now(), err)
		return ctx, err
	}
	if err := g.admit(ctx, info.FullMethodName); err != nil {
		return ctx, err
	}
	a := &arrival{method: info.FullMethodName}
	if a.line, _ = ctx.Value(lineKey{}).(*line); a.line != nil {
		a.line.begin()
	}
	a.forget = context.AfterFunc(ctx, func() { a.settle(0) })
	ctx = context.WithValue(ctx, arrivalKey{}, a)
	if g.patience > 0 {
		late, cancel := context.WithCancelCause(ctx) // ends with the call
		a.timer = time.AfterFunc(g.patience, func() { cancel(errLate) })
		ctx = lateContext{late}
	}
	return ctx, nil
}

// admit refuses an inference before its message is read where there is no room for any. The message has the name of its
// model: of several the call itself finds out.
func (g *gate) admit(ctx context.Context, method string) error {
	if method != inference.ModelInfer || g.s.proxy != nil {
		return nil
	}
	start := time.Now()
	m, done := g.s.models.only()
	if m == nil {
		return nil
	}
	defer done()
	from := ""
	if p, ok := peer.FromContext(ctx); ok {
		from = hostOf(p.Addr.String())
	}
	err := m.Admit(ctx, "grpc", Client(ctx, from))
	if err == nil {
		return nil
	}
	err = oip.Refuse(err)
	g.s.refusedCall(start, err)
	g.s.logCall(ctx, requestID(""), method, start, err)
	return err
}

// TagRPC implements stats.Handler.
func (g *gate) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

// HandleRPC implements stats.Handler.
func (g *gate) HandleRPC(ctx context.Context, s stats.RPCStats) {
	switch s := s.(type) {
	case *stats.InPayload:
		arrivalOf(ctx).arrived(s.WireLength)
	case *stats.OutPayload:
		if l, ok := ctx.Value(lineKey{}).(*line); ok {
			l.owe(int64(s.WireLength))
		}
	case *stats.End:
		if a := arrivalOf(ctx); a != nil && !a.logged.Load() { // its message was none
			a.arrived(0)
			g.s.refusedCall(s.BeginTime, s.Error)
			g.s.logCall(ctx, requestID(""), a.method, s.BeginTime, s.Error)
		}
	}
}

type lineKey struct{}

// TagConn implements stats.Handler.
func (g *gate) TagConn(ctx context.Context, info *stats.ConnTagInfo) context.Context {
	if a, ok := info.RemoteAddr.(lineAddr); ok {
		return context.WithValue(ctx, lineKey{}, a.line)
	}
	return ctx
}

// HandleConn implements stats.Handler.
func (g *gate) HandleConn(context.Context, stats.ConnStats) {}

// listener is l with connections that are held to what they take and leave.
func (g *gate) listener(l net.Listener) net.Listener { return lined{l, g} }

type lined struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener.
func (l lined) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &line{Conn: c, gate: l.gate}, nil
}

// line is a connection of gRPC. An answer that its client gives no window for lies in memory once the call has
// ended, where no deadline of the call's reaches it: so what is owed is held against what was written. And what is
// read while messages are to come is held until they are there.
type line struct {
	net.Conn
	gate *gate

	mu            sync.Mutex
	arriving      int   // calls whose messages are to come
	held          int64 // bytes that were read of them, and of others meanwhile
	owed, written int64 // bytes
	due           int64 // that must have been written when it is looked at next
	watched       bool
	closed        bool
}

var errFull = errors.New("the messages that come hold all the memory that they may have")

// Read implements net.Conn.
func (l *line) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 && !l.hold(int64(n)) {
		return 0, errors.Join(errFull, l.Close())
	}
	return n, err
}

// hold notes bytes that were read, and reports whether there is memory for them.
func (l *line) hold(n int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.arriving == 0 || l.closed {
		return true
	}
	l.held += n
	return l.gate.held.Add(n) <= l.gate.memory || l.held <= maxSpared
}

func (l *line) begin() {
	l.mu.Lock()
	l.arriving++
	l.mu.Unlock()
}

// framing is at least what a small message takes on the wire besides itself; a large one takes less than a part in 128 more.
const framing = 256

// settle tells that a message of n bytes is there, or 0: that none will be.
func (l *line) settle(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arriving--
	if n = min(n+framing+n>>7, l.held); l.arriving == 0 {
		n = l.held
	}
	l.release(n)
}

// release lets go of bytes; mu is locked.
func (l *line) release(n int64) {
	l.held -= n
	l.gate.held.Add(-n)
}

// Close implements net.Conn.
func (l *line) Close() error {
	l.mu.Lock()
	l.release(l.held)
	l.closed = true
	l.mu.Unlock()
	return l.Conn.Close()
}

// Write implements net.Conn.
func (l *line) Write(b []byte) (int, error) {
	n, err := l.Conn.Write(b)
	l.mu.Lock()
	l.written += int64(n)
	l.mu.Unlock()
	return n, err
}

// owe notes an answer of n bytes that is to be written.
func (l *line) owe(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.release(min(l.held, framing/4+n>>7)) // what its client sends of windows for it was no message
	if l.gate.patience <= 0 {
		return
	}
	if !l.watched {
		l.watched, l.written = true, l.owed // what was written besides was no answer
		l.due = l.owed + n
		time.AfterFunc(l.gate.patience, l.look)
	}
	l.owed += n
}

// look ends the connection if too much of what was due is not written.
func (l *line) look() {
	l.mu.Lock()
	left := l.due-l.written > maxUntaken
	l.mu.Unlock()
	if left {
		_ = l.Close() // as gRPC learns from its next read
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written = max(l.written, l.due) // answers of calls that were given up are never written
	if l.watched = l.owed > l.written; l.watched {
		l.due = l.owed
		time.AfterFunc(l.gate.patience, l.look)
	}
}

// RemoteAddr implements net.Conn.
func (l *line) RemoteAddr() net.Addr { return lineAddr{l.Conn.RemoteAddr(), l} }

// lineAddr is an address that its connection is found by: of a connection gRPC tells no more.
type lineAddr struct {
	net.Addr
	line *line
}
