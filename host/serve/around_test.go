package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"

	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/vaeguard/vaeguard/host/serve/oip"
)

// Probes need no token, and what only begins like one does.
func TestProbesAlone(t *testing.T) {
	var s tokens
	s.set("secret")
	h := s.guard(asBearer, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	for path, header := range map[string]http.Header{"/v2/health/live": {"Connection": {"Upgrade"}, "Upgrade": {"h2c"}}, "/v2/health/live/": nil, "/v2": nil} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header = header
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusUnauthorized {
			t.Errorf("%s %v: %d", path, header, w.Code)
		}
	}
	ctx := metadata.NewIncomingContext(context.Background(), metadata.MD{})
	for _, method := range []string{"/grpc.health.v1.Health/../inference.GRPCInferenceService/ModelInfer", "/grpc.health.v1.Health/%2e%2e/x", "/grpc.health.v1.Healthy/Check"} {
		if s.admit(ctx, method) == nil {
			t.Errorf("%s needs no token", method)
		}
	}
	if err := s.admit(ctx, "/grpc.health.v1.Health/Check"); err != nil {
		t.Error(err)
	}
}

// Names that no metric, log or answer can have are no models: one would end the server.
func TestOddFolders(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"1", "ä", "caf\xe9", "a\nb", "a\x1bb"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			t.Skip(err) // a file system that has no such names
		}
	}
	if got := folders(dir); !slices.Equal(got, []string{"1", "ä"}) {
		t.Errorf("%q", got)
	}
}

// Health is asked by anybody, as often as they like: the answer does not look at the folders of the repository.
func TestHealthReadsNoFolders(t *testing.T) {
	dir := t.TempDir()
	for i := range 200 {
		if err := os.MkdirAll(filepath.Join(dir, "m", fmt.Sprint(i), "detector"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	m := newModels(newSource(&Spec{Repository: dir}), ModelOptions{})
	m.entries["m"] = &entry{name: "m", reason: "it is being opened"}
	h := oip.Handler(m, oip.Options{})
	for _, path := range []string{"/v2/health/ready", "/v2/models/m/ready", "/v1/models/m", "/v1/models"} {
		n := testing.AllocsPerRun(5, func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil)) })
		if n > 200 {
			t.Errorf("%s: %g allocations", path, n)
		}
	}
}
