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

// Versions that took the place of others, and those that were refused, are counted by model.
func TestReloadsAreCounted(t *testing.T) {
	dir := t.TempDir()
	at := func(version string) string { return filepath.Join(dir, "models", "small", version) }
	servetest.Train(t, components(), at("1"), 0)
	s := run(t, dir, listens+"repository: models\n")
	counts := func(done, refused int) {
		t.Helper()
		_, text := s.get("admin", "/metrics")
		for outcome, n := range map[string]int{"done": done, "refused": refused} {
			if want := fmt.Sprintf("\nvaeguard_reloads_total{model=\"small\",outcome=%q} %d\n", outcome, n); !strings.Contains(text, want) {
				t.Errorf("no %s", want)
			}
		}
	}
	counts(0, 0)
	if err := s.Models().Load(t.Context(), "small"); err != nil {
		t.Fatal(err)
	}
	counts(1, 0)
	spoil(t, at("1"), at("2"))
	if err := s.Models().Load(t.Context(), "small"); err == nil {
		t.Fatal("a broken version is loaded")
	}
	if n := s.Models().Reloads(); n.Done != 1 || n.Refused == 0 {
		t.Errorf("%+v", n)
	}
	counts(1, int(s.Models().Reloads().Refused))
}
