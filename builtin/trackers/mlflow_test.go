package trackers

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/track"
)

// server is a tracking server as far as this asks for one.
type server struct {
	mu      sync.Mutex
	calls   []string // METHOD path body
	auth    []string
	metrics map[string]restMetric // the last of each
	broken  bool
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	path := strings.TrimPrefix(r.URL.RequestURI(), "/prefix/api/2.0/")
	s.calls = append(s.calls, r.Method+" "+path+" "+string(body))
	s.auth = append(s.auth, r.Header.Get("Authorization"))
	info := map[string]any{"run_id": "r1", "artifact_uri": "mlflow-artifacts:/7/r1/artifacts"}
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	switch {
	case s.broken:
		w.WriteHeader(http.StatusInternalServerError)
		answer(map[string]any{"error_code": "INTERNAL_ERROR", "message": "no disk"})
	case strings.HasPrefix(path, "mlflow/experiments/get-by-name"):
		w.WriteHeader(http.StatusNotFound)
		answer(map[string]any{"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such experiment"})
	case path == "mlflow/experiments/create":
		answer(map[string]any{"experiment_id": "7"})
	case path == "mlflow/runs/create":
		answer(map[string]any{"run": map[string]any{"info": info}})
	case strings.HasPrefix(path, "mlflow/runs/get"):
		list := []any{}
		for _, m := range s.metrics { // steps as texts, as the JSON of protobuf has them
			list = append(list, map[string]any{"key": m.Key, "value": m.Value, "step": fmt.Sprint(m.Step)})
		}
		answer(map[string]any{"run": map[string]any{"info": info, "data": map[string]any{"metrics": list}}})
	case path == "mlflow/runs/log-batch":
		var in struct{ Metrics []restMetric }
		if err := json.Unmarshal(body, &in); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		for _, m := range in.Metrics {
			s.metrics[m.Key] = m
		}
		answer(map[string]any{})
	default:
		answer(map[string]any{})
	}
}

