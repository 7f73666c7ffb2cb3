package serve

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	"github.com/vaeguard/vaeguard/host/serve/inference"
)

// sinkhole is a connection that takes what a test lets it.
type sinkhole struct {
	net.Conn
	closed atomic.Bool
}

func (s *sinkhole) Write(b []byte) (int, error) { return len(b), nil }

func (s *sinkhole) Close() error {
	s.closed.Store(true)
	return nil
}

// TestLine: a connection ends when answers are left lying for too long, not when they are slow, few, or of calls that
// were given up. The looks are the test's.
func TestLine(t *testing.T) {
	const large = 2 * maxUntaken
	owe := func(n int64) func(*line) { return func(l *line) { l.owe(n) } }
	take := func(n int) func(*line) { return func(l *line) { _, _ = l.Write(make([]byte, n)) } }
	look := (*line).look
	for name, c := range map[string]struct {
		acts   []func(*line)
		closes bool
	}{
		"nothing of a large answer":         {[]func(*line){owe(large), look}, true},
		"a tenth of a large answer":         {[]func(*line){owe(large), take(large / 10), look}, true},
		"all of it":                         {[]func(*line){owe(large), take(large), look, look}, false},
		"all of it in pieces":               {[]func(*line){owe(large), take(large / 2), look, take(large / 2), look}, false},
		"nothing of a small one":            {[]func(*line){owe(maxUntaken), look, look}, false},
		"many small ones":                   {[]func(*line){owe(maxUntaken / 2), owe(maxUntaken), owe(maxUntaken), look, look}, true},
		"one that has had no time yet":      {[]func(*line){owe(1), owe(large), look, take(large), look}, false},
		"one that has had its time":         {[]func(*line){owe(1), owe(large), look, look}, true},
		"small ones, given up, each later":  {[]func(*line){owe(maxUntaken), look, owe(maxUntaken), look, owe(maxUntaken), look}, false},
		"large ones, one after the other":   {[]func(*line){owe(large), take(large), look, owe(large), take(large), look}, false},
		"much before that was no answer":    {[]func(*line){take(8 * large), owe(large), look}, true},
		"much between that was no answer":   {[]func(*line){owe(1), take(8 * large), look, owe(large), look}, true},
		"nothing while another takes twice": {[]func(*line){owe(large), owe(large), take(2 * large), look, look}, false},
	} {
		t.Run(name, func(t *testing.T) {
			to := &sinkhole{}
			l := &line{Conn: to, gate: &gate{patience: time.Hour}}
			for _, act := range c.acts {
				act(l)
			}
			if got := to.closed.Load(); got != c.closes {
				t.Errorf("closed: %v", got)
			}
		})
	}
}

// TestGate: the clock of a call's message stops when it is there, and only then; who has no token gets no clock.
func TestGate(t *testing.T) {
	synctest.Test(t, testGate) // the clock is the test's
}

func testGate(t *testing.T) {
	s := &Server{models: &Models{}, refused: func(string, time.Duration) {}}
	s.bearer.set("secret-of-clients")
	g := &gate{s: s, patience: 500 * time.Millisecond}
	ask := func(md ...string) (context.Context, error) {
		ctx, cancel := context.WithCancel(metadata.NewIncomingContext(context.Background(), metadata.Pairs(md...)))
		t.Cleanup(cancel)
		return g.enter(ctx, &tap.Info{FullMethodName: inference.ModelInfer})
	}
	for _, given := range []string{"", "Bearer ", "Bearer secret-of-client", "Basic secret-of-clients"} {
		if _, err := ask("authorization", given); status.Code(err) != codes.Unauthenticated {
			t.Errorf("%q: %v", given, err)
		}
	}
	late, err := ask("authorization", "Bearer secret-of-clients")
	if err != nil {
		t.Fatal(err)
	}
	there, err := ask("authorization", "Bearer secret-of-clients")
	if err != nil {
		t.Fatal(err)
	}
	g.HandleRPC(there, &stats.InPayload{})
	<-late.Done()
	if err := late.Err(); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(context.Cause(late), errLate) {
		t.Errorf("%v", err)
	}
	time.Sleep(200 * time.Millisecond)
	if err := there.Err(); err != nil {
		t.Errorf("a call whose message was there ended: %v", err)
	}
}

// fountain is a connection that gives as much as is read.
type fountain struct{ sinkhole }

func (s *fountain) Read(b []byte) (int, error) { return len(b), nil }

