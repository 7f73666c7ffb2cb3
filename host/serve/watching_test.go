package serve_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve/inference"
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

// A client who asks about nearly the same input again and again is refused where the file says so, over both protocols.
func TestRefusedClients(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	s := run(t, dir, allListen+"models: [{name: small, detector: guard}]\nwatch: {refuse: 3}\n")
	conn := s.calls()
	asked := 0
	rows := func() []float32 {
		row := make([]float32, 64)
		for i := range row {
			row[i] = float32(i*i%64) / 64
		}
		asked++
		row[7] += float32(asked) / 4096
		return row
	}
	rest := func() (int, string, http.Header) {
		data, err := json.Marshal(rows())
		if err != nil {
			t.Fatal(err)
		}
		return s.post("/v2/models/small/infer", fmt.Sprintf(`{"inputs":[{"name":"x","shape":[1,64],"datatype":"FP32","data":%s}]}`, data))
	}
	for range 4 {
		if code, text, _ := rest(); code != http.StatusOK {
			t.Fatalf("%d %s", code, text)
		}
	}
	code, text, h := rest()
	if code != http.StatusTooManyRequests || !strings.Contains(text, "again and again") || h.Get("Retry-After") == "" {
		t.Errorf("%d %s, Retry-After %q", code, text, h.Get("Retry-After"))
	}
	err := conn.Invoke(t.Context(), "/inference.GRPCInferenceService/ModelInfer", &inference.ModelInferRequest{ModelName: "small",
		Inputs: []*inference.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 64}, Contents: &inference.InferTensorContents{Fp32Contents: rows()}}}},
		&inference.ModelInferResponse{})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("over gRPC: %v", err)
	}
	_, text = s.get("admin", "/metrics")
	for _, want := range []string{`vaeguard_alarms_total{kind="refused",model="small"} 1`, `vaeguard_limited_requests_total{model="small"} 2`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if !strings.Contains(s.log.String(), "a client is refused for a while") {
		t.Error("the log does not name the client")
	}
}
