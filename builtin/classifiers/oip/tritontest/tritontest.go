// Package tritontest starts NVIDIA's Triton Inference Server for tests: the server itself, as the Python package
// nvidia-pytriton brings it, with models of scikit-learn that its Python backend runs on the CPU.
package tritontest

import (
	"bytes"
	"embed"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Variable names a Python with the packages of testdata/requirements.txt.
const Variable = "VAEGUARD_TRITON_PYTHON"

// The models take FP32 "pixels" of 64 numbers from 0 to 1, and answer FP32 "predict_proba" of 10 and INT64 "predict".
const (
	Model = "digits" // takes at most MaxBatch rows a request
	Open  = "open"   // takes any number, and is not loaded yet
	// MaxBatch is max_batch_size of Model.
	MaxBatch = 8
	Features = 64
	Classes  = 10
)

//go:embed testdata/server.py testdata/model.py
var scripts embed.FS

// Server is a Triton that runs until the test ends.
type Server struct {
	URL        string         // http://HOST:PORT
	GRPC       string         // HOST:PORT
	Python     string         // that runs tritonclient too
	Rows, Want *tensor.Tensor // some rows, and the probabilities that scikit-learn says, rounded to float32
}

// Start starts Triton and waits until Model is ready. Where Variable is not set, and under -short, the test is skipped.
func Start(t testing.TB) *Server {
	t.Helper()
	python := os.Getenv(Variable)
	if python == "" {
		t.Skip(Variable + " names no Python with the packages of builtin/classifiers/oip/tritontest/testdata/requirements.txt")
	}
	if testing.Short() {
		t.Skip("starting Triton takes some seconds")
	}
	folder := t.TempDir()
	var script, model string
	for name, into := range map[string]*string{"server.py": &script, "model.py": &model} {
		text, err := scripts.ReadFile("testdata/" + name)
		if err == nil {
			*into = filepath.Join(folder, name)
			err = os.WriteFile(*into, text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	var said struct{ Rows, Want [][]float32 }
	made := exec.CommandContext(t.Context(), python, script, folder, model)
	var complaint bytes.Buffer
	made.Stderr = &complaint
	out, err := made.Output()
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, complaint.Bytes())
	}
	ports := free(t, 3)
	s := &Server{URL: "http://127.0.0.1:" + ports[0], GRPC: "127.0.0.1:" + ports[1], Python: python, Rows: matrix(said.Rows), Want: matrix(said.Want)}
	run(t, exec.Command(python, append([]string{script, folder}, ports...)...), s.URL+"/v2/models/"+Model+"/ready")
	return s
}

// free are ports that nobody listens at.
func free(t testing.TB, n int) (ports []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()                   // for the server
		_, port, _ := net.SplitHostPort(l.Addr().String()) // it is of the listener
		ports = append(ports, port)
	}
	return ports
}

// run starts a server until the test ends, and waits until it is ready.
func run(t testing.TB, server *exec.Cmd, ready string) {
	t.Helper()
	log := &bytes.Buffer{}
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = server.Wait() // by a signal
		close(ended)
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM) // it ends its models, and takes their shared memory away
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			_ = server.Process.Kill()
			<-ended
		}
		if t.Failed() {
			t.Logf("Triton's log:\n%s", log.Bytes())
		}
	})
	for end := time.Now().Add(4 * time.Minute); time.Now().Before(end); { // a cold import under load
		if a, err := http.Get(ready); err == nil {
			_ = a.Body.Close()
			if a.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-ended:
			t.Fatalf("Triton has ended: %v", server.ProcessState)
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatal("Triton does not come up")
}

func matrix(rows [][]float32) *tensor.Tensor {
	x := tensor.New(len(rows), len(rows[0]))
	for i, row := range rows {
		copy(x.Row(i), row)
	}
	return x
}