func startServer(t *testing.T) (*server, string) {
	t.Helper()
	s := &server{metrics: map[string]restMetric{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, h.URL + "/prefix"
}

// A run at a server: what is sent, once each, and who sends it.
func TestRest(t *testing.T) {
	for _, name := range []string{"MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"} {
		t.Setenv(name, "")
	}
	s, address := startServer(t)
	dir := t.TempDir()
	interruptedRun(t, "mlflow:"+strings.Replace(address, "http://", "http://me:secret@", 1), dir)
	var losses []float64
	var status []string
	for i, c := range s.calls {
		method, rest, _ := strings.Cut(c, " ")
		path, body, _ := strings.Cut(rest, " ")
		if s.auth[i] != "Basic bWU6c2VjcmV0" { // me:secret
			t.Errorf("%s: authorization %q", path, s.auth[i])
		}
		if strings.Contains(c, "secret") {
			t.Errorf("%s tells the password", c)
		}
		var in struct {
			Status  string
			Metrics []restMetric
		}
		if method == http.MethodPost {
			if err := json.Unmarshal([]byte(body), &in); err != nil {
				t.Fatalf("%s: %v", c, err)
			}
		}
		for _, m := range in.Metrics {
			if m.Key == "loss" {
				losses = append(losses, float64(m.Value))
			}
		}
		if in.Status != "" {
			status = append(status, in.Status)
		}
	}
	if want := []float64{loss(1), loss(2), loss(3), loss(4), loss(5)}; !slices.Equal(losses, want) {
		t.Errorf("losses %v, want %v", losses, want)
	}
	if want := []string{"KILLED", "RUNNING", "FINISHED"}; !slices.Equal(status, want) {
		t.Errorf("status %v, want %v", status, want)
	}
	if !slices.Contains(s.calls, "PUT mlflow-artifacts/artifacts/7/r1/artifacts/report.html <html>") {
		t.Errorf("the artifact is not there: %q", s.calls)
	}
	state, err := os.ReadFile(filepath.Join(dir, "track.json"))
	if err != nil || strings.Contains(string(state), "secret") || !strings.Contains(string(state), `"r1"`) {
		t.Errorf("state %s, %v", state, err)
	}
}

// A server takes 100 params in a call, and values that JSON does not have as texts.
func TestRestLimits(t *testing.T) {
	s, address := startServer(t)
	t.Setenv("MLFLOW_TRACKING_USERNAME", "")
	t.Setenv("MLFLOW_TRACKING_TOKEN", "abc")
	r := track.Run{Name: "n", Group: "g", Target: address}
	for k := range 230 {
		r.Params = append(r.Params, track.Param{Name: fmt.Sprintf("p[%d]", k), Value: "v"})
	}
	l, err := MLflow{}.Start(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Metrics(t.Context(), 1, time.UnixMilli(5), []track.Value{{Name: "a", Value: math.Inf(1)}, {Name: "b", Value: math.NaN()}}); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, c := range s.calls {
		if strings.Contains(c, `"params"`) {
			sizes = append(sizes, strings.Count(c, `"key"`))
		}
	}
	if !slices.Equal(sizes, []int{100, 100, 30}) {
		t.Errorf("params in calls of %v", sizes)
	}
	if want := `POST mlflow/runs/log-batch {"metrics":[{"key":"a","value":"Infinity","timestamp":5,"step":1},{"key":"b","value":"NaN","timestamp":5,"step":1}],"run_id":"r1"}`; s.calls[len(s.calls)-1] != want {
		t.Errorf("%s, want %s", s.calls[len(s.calls)-1], want)
	}
	if s.auth[0] != "Bearer abc" {
		t.Errorf("authorization %q", s.auth[0])
	}
}

// What a server says is wrong is told; one that is not there is an error too.
func TestRestFaults(t *testing.T) {
	s, address := startServer(t)
	s.broken = true
	if _, err := (MLflow{}).Start(t.Context(), track.Run{Target: address}); err == nil || !strings.Contains(err.Error(), "answers 500: no disk") {
		t.Errorf("%v", err)
	}
	h := httptest.NewServer(http.NotFoundHandler())
	if _, err := (MLflow{}).Start(t.Context(), track.Run{Target: h.URL}); err == nil || !strings.Contains(err.Error(), "answers 404: Not Found") {
		t.Errorf("%v", err)
	}
	h.Close()
	if _, err := (MLflow{}).Start(t.Context(), track.Run{Target: strings.Replace(h.URL, "//", "//me:secret@", 1)}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// The file store of a run that was interrupted has each epoch once, and a second run
// is of the same experiment.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	store := filepath.Join(dir, "store")
	interruptedRun(t, "mlflow:"+store, dir)
	session(t, "mlflow:"+fileURL(store), t.TempDir(), false).Close(track.Failed)
	runs, err := filepath.Glob(filepath.Join(store, "*", "*", "meta.yaml"))
	if experiments, _ := filepath.Glob(filepath.Join(store, "*", "meta.yaml")); err != nil || len(runs) != 2 || len(experiments) != 1 {
		t.Fatalf("runs %v, experiments %v", runs, experiments)
	}
	states := map[string]int{}
	for _, meta := range runs {
		text, err := os.ReadFile(meta)
		if err != nil {
			t.Fatal(err)
		}
		_, state, _ := strings.Cut(string(text), "\nstatus: ")
		states[state[:1]]++
		lines, err := os.ReadFile(filepath.Join(filepath.Dir(meta), "metrics", "loss"))
		if state[0] == '3' && (err != nil || strings.Count(string(lines), "\n") != 5) {
			t.Errorf("losses %q, %v", lines, err)
		}
	}
	if states["3"] != 1 || states["4"] != 1 { // finished, failed
		t.Errorf("states %v", states)
	}
}
