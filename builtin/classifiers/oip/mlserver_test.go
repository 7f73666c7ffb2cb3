package oip_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// python is a Python with the packages of testdata/requirements.txt.
func python(t *testing.T) string {
	t.Helper()
	p := os.Getenv("VAEGUARD_MLSERVER_PYTHON")
	if p == "" {
		t.Skip("VAEGUARD_MLSERVER_PYTHON names no Python with the packages of testdata/requirements.txt")
	}
	if testing.Short() {
		t.Skip("starting a server of Python takes a quarter of a minute")
	}
	return p
}

// talk runs a script, and reads JSON from it.
func talk(t *testing.T, into any, stdin []byte, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python(t), args...)
	var complaint bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, complaint.Bytes())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatal(err)
	}
}

// matrix is a tensor of rows.
func matrix(m [][]float64) *tensor.Tensor {
	x := tensor.New(len(m), len(m[0]))
	for i, row := range m {
		for j, v := range row {
			x.Row(i)[j] = float32(v)
		}
	}
	return x
}

// awaitModel waits until a model is ready.
func awaitModel(t *testing.T, url string) {
	t.Helper()
	for range 1200 { // four minutes: a cold import under load
		if resp, err := http.Get(url); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
	t.Fatal("the server does not come up")
}

// TestMLServer guards against misreadings of the protocol: it asks a model of
// scikit-learn on a server by others, over REST and gRPC.
func TestMLServer(t *testing.T) {
	folder := t.TempDir()
	var ports []string
	for range 3 {
		_, port, err := net.SplitHostPort(freeAddress(t))
		if err != nil {
			t.Fatal(err)
		}
		ports = append(ports, port)
	}
	var said struct{ Rows, Want [][]float64 }
	talk(t, &said, nil, append([]string{"testdata/model.py", folder}, ports...)...)
	x, want := matrix(said.Rows), matrix(said.Want)

	server := exec.Command(python(t), "-c", "from mlserver.cli import main; main()", "start", folder)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
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
	awaitModel(t, "http://127.0.0.1:"+ports[0]+"/v2/models/told/ready")
	told := options{"model": "told", "input_range": []float32{0, 1}}
	for _, url := range []string{"http://127.0.0.1:" + ports[0], "grpc://127.0.0.1:" + ports[1]} {
		t.Run(strings.SplitN(url, ":", 2)[0], func(t *testing.T) {
			silent := options{"model": "digits", "output": "predict_proba", "shape": []int{64}, "input_range": []float32{0, 1}}
			for _, o := range []options{told, silent} {
				c := config(t, url, o)
				t.Run(fmt.Sprint(o["model"]), func(t *testing.T) {
					sdktest.Run(t, oip.New(), sdktest.Options{Config: c, Rows: x})
					y := predict(t, must(t, c), x)
					for i, v := range want.Data {
						if d := math.Abs(float64(y.Data[i] - v)); d > 1e-6 {
							t.Fatalf("element %d is %v, scikit-learn says %v", i, y.Data[i], v)
						}
					}
				})
			}
			_, err := configured(t, config(t, url, options{"model": "nobody"}))
			if err == nil || !strings.HasPrefix(err.Error(), "/model: ") || !strings.Contains(err.Error(), "nobody") {
				t.Errorf("unknown model: error %v", err)
			}
			_, err = configured(t, config(t, url, options{"model": "digits", "shape": []int{64}}))
			refused(t, err, sdk.Internal, `output "predict": its datatype is "INT64", want FP32 or FP64`)
			_, err = configured(t, config(t, url, options{"model": "digits", "shape": []int{63}, "output": "predict_proba"}))
			refused(t, err, sdk.Internal, "infer: ") // over REST no more is told than 500
		})
	}
}

// TestTritonClient holds the fake server, binary tensors included, to what
// Triton's own client makes of it.
func TestTritonClient(t *testing.T) {
	m := &oiptest.Model{Classifier: fake()}
	x := rows(4, 6)
	nested := make([][]float32, x.N())
	for i := range nested {
		nested[i] = x.Row(i)
	}
	stdin, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string][][]float64
	talk(t, &got, stdin, "testdata/client.py", strings.TrimPrefix(serveREST(t, m), "http://"), strings.TrimPrefix(serveGRPC(t, m), "grpc://"))
	want := predict(t, fake(), x)
	for _, how := range []string{"http binary", "http json", "grpc raw"} {
		if len(got[how]) != x.N() {
			t.Fatalf("%s: %d rows, want %d", how, len(got[how]), x.N())
		}
		same(t, matrix(got[how]), want)
	}
}