// TestMessagesAreBounded: messages that come hold no more than there is memory for, of all connections; those that
// hold little go on, and what is there, or will never be, holds nothing.
func TestMessagesAreBounded(t *testing.T) {
	g := &gate{memory: 4 * maxSpared}
	begin := func(calls int) (*line, *fountain) {
		to := &fountain{}
		l := &line{Conn: to, gate: g}
		for range calls {
			l.begin()
		}
		return l, to
	}
	read := func(l *line, n int) error {
		_, err := l.Read(make([]byte, n))
		return err
	}
	large, closes := begin(2)
	small, _ := begin(1)
	idle, _ := begin(0)
	if err := errors.Join(read(large, 3*maxSpared), read(small, maxSpared/2), read(idle, 8*maxSpared)); err != nil {
		t.Fatal(err)
	}
	if err := read(small, maxSpared/2); err != nil || g.held.Load() != 4*maxSpared {
		t.Fatalf("%v, %d held", err, g.held.Load())
	}
	large.settle(2 * maxSpared) // is there
	if n := g.held.Load(); n != 2*maxSpared-framing-2*maxSpared>>7 {
		t.Errorf("%d held", n)
	}
	if err := errors.Join(read(large, 2*maxSpared), read(small, 0)); err != nil {
		t.Fatal(err)
	}
	if err := read(large, maxSpared); !errors.Is(err, errFull) || !closes.closed.Load() {
		t.Errorf("%v, closed %v", err, closes.closed.Load())
	}
	if n := g.held.Load(); n != maxSpared {
		t.Errorf("%d held once it is closed", n)
	}
	small.settle(0) // the caller left
	if n := g.held.Load(); n != 0 {
		t.Errorf("%d held in the end", n)
	}
	_ = large.Close()
	if n := g.held.Load(); n != 0 {
		t.Errorf("%d held after another end", n)
	}
}

// receiving is a stream of which test says what comes while a message is waited for.
type receiving struct {
	grpc.ServerStream
	ctx   context.Context
	comes func() error
}

func (r *receiving) Context() context.Context    { return r.ctx }
func (r *receiving) RecvMsg(any) error           { return r.comes() }
func (r *receiving) SetHeader(metadata.MD) error { return nil }

// TestStreamsAreBounded: what comes of messages of a stream is held until each is there, whatever the call; while none is waited
// for nothing is, and windows that a client gives for answers are forgotten.
func TestStreamsAreBounded(t *testing.T) {
	s := &Server{models: &Models{}, refused: func(string, time.Duration) {}, traces: &tracing{}}
	g := &gate{s: s, memory: 4 * maxSpared}
	to := &fountain{}
	l := &line{Conn: to, gate: g}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), lineKey{}, l))
	defer cancel()
	ctx, err := g.enter(ctx, &tap.Info{FullMethodName: "/grpc.health.v1.Health/Check"})
	if err != nil {
		t.Fatal(err)
	}
	read := func(n int) error {
		_, err := l.Read(make([]byte, n))
		return err
	}
	one := &receiving{ctx: ctx}
	err = s.stream(nil, one, &grpc.StreamServerInfo{FullMethod: "/grpc.health.v1.Health/Check", IsClientStream: true, IsServerStream: true}, func(_ any, ss grpc.ServerStream) error {
		for range 3 {
			one.comes = func() error {
				if err := read(3 * maxSpared); err != nil {
					return err
				}
				g.HandleRPC(ctx, &stats.InPayload{WireLength: 3*maxSpared - framing})
				return nil
			}
			if err := ss.RecvMsg(nil); err != nil {
				t.Fatal(err)
			}
			if n := g.held.Load(); n != 0 {
				t.Errorf("%d held of a message that is there", n)
			}
			if err := read(8 * maxSpared); err != nil || g.held.Load() != 0 {
				t.Errorf("%v, %d held while no message is waited for", err, g.held.Load())
			}
		}
		one.comes = func() error {
			if err := read(maxSpared); err != nil {
				return err
			}
			g.HandleRPC(context.WithValue(ctx, arrivalKey{}, nil), &stats.OutPayload{WireLength: 128 * maxSpared})
			if n := g.held.Load(); n != 0 {
				t.Errorf("%d held of windows", n)
			}
			return errors.Join(read(4*maxSpared), read(1))
		}
		return ss.RecvMsg(nil)
	})
	if !errors.Is(err, errFull) || !to.closed.Load() {
		t.Errorf("%v, closed %v", err, to.closed.Load())
	}
	if n := g.held.Load(); n != 0 {
		t.Errorf("%d held in the end", n)
	}
}
