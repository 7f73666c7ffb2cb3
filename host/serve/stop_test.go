package serve_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

const allListen = "listen: {http: '127.0.0.1:0', grpc: '127.0.0.1:0', admin: '127.0.0.1:0', pprof: true}\n"

// calls is a connection over gRPC until the test ends.
func (s *running) calls() *grpc.ClientConn {
	s.t.Helper()
	c, err := grpc.NewClient(s.Address("grpc").String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// open asks for what goes on and on, and has its first bytes.
func (s *running) open(listener, path string, first int) {
	s.t.Helper()
	resp, err := http.Get(s.url(listener, path))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = resp.Body.Close() })
	if _, err := io.ReadFull(bufio.NewReader(resp.Body), make([]byte, first)); err != nil || resp.StatusCode != http.StatusOK {
		s.t.Fatal(resp.Status, err)
	}
}

// Whoever looks at the page, at the server's health, or at a profile of it does not keep it from stopping.
func TestStopsWhileLookedAt(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	for name, look := range map[string]func(t *testing.T, s *running){
		"the page": func(_ *testing.T, s *running) { s.open("admin", "/live", 10) },
		"health": func(t *testing.T, s *running) {
			for _, service := range []string{"", "small", "another"} {
				w, err := healthpb.NewHealthClient(s.calls()).Watch(t.Context(), &healthpb.HealthCheckRequest{Service: service})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Recv(); err != nil {
					t.Fatal(err)
				}
			}
		},
		"a profile": func(t *testing.T, s *running) {
			ctx, cancel := context.WithCancel(t.Context())
			t.Cleanup(cancel)
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url("admin", "/debug/pprof/trace?seconds=3600"), nil)
			if err != nil {
				t.Fatal(err)
			}
			begun := make(chan struct{})
			go func() {
				resp, err := http.DefaultClient.Do(r)
				close(begun)
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			}()
			<-begun
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := run(t, dir, allListen+"models: [{name: small, detector: guard}]\n")
			look(t, s)
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// Before it stops, the server says everywhere that it is not ready, and answers on.
func TestLeavesBeforeItStops(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, allListen+"models: [{name: small, detector: guard}]\n")
	health := healthpb.NewHealthClient(s.calls())
	conn := s.calls()
	w, err := health.Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	states := func(want bool) {
		t.Helper()
		serving := healthpb.HealthCheckResponse_NOT_SERVING
		if want {
			serving = healthpb.HealthCheckResponse_SERVING
		}
		for path, listener := range map[string]string{"/readyz": "admin", "/v2/health/ready": "http", "/v2/models/small/ready": "http"} {
			if got, text := s.get(listener, path); got == http.StatusOK != want || !strings.Contains(text, fmt.Sprintf(`"ready":%t`, want)) && listener == "admin" {
				t.Errorf("%s: %d %s", path, got, text)
			}
		}
		for _, name := range []string{"", "small", inference.Service} {
			if got, err := health.Check(t.Context(), &healthpb.HealthCheckRequest{Service: name}); err != nil || got.Status != serving {
				t.Errorf("health of %q: %v, %v", name, got, err)
			}
		}
		if got, err := w.Recv(); err != nil || got.Status != serving {
			t.Errorf("who watches hears %v, %v", got, err)
		}
		var server inference.ServerReadyResponse
		if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ServerReady", &inference.ServerReadyRequest{}, &server); err != nil || server.Ready != want {
			t.Errorf("ServerReady: %v, %v", server.Ready, err)
		}
		var model inference.ModelReadyResponse
		if err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ModelReady", &inference.ModelReadyRequest{Name: "small"}, &model); err != nil || model.Ready != want {
			t.Errorf("ModelReady: %v, %v", model.Ready, err)
		}
		for path, listener := range map[string]string{"/livez": "admin", "/v2/health/live": "http"} {
			if got, text := s.get(listener, path); got != http.StatusOK {
				t.Errorf("%s: %d %s", path, got, text)
			}
		}
		if code, text, _ := s.post("/judge/small", body(1, 2)); code != http.StatusOK {
			t.Errorf("%d %s", code, text)
		}
	}
	states(true)
	s.Leave()
	states(false)
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if _, err := http.Get(s.url("http", "/v2/health/live")); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("after it: %v", err)
	}
}

// Run leaves for limits.linger, and then stops.
func TestLingers(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	m := newManager(t, dir, "100000")
	s := prepare(t, dir, allListen+"models: [{name: small, detector: guard}]\nlimits: {linger: 400ms}\n")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, nil) }()
	m.until("READY=1")
	start := time.Now()
	cancel()
	m.until("STOPPING=1")
	if err := <-ended; err != nil || time.Since(start) < 400*time.Millisecond {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}
