package onnx

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func loaded(t *testing.T, json string) *Classifier {
	t.Helper()
	c := New().(*Classifier)
	if err := c.Configure(t.Context(), sdk.Config{JSON: []byte(json), BaseDir: "testdata"}); err != nil {
		t.Fatal(err)
	}
	return c
}

func someRows(info sdk.Info, n int) *tensor.Tensor {
	x, r := tensor.Batch(n, info.InputShape), rand.New(rand.NewPCG(1, 2))
	for i := range x.Data {
		x.Data[i] = r.Float32()
	}
	return x
}

// Rows in blocks, a thread each, have the bits of the rows together, which a pass that
// keeps its tape takes.
func TestLanes(t *testing.T) {
	for _, name := range []string{"../../../../examples/onnx/fashion", "residual", "dense", "depthwise", "attention"} {
		c := loaded(t, `{"model": "`+name+`.onnx"}`)
		info, err := c.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		x := someRows(info, 517)
		for _, threads := range []int{1, 2, 5} {
			if c.program.block(x.N(), threads) == 0 {
				t.Errorf("%s: lanes do not pay for %d rows and %d threads, want blocks", name, x.N(), threads)
			}
		}
		got, err := c.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		if c.program.lanes.made == 0 || c.program.lanes.off {
			t.Errorf("%s: no lane was taken, or one failed", name)
		}
		outs, _, err := c.Forward(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range outs[sdk.Output].Data {
			if math.Float32bits(v) != math.Float32bits(got.Data[i]) {
				t.Fatalf("%s: number %d is %v in blocks, %v together", name, i, got.Data[i], v)
			}
		}
	}
}

// Little is not spread, and where a lane lacks memory the rows are evaluated together.
func TestLanesLeftOut(t *testing.T) {
	c := loaded(t, `{"model": "mlp.onnx"}`)
	if n := c.program.block(640, 2); n != 0 {
		t.Errorf("an MLP of some microseconds goes in blocks of %d rows", n)
	}
	c = loaded(t, `{"model": "residual.onnx"}`)
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	x := someRows(info, 200)
	want, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range c.program.lanes.free {
		s.share = 1 << 40
	}
	got, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if !c.program.lanes.off {
		t.Error("lanes without memory are asked again")
	}
	for i, v := range want.Data {
		if got.Data[i] != v {
			t.Fatalf("number %d is %v without lanes, want %v", i, got.Data[i], v)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := loaded(t, `{"model": "residual.onnx"}`).Predict(ended, x); err == nil {
		t.Error("a call that was cancelled has an answer")
	}
}
