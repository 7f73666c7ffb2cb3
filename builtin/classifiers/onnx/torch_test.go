package onnx_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// What PyTorch's answers, computed in float64, may differ by, relative to
// their largest.
const (
	outputTolerance   = 1e-5
	gradientTolerance = 1e-4
)

// configured is a classifier of a file of testdata.
func configured(t testing.TB, json string) sdk.Forwarder {
	t.Helper()
	c := onnx.New()
	if err := c.(sdk.Configurable).Configure(context.Background(), sdk.Config{JSON: []byte(json), BaseDir: "testdata"}); err != nil {
		t.Fatal(err)
	}
	return c.(sdk.Forwarder)
}

// expected reads NAME.bin: 4 rows of inputs, outputs and gradients.
func expected(t *testing.T, name string, info sdk.Info) (x, y, dx *tensor.Tensor) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	take := func(shape ...int) *tensor.Tensor {
		out := tensor.New(shape...)
		if len(b) < 4*len(out.Data) {
			t.Fatalf("%s.bin is too short for %v", name, shape)
		}
		for i := range out.Data {
			out.Data[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
		b = b[4*len(out.Data):]
		return out
	}
	in := append([]int{4}, info.InputShape...)
	x, y, dx = take(in...), take(4, info.NumClasses), take(in...)
	if len(b) > 0 {
		t.Fatalf("%s.bin has %d bytes more", name, len(b))
	}
	return x, y, dx
}

func worst(got, want []float32) float64 {
	largest, off := 1e-3, 0.0
	for i, v := range want {
		largest = max(largest, math.Abs(float64(v)))
		d := math.Abs(float64(got[i]) - float64(v))
		if !(d <= off) {
			off = d
		}
	}
	return off / largest
}

func models(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.onnx")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d models: %v", len(files), err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".onnx")
	}
	return files
}

func TestTorch(t *testing.T) {
	for _, name := range models(t) {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			c := configured(t, fmt.Sprintf(`{"model": "%s.onnx"}`, name))
			info, err := c.Info(ctx)
			if err != nil || info.Validate() != nil {
				t.Fatal(err, info.Validate())
			}
			if info.Output != sdk.Logits || info.Gradient != sdk.ExactGradient || !info.BatchInvariant {
				t.Errorf("%+v: want invariant logits with a gradient", info)
			}
			x, y, dx := expected(t, name, info)
			outs, pull, err := c.Forward(ctx, x)
			if err != nil {
				t.Fatal(err)
			}
			if d := worst(outs[sdk.Output].Data, y.Data); !(d <= outputTolerance) {
				t.Errorf("outputs are off by %.2g, want at most %v", d, outputTolerance)
			}
			dy := tensor.New(y.Shape...)
			for i := range dy.Data {
				k := i % info.NumClasses
				dy.Data[i] = float32((k/2 + 1) * (1 - 2*(k%2)))
			}
			for range 2 {
				got, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
				if err != nil {
					t.Fatal(err)
				}
				if d := worst(got.Data, dx.Data); !(d <= gradientTolerance) {
					t.Errorf("gradient is off by %.2g, want at most %v", d, gradientTolerance)
				}
			}
		})
	}
}

func TestConformance(t *testing.T) {
	for _, json := range []string{
		`{"model": "residual.onnx", "input_range": [0, 1]}`,
		`{"model": "mlp.onnx", "kind": "probabilities", "max_batch": 7}`,
		`{"model": "fixed.onnx"}`,
		`{"model": "attention.onnx"}`,
	} {
		t.Run(json, func(t *testing.T) {
			sdktest.Run(t, onnx.New(), sdktest.Options{Config: sdk.Config{JSON: []byte(json), BaseDir: "testdata"}, Seed: 3})
		})
	}
}
