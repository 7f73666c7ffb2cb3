package proxy_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/host/serve/proxy"
	"github.com/vaeguard/vaeguard/host/serve/tensors"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// mlspec is a guard of MLServer's model, which is asked there.
const mlspec = `api_version: vaeguard/v1
kind: Experiment
name: ml
seed: 5
data:
  train:       {dataset: digits, split: train, limit: 64}
  calibration: {dataset: digits, split: calibration, limit: 60}
classifier: {plugin: oip, config: {url: %q, model: told, input_range: [0, 1]}}
vae: {latent_dim: 2, encoder: [{dense: {units: 4}}], decoder: [{dense: {units: 64}}]}
detector: {samples: 2}
train: {epochs: 1}
threshold: {fpr: 0.1}
`

// mlserver starts MLServer with a model of scikit-learn, and gives where it is over HTTP and
// gRPC, and rows of the model's.
func mlserver(t *testing.T) (rest, remote string, rows *tensor.Tensor) {
	t.Helper()
	python := os.Getenv("VAEGUARD_MLSERVER_PYTHON")
	if python == "" {
		t.Skip("VAEGUARD_MLSERVER_PYTHON names no Python with the packages of builtin/classifiers/oip/testdata/requirements.txt")
	}
	if testing.Short() {
		t.Skip("starting a server of Python takes a quarter of a minute")
	}
	folder := t.TempDir()
	var ports []string
	var free []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
		free = append(free, l)
	}
	for _, l := range free {
		_ = l.Close() // for the server
	}
	make := exec.CommandContext(t.Context(), python, append([]string{"../../../builtin/classifiers/oip/testdata/model.py", folder}, ports...)...)
	out, err := make.Output()
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ Rows [][]float32 }
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatal(err)
	}
	rows = tensor.New(len(said.Rows), features)
	for i, row := range said.Rows {
		copy(rows.Row(i), row)
	}
	server := exec.Command(python, "-c", "from mlserver.cli import main; main()", "start", folder)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	return "http://127.0.0.1:" + ports[0], "127.0.0.1:" + ports[1], start(t, server, &log, rows, "http://127.0.0.1:"+ports[0]+"/v2/models/told/ready")
}

// start starts a server, and waits until its model is ready.
func start(t *testing.T, server *exec.Cmd, log *bytes.Buffer, rows *tensor.Tensor, ready string) *tensor.Tensor {
	t.Helper()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.Bytes())
		}
	})
	for range 1200 { // four minutes: a cold import under load
		if a, err := http.Get(ready); err == nil {
			_ = a.Body.Close()
			if a.StatusCode == http.StatusOK {
				return rows
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatal("the server does not come up")
	return nil
}

// The proxy before MLServer, over REST and gRPC: what it says passes, and verdicts are those of
// detect on its answer.
func TestMLServer(t *testing.T) {
	rest, remote, rows := mlserver(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "ml.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, mlspec, rest), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(dir, "d")})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	s := serve.NewSingle(d, judge.Options{Name: "guard"})
	defer s.Close(context.Background())
	q := tensors.Request{ID: "7", Inputs: []tensors.Tensor{tensors.FromFloat32s("pixels", []int64{int64(rows.N()), features}, rows.Data)},
		Outputs: []tensors.Output{{Name: "predict_proba"}, {Name: "predict"}}}
	body, _ := tensors.AppendRequest(nil, q, nil)
	conn := func(at string) *grpc.ClientConn {
		c, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	post := func(url string) (tensors.Response, http.Header) {
		t.Helper()
		a, err := http.Post(url+"/v2/models/told/infer", "application/json", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != http.StatusOK {
			t.Fatalf("%d %v %s", a.StatusCode, err, text)
		}
		r, err := tensors.ParseResponse(text, -1, tensors.Limits{})
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		return r, a.Header
	}
	call := func(c *grpc.ClientConn) (tensors.Response, metadata.MD) {
		t.Helper()
		m, trail := &inference.ModelInferResponse{}, metadata.MD{}
		in := q.Message()
		in.ModelName = "told"
		if err := c.Invoke(t.Context(), inference.ModelInfer, in, m, grpc.Trailer(&trail)); err != nil {
			t.Fatal(err)
		}
		r, err := tensors.FromResponse(m, tensors.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		return r, trail
	}
	plain, _ := post(rest)
	var p *tensor.Tensor
	for _, o := range plain.Outputs {
		if o.Name == "predict_proba" {
			p = tensor.From(o.Float32s(), rows.N(), classes)
		}
	}
	if p == nil {
		t.Fatalf("MLServer answers %+v", plain)
	}
	data, err := d.Prepare(rows)
	if err != nil {
		t.Fatal(err)
	}
	want, err := d.DetectGiven(t.Context(), data, p, detect.GivenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(want.Adversarial, true) || !slices.Contains(want.Adversarial, false) {
		t.Fatalf("the rows are all alike: %v", want.Adversarial)
	}
	for _, policy := range []proxy.Policy{proxy.Annotate, proxy.Correct} {
		x, err := proxy.New(s, []proxy.Model{{Name: "guard", URL: rest, GRPC: remote, Model: "told", Policy: policy}}, proxy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(x.Close)
		front := httptest.NewServer(x)
		t.Cleanup(front.Close)
		c := conn(listen(t, grpc.NewServer(x.ServerOptions()...)))
		overREST, h := post(front.URL)
		overGRPC, trail := call(c)
		if h.Get("X-Vaeguard-Is-Adversarial") != flags(want) || h.Get("X-Vaeguard-Instance-Score") != scores(want) {
			t.Errorf("%s over REST: %v, want %s %s", policy, h, flags(want), scores(want))
		}
		if got := trail.Get("x-vaeguard-is-adversarial"); len(got) != 1 || got[0] != flags(want) {
			t.Errorf("%s over gRPC: %v, want %s", policy, trail, flags(want))
		}
		for name, r := range map[string]tensors.Response{"REST": overREST, "gRPC": overGRPC} {
			if r.Parameters["vaeguard_is_adversarial"] != flags(want) || len(r.Outputs) != len(plain.Outputs) {
				t.Errorf("%s over %s: %+v", policy, name, r)
			}
			for i, o := range r.Outputs {
				each := o.N() / rows.N()
				for j := range rows.N() {
					same := true
					for at := j * each; at < (j+1)*each; at++ {
						same = same && o.Float64(at) == plain.Outputs[i].Float64(at)
					}
					if changed := policy == proxy.Correct && want.Adversarial[j] && want.Corrected[j] != want.Predicted[j]; !same && !want.Adversarial[j] || same && changed {
						t.Errorf("%s over %s: %s of row %d: the model server's is kept %t", policy, name, o.Name, j, same)
					}
				}
			}
		}
		for _, path := range []string{"/v2", "/v2/models/told", "/v2/models/none", "/v2/health/ready"} {
			one, two := fetch(t, rest+path), fetch(t, front.URL+path)
			if one != two {
				t.Errorf("%s: %s, MLServer says %s", path, two, one)
			}
		}
	}
}

// fetch is the status and the body of what is there.
func fetch(t *testing.T, url string) string {
	t.Helper()
	a, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(a.StatusCode, " ", string(text))
}
