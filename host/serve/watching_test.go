package serve_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/serve/servetest"
)

// What a model has counted is told while its classifier is away too: alerts are for then.
func TestMetricsWhileAway(t *testing.T) {
	dir := t.TempDir()
	w := servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, listens+"models: [{name: small, detector: guard}]\n")
	w.Control(t, servetest.Away)
	for range 3 {
		if code, text, _ := s.post("/judge/small", body(1, 1)); code != http.StatusServiceUnavailable {
			t.Fatalf("%d %s", code, text)
		}
	}
	await(t, "unready", func() bool { ok, _ := s.Ready(); return !ok })
	_, text := s.get("admin", "/metrics")
	version := ""
	for _, m := range s.Models().List() {
		version = m.Version
	}
	for _, want := range []string{
		fmt.Sprintf(`vaeguard_model_ready{model="small",version=%q} 0`, version),
		`vaeguard_away_requests_total{model="small"} 3`, `vaeguard_shed_requests_total{model="small"} 0`, `vaeguard_limited_requests_total{model="small"} 0`,
		`vaeguard_waiting_rows{model="small"} 0`, `vaeguard_classifier_restarts_total{model="small"} `, `vaeguard_skipped_requests_total{model="small",reason="sample"} 0`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s while the classifier is away", want)
		}
	}
}
