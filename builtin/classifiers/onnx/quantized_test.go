package onnx_test

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestQuantized compares models of ONNX Runtime's quantiser with ONNX Runtime:
// statically quantised ones bit by bit.
func TestQuantized(t *testing.T) {
	files, err := filepath.Glob("testdata/quantized/*.onnx")
	if err != nil || len(files) != 8 {
		t.Fatalf("%d models, want 8: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".onnx")
		t.Run(name, func(t *testing.T) {
			c := configured(t, `{"model": "quantized/`+name+`.onnx"}`)
			info, err := c.Info(context.Background())
			if err != nil || info.Gradient != sdk.EstimatedGradient || !info.BatchInvariant || info.Validate() != nil {
				t.Errorf("gradient %v, invariant %v: want an estimate (%v, %v)", info.Gradient, info.BatchInvariant, err, info.Validate())
			}
			all := floatsOf(t, "testdata/quantized/"+name+".bin")
			n := 4 * info.InputShape.Size()
			x, want := tensor.From(all[:n], append([]int{4}, info.InputShape...)...), all[n:]
			y, err := c.Predict(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			tolerance := 0.0
			if strings.HasSuffix(name, "dynamic") { // its scales and products are reals
				tolerance = outputTolerance
				if name == "mlp_dynamic" {
					for i := range y.N() {
						softmax(y.Row(i))
					}
				}
			}
			if d := worst(y.Data, want); !(d <= tolerance) {
				t.Errorf("answers are off by %.2g, want at most %v", d, tolerance)
			}
		})
	}
}

// TestQuantizedGradient compares the gradient of a quantised model with that of
// the model it was made of.
func TestQuantizedGradient(t *testing.T) {
	for _, name := range []string{"residual", "dense", "attention"} {
		t.Run(name, func(t *testing.T) {
			dx := func(file string) []float32 {
				c := configured(t, `{"model": "`+file+`.onnx"}`)
				info, err := c.Info(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				x := tensor.From(floatsOf(t, "testdata/"+name+".bin")[:4*info.InputShape.Size()], append([]int{4}, info.InputShape...)...)
				_, pull, err := c.Forward(context.Background(), x)
				if err != nil {
					t.Fatal(err)
				}
				dy := tensor.New(4, info.NumClasses)
				for i := range 4 {
					dy.Row(i)[0], dy.Row(i)[1] = 1, -1
				}
				d, err := pull(context.Background(), map[string]*tensor.Tensor{sdk.Output: dy})
				if err != nil {
					t.Fatal(err)
				}
				return d.Data
			}
			a, b := dx(name), dx("quantized/"+name)
			var ab, aa, bb float64
			for i := range a {
				ab, aa, bb = ab+float64(a[i])*float64(b[i]), aa+float64(a[i])*float64(a[i]), bb+float64(b[i])*float64(b[i])
			}
			// ReLUs and maxima on the other side of their kink keep it from 1
			if cos := ab / math.Sqrt(aa*bb); !(cos > 0.95) || !(math.Sqrt(bb/aa) > 0.9 && math.Sqrt(bb/aa) < 1.1) {
				t.Errorf("cosine %.3f, lengths %.3g and %.3g", cos, math.Sqrt(aa), math.Sqrt(bb))
			}
		})
	}
}

func TestQuantizedConformance(t *testing.T) {
	for _, json := range []string{`{"model": "quantized/residual.onnx", "input_range": [0, 1]}`, `{"model": "quantized/mlp_dynamic.onnx", "input_range": [0, 1]}`} {
		sdktest.Run(t, onnx.New(), sdktest.Options{Config: sdk.Config{JSON: []byte(json), BaseDir: "testdata"}, Seed: 3})
	}
}
