package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// ticking is a model server whose answers go on until their client leaves: server-sent events, a WebSocket, and calls.
func ticking(t *testing.T) (rest, calls string) {
	t.Helper()
	const tick = 5 * time.Millisecond
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			for r.Context().Err() == nil {
				_, _ = fmt.Fprint(w, "data: x\n\n")
				_ = http.NewResponseController(w).Flush()
				time.Sleep(tick)
			}
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		_, err = fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		for err == nil {
			_, err = fmt.Fprint(c, "data: x\n\n")
			time.Sleep(tick)
		}
	}))
	t.Cleanup(up.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		for s.SendMsg(&emptypb.Empty{}) == nil {
			time.Sleep(tick)
		}
		return nil
	}))
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return up.URL, l.Addr().String()
}

// Streams that pass a proxy go on while the server drains, and are cut off at its end and no later, which the error of Stop
// says; of those that end before it says nothing.
func TestStopsWithStreams(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	rest, calls := ticking(t)
	// open gives what waits for the next of a stream, and what leaves it.
	for name, open := range map[string]func(t *testing.T, s *running) (next func() error, leave func()){
		"events": func(t *testing.T, s *running) (func() error, func()) {
			resp, err := http.Get(s.url("http", "/v2/models/small/events"))
			if err != nil {
				t.Fatal(err)
			}
			return eachLine(resp.Body), func() { _ = resp.Body.Close() }
		},
		"a WebSocket": func(t *testing.T, s *running) (func() error, func()) {
			c, err := net.Dial("tcp", s.Address("http").String())
			if err != nil {
				t.Fatal(err)
			}
			_, err = fmt.Fprint(c, "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			if err != nil {
				t.Fatal(err)
			}
			return eachLine(c), func() { _ = c.Close() }
		},
		"a stream of calls": func(t *testing.T, s *running) (func() error, func()) {
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			c, err := s.calls().NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/inference.GRPCInferenceService/ModelStreamInfer")
			if err != nil {
				t.Fatal(err)
			}
			return func() error { return c.RecvMsg(&emptypb.Empty{}) }, cancel
		},
	} {
		for _, leaves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, its client leaves: %v", name, leaves), func(t *testing.T) {
				s := run(t, dir, allListen+"models: [{name: small, detector: guard, upstream: {url: '"+rest+"', grpc: '"+calls+"'}}]\n")
				next, leave := open(t, s)
				defer leave()
				if err := next(); err != nil {
					t.Fatal(err)
				}
				ctx, end := context.WithCancel(context.Background())
				defer end()
				stopped := make(chan error, 1)
				go func() { stopped <- s.Stop(ctx) }()
				for ok := true; ok; { // until it drains
					c, err := net.Dial("tcp", s.Address("http").String())
					if ok = err == nil; ok {
						_ = c.Close()
						time.Sleep(time.Millisecond)
					}
				}
				for range 20 {
					if err := next(); err != nil {
						t.Fatalf("it is cut off while the server drains: %v", err)
					}
				}
				select {
				case err := <-stopped:
					t.Fatalf("Stop does not wait for it: %v", err)
				default:
				}
				if leaves {
					leave()
				} else {
					end()
				}
				err := within(t, stopped)
				if leaves && err != nil || !leaves && (err == nil || !strings.Contains(err.Error(), "cut off")) {
					t.Errorf("%v", err)
				}
				ended := make(chan error, 1)
				go func() {
					for {
						if err := next(); err != nil {
							ended <- err
							return
						}
					}
				}()
				within(t, ended)
			})
		}
	}
}

// eachLine waits for lines, one after the other.
func eachLine(r io.Reader) func() error {
	b := bufio.NewReader(r)
	return func() error {
		_, err := b.ReadString('\n')
		return err
	}
}

// within waits for an error, for as long as a busy machine may take.
func within(t *testing.T, c <-chan error) error {
	t.Helper()
	select {
	case err := <-c:
		return err
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
		return nil
	}
}
