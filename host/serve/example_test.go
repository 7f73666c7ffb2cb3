package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// exampleSpec trains within a second.
const exampleSpec = `{api_version: vaeguard/v1, kind: Experiment, name: first,
  data: {train: {dataset: digits, split: train, limit: 64}, calibration: {dataset: digits, split: calibration, limit: 60}},
  classifier: {plugin: mlp, train: {epochs: 1}},
  vae: {latent_dim: 2, encoder: [{dense: {units: 4}}], decoder: [{dense: {units: 64}}]}, train: {epochs: 1}, threshold: {fpr: 0.1}}`

// exampleDetector is one that was just trained.
func exampleDetector() (d *host.Detector, remove func()) {
	dir, err := os.MkdirTemp("", "serve")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "first.yaml"), []byte(exampleSpec), 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}
	e, err := host.Load(filepath.Join(dir, "first.yaml"), nil, builtin.Components(), host.Options{})
	if err != nil {
		log.Fatal(err)
	}
	if d, err = e.TrainTo(context.Background(), host.TrainOptions{Out: filepath.Join(dir, "guard")}); err != nil {
		log.Fatal(err)
	}
	return d, func() { _ = os.RemoveAll(dir) }
}

// A detector in a server of one's own, beside what else it serves.
func ExampleHandler() {
	d, remove := exampleDetector() // or host.Open("runs/first", builtin.Components())
	defer remove()
	defer func() { _ = d.Close() }()
	mux := http.NewServeMux()
	mux.Handle("/v2/", serve.Handler(d))
	server := httptest.NewServer(mux)
	defer server.Close()

	request := map[string]any{"inputs": []any{map[string]any{"name": "x", "datatype": "FP32", "shape": []int{1, 64}, "data": make([]float32, 64)}},
		"outputs": []any{map[string]any{"name": "is_adversarial"}}}
	body, err := json.Marshal(request)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := http.Post(server.URL+"/v2/models/guard/infer", "application/json", bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var answer struct {
		Outputs []struct {
			Name string
			Data []int
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Outputs[0].Name, len(answer.Outputs[0].Data))
	// Output: is_adversarial 1
}

// One detector behind both protocols: what comes by either is judged together.
func ExampleSingle() {
	d, remove := exampleDetector()
	defer remove()
	defer func() { _ = d.Close() }()
	s := serve.NewSingle(d, judge.Options{Name: "digits", MaxRows: 32})
	defer s.Close(context.Background())

	g := grpc.NewServer(serve.ServerOptions()...)
	if err := s.Register(g); err != nil {
		log.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = g.Serve(l) }()
	defer g.Stop()

	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	var ready inference.ModelReadyResponse
	if err := conn.Invoke(context.Background(), "/inference.GRPCInferenceService/ModelReady", &inference.ModelReadyRequest{Name: "digits"}, &ready); err != nil {
		log.Fatal(err)
	}
	fmt.Println("over gRPC:", ready.Ready)
	recorder := httptest.NewRecorder()
	s.Handler().ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/v2/models/digits/ready", nil))
	fmt.Println("over HTTP:", recorder.Code)
	// Output:
	// over gRPC: true
	// over HTTP: 200
}
