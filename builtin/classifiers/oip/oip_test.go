package oip_test

import (
	"encoding/json"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip/oiptest"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// options are a config's keys besides url and model, which is "model".
type options map[string]any

// config is a config for a server.
func config(t testing.TB, url string, o options) sdk.Config {
	t.Helper()
	m := options{"url": url, "model": "model", "backoff": 0.001}
	for k, v := range o {
		m[k] = v
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return sdk.Config{JSON: b, BaseDir: "testdata"}
}

// serveREST and serveGRPC give the URL of a server that ends with the test.
func serveREST(t testing.TB, h http.Handler) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func serveGRPC(t testing.TB, m *oiptest.Model, o ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(o...)
	m.Register(s)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return "grpc://" + l.Addr().String()
}

// configured is a classifier of a server, or an error.
func configured(t testing.TB, c sdk.Config) (sdk.Classifier, error) {
	t.Helper()
	o := oip.New()
	return o, o.(sdk.Configurable).Configure(t.Context(), c)
}

func must(t testing.TB, c sdk.Config) sdk.Classifier {
	t.Helper()
	o, err := configured(t, c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func fake() *sdktest.Fake { return &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5} }

// rows are some rows of numbers in [0, 1].
func rows(n int, shape ...int) *tensor.Tensor {
	x := tensor.Batch(n, shape)
	for i := range x.Data {
		x.Data[i] = float32(i*37%101) / 101
	}
	return x
}

func predict(t testing.TB, c sdk.Classifier, x *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	y, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	return y
}

// same wants the same bits.
func same(t testing.TB, got, want *tensor.Tensor) {
	t.Helper()
	if !got.Shape.Equal(want.Shape) {
		t.Fatalf("shape %v, want %v", got.Shape, want.Shape)
	}
	for i, v := range want.Data {
		if math.Float32bits(got.Data[i]) != math.Float32bits(v) {
			t.Fatalf("element %d is %v, want %v", i, got.Data[i], v)
		}
	}
}

// TestConforms runs the conformance suite over every way to speak to a server,
// and holds the answers to the bits of the model.
func TestConforms(t *testing.T) {
	rest := func(t testing.TB, m *oiptest.Model) string { return serveREST(t, m) }
	rpc := func(t testing.TB, m *oiptest.Model) string { return serveGRPC(t, m) }
	for _, c := range []struct {
		name  string
		serve func(testing.TB, *oiptest.Model) string
		model *oiptest.Model
		o     options
	}{
		{"binary", rest, &oiptest.Model{}, nil},
		{"JSON", rest, &oiptest.Model{NoBinary: true}, nil},
		{"JSON by wish", rest, &oiptest.Model{}, options{"encoding": "json"}},
		{"binary, FP64", rest, &oiptest.Model{Datatype: "FP64"}, nil},
		{"JSON, FP64", rest, &oiptest.Model{NoBinary: true, Datatype: "FP64"}, nil},
		{"version", rest, &oiptest.Model{Version: "7"}, options{"version": "7"}},
		{"small batches", rest, &oiptest.Model{}, options{"max_batch": 3}},
		{"fixed batch", rest, &oiptest.Model{Batch: 5}, nil},
		{"a configuration's batch", rest, &oiptest.Model{Most: 5}, nil},
		{"a configuration's batch of one", rest, &oiptest.Model{Most: 1}, nil},
		{"fewer than a configuration's batch", rest, &oiptest.Model{Most: 5}, options{"max_batch": 2}},
		{"gRPC, a configuration's batch", rpc, &oiptest.Model{Most: 5}, nil},
		{"batch of one", rest, &oiptest.Model{Batch: 1}, nil},
		{"gRPC", rpc, &oiptest.Model{}, nil},
		{"gRPC, FP64", rpc, &oiptest.Model{Datatype: "FP64", Version: "2"}, options{"version": "2"}},
		{"gRPC, fixed batch", rpc, &oiptest.Model{Batch: 4}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.model.Classifier = fake()
			conf := config(t, c.serve(t, c.model), c.o)
			sdktest.Run(t, oip.New(), sdktest.Options{Config: conf})
			x := rows(13, 6)
			same(t, predict(t, must(t, conf), x), predict(t, fake(), x))
		})
	}
}

func TestInfo(t *testing.T) {
	m := &oiptest.Model{Classifier: &sdktest.Fake{Shape: tensor.Shape{3, 8, 8}, Layout: sdk.NCHW, Classes: 2, Output: sdk.Probabilities}}
	c := config(t, serveREST(t, m), options{"labels": []string{"cat", "dog"}, "input_range": []float32{0, 255}})
	c.InputShape, c.Classes = tensor.Shape{8, 8, 3}, 2
	info, err := must(t, c).Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !info.InputShape.Equal(tensor.Shape{3, 8, 8}) || info.Layout != sdk.NCHW || info.Output != sdk.Probabilities ||
		info.NumClasses != 2 || info.Classes[1] != "dog" || info.Lo[0] != 0 || info.Hi[0] != 255 || info.Gradient != sdk.NoGradient || !info.Ready {
		t.Errorf("Info is %+v", info)
	}
	if !strings.HasPrefix(info.Digest, "sha256:") {
		t.Errorf("digest %q", info.Digest)
	}
}

// TestFlatImage takes images where the model takes rows of pixels.
func TestFlatImage(t *testing.T) {
	f := &sdktest.Fake{Shape: tensor.Shape{16}, Classes: 3}
	c := config(t, serveREST(t, &oiptest.Model{Classifier: f}), nil)
	c.InputShape = tensor.Shape{4, 4, 1}
	o := must(t, c)
	if info, _ := o.Info(t.Context()); !info.InputShape.Equal(c.InputShape) || info.Layout != sdk.NHWC {
		t.Errorf("Info is %+v", info)
	}
	x := rows(3, 4, 4, 1)
	same(t, predict(t, o, x), predict(t, f, x.Reshape(3, 16)))
}
