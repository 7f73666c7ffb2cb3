package serve_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/servetest"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
)

// all is a file with all that a server before a model server has, beside a repository.
const all = `api_version: vaeguard/v1
kind: Server
listen: {http: 127.0.0.1:8080, grpc: 127.0.0.1:9000, admin: 127.0.0.1:9090}    # unix:PATH too; tls: {cert, key, client_ca}, reloaded
repository: models/                 # NAME/VERSION/ = a detector; or list them:
models:
  - name: fashion
    detector: runs/first
    upstream: {url: http://127.0.0.1:8000, model: fashion}   # proxy: whose answer is P. Absent: the detector's own classifier answers
    reconstruct_with: {plugin: onnx, config: {model: fashion.onnx}}   # who answers for x': a local copy, another replica; default the upstream
    policy: annotate                # observe | annotate | block | correct
    on_failure: open                # open: the model's answer goes out unjudged and is counted; closed: 503
    batching: {max_rows: 64, max_delay: 2ms}
    budget: {extra_rows_per_second: 5000, sample: 1.0}       # share of traffic judged
limits: {body: 64MiB, queue: 1024, deadline: 1s, per_client_rows_per_second: 0}
auth: {bearer: ${TOKEN}}            # clients; admin has its own
events: {reply_url: http://broker.example/default, type: org.kubeflow.serving.inference.outlier}
`

// shuffled has the keys of a mapping of YAML, at an indent, in another order.
func shuffled(text, indent string, r *rand.Rand) string {
	begins := regexp.MustCompile(`(?m)^`+indent+`[a-z]`).FindAllStringIndex(text, -1)
	head := text[:begins[0][0]]
	var parts []string
	for i, b := range begins {
		end := len(text)
		if i+1 < len(begins) {
			end = begins[i+1][0]
		}
		parts = append(parts, text[b[0]:end])
	}
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return head + strings.Join(parts, "")
}

// The whole of what a file may say together is sound, whatever the order of its keys, and means what it says.
func TestWholeFile(t *testing.T) {
	t.Setenv("TOKEN", "a-token-of-clients")
	r := rand.New(rand.NewPCG(1, 1))
	at := strings.Index(all, "    detector:")
	end := strings.Index(all, "limits:")
	for i := range 50 {
		text := all
		if i > 0 { // the model's own keys, but for the first, and then those of the file
			text = shuffled(all[:at]+shuffled(all[at:end], "    ", r)+all[end:], "", r)
		}
		file := filepath.Join(t.TempDir(), "server.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := serve.Load(file, nil, components())
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		m := s.Models[0]
		if s.Repository != "models/" || s.Auth.Bearer != "a-token-of-clients" || s.Events.ReplyURL == "" || m.Name != "fashion" || m.Detector != "runs/first" || m.Upstream.Model != "fashion" ||
			m.ReconstructWith == nil || m.Budget.ExtraRows != 5000 || m.Batching.MaxRows != 64 || s.Limits.Queue != 1024 {
			t.Fatalf("%+v\n%s", s, text)
		}
	}
}

// Beside models that a server answers for, those of the repository and of the file are served by the guard itself, over both
// protocols; whatever names none of them passes.
func TestOwnBesideProxied(t *testing.T) {
	dir := t.TempDir()
	servetest.Train(t, components(), filepath.Join(dir, "guard"), 0)
	for _, copy := range []string{"repository/stored/3", "repository/theirs/1", "listed"} {
		if err := os.CopyFS(filepath.Join(dir, copy), os.DirFS(filepath.Join(dir, "guard"))); err != nil {
			t.Fatal(err)
		}
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "upstream ", r.RequestURI) }))
	t.Cleanup(up.Close)
	s := run(t, dir, allListen+"repository: repository\nmodels:\n  - {name: small, detector: guard, upstream: {url: '"+up.URL+"', grpc: '127.0.0.1:1', model: theirs}}\n  - {name: listed, detector: listed}\n")
	x := tensors.FromFloat32s("x", []int64{2, 64}, make([]float32, 128))
	text, _ := tensors.AppendRequest(nil, tensors.Request{Inputs: []tensors.Tensor{x}}, nil)
	c := s.calls()
	for _, name := range []string{"stored", "listed"} {
		code, got, _ := s.post("/v2/models/"+name+"/infer", string(text))
		r, err := tensors.ParseResponse([]byte(got), -1, tensors.Limits{})
		if code != http.StatusOK || err != nil || r.Model != name || len(r.Outputs) < 5 {
			t.Errorf("%s: %d %s %v", name, code, got, err)
		}
		if code, got, _ := s.post("/v1/models/"+name+":predict", `{"instances": [[`+strings.TrimSuffix(strings.Repeat("0,", 64), ",")+`]]}`); code != http.StatusOK || !strings.Contains(got, "is_adversarial") {
			t.Errorf("%s: %d %s", name, code, got)
		}
		if code, got := s.get("http", "/v2/models/"+name+"/ready"); code != http.StatusOK || strings.Contains(got, "upstream") {
			t.Errorf("%s: %d %s", name, code, got)
		}
		var out inference.ModelInferResponse
		if err := c.Invoke(t.Context(), inference.ModelInfer, tensors.Request{Model: name, Inputs: []tensors.Tensor{x}}.Message(), &out); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		called, err := tensors.FromResponse(&out, tensors.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		for i, o := range called.Outputs {
			if !bytes.Equal(o.Raw, r.Outputs[i].Raw) {
				t.Errorf("%s: %s differs between the protocols", name, o.Name)
			}
		}
		var ready inference.ModelReadyResponse
		if err := c.Invoke(t.Context(), inference.ModelReady, &inference.ModelReadyRequest{Name: name}, &ready); err != nil || !ready.Ready {
			t.Errorf("%s: %v", name, err)
		}
		var about inference.ModelMetadataResponse
		if err := c.Invoke(t.Context(), inference.ModelMetadata, &inference.ModelMetadataRequest{Name: name}, &about); err != nil || about.Name != name {
			t.Errorf("%s: %v", name, err)
		}
		if err := c.Invoke(t.Context(), inference.ModelInfer, &inference.ModelInferRequest{ModelName: name}, &out); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s without rows: %v", name, err)
		}
	}
	for _, path := range []string{"/v2", "/v2/health/ready", "/v2/models/theirs", "/v2/models/small", "/v2/models/unknown/ready", "/v2/models/stored/../theirs", "/else"} {
		if code, got := s.get("http", path); code != http.StatusOK || !strings.HasPrefix(got, "upstream ") {
			t.Errorf("%s: %d %s", path, code, got)
		}
	}
	if code, got, _ := s.post("/v2/models/theirs/infer", string(text)); code != http.StatusOK || !strings.HasPrefix(got, "upstream ") { // and not the repository's
		t.Errorf("%d %s", code, got)
	}
	var ready inference.ModelReadyResponse
	if err := c.Invoke(t.Context(), inference.ModelReady, &inference.ModelReadyRequest{Name: "theirs"}, &ready); status.Code(err) != codes.Unavailable {
		t.Errorf("a call for the model server, which is not there: %v", err)
	}
	var all struct{ Models []struct{ Name string } }
	if _, got := s.get("admin", "/readyz"); json.Unmarshal([]byte(got), &all) != nil || !strings.Contains(got, `"ready":true`) {
		t.Errorf("%s", got)
	}
}
