package onnx

import (
	"context"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/tape"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestWaitingTapes leaves more passes without their pullbacks than there is
// memory for: all sessions together hold three times what one may at most, and
// the gradients of tapes that were given up are the same.
func TestWaitingTapes(t *testing.T) {
	ctx := context.Background()
	f := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("Tile", []string{"x", "r"}, []string{"a"}),
		nodeOf("Tanh", []string{"a"}, []string{"b"}),
		nodeOf("ReduceSum", []string{"b", "axis"}, []string{"c"}),
		nodeOf("Add", []string{"x", "c"}, []string{"z"}),
		nodeOf("MatMul", []string{"z", "w"}, []string{"y"}),
	})
	f.consts = append(f.consts, intsOf("r", []int64{1, 1 << 14}, 2), intsOf("axis", []int64{1}, 1))
	c, err := configure(t, f.bytes(), `{"model": "m.onnx", "memory": "8MiB", "max_batch": 10}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := c.(*Classifier).program
	x := tensor.New(p.step, 3)
	for i := range x.Data {
		x.Data[i] = float32(i) / 8
	}
	var pulls []sdk.Pullback
	var outs map[string]*tensor.Tensor
	for range tape.Spare {
		var pull sdk.Pullback
		if outs, pull, err = c.Forward(ctx, x); err != nil {
			t.Fatal(err)
		}
		pulls = append(pulls, pull)
	}
	var first []float32
	for i, pull := range pulls {
		dx, err := pull(ctx, outs)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = dx.Data
		}
		if !slices.Equal(dx.Data, first) {
			t.Errorf("gradient %d is %v, want %v", i, dx.Data, first)
		}
	}
	held, most := p.held.Load(), 3*p.allowance.memory
	if held < p.allowance.memory/2 || held > most {
		t.Errorf("sessions hold %s, want at most %s, and some", inBytes(held), inBytes(most))
	}
	if first[0] == first[len(first)-1] {
		t.Errorf("a gradient of %v", first)
	}
}

// TestFolded wants what nothing reads any more to be given back, and results
// with the same numbers to be counted once and held as long as one is read.
func TestFolded(t *testing.T) {
	f := linear(tensorOf("w", linearWeights, 3, 2))
	f.nodes = [][]byte{
		filled("s", "a", nil), // 4 MiB
		nodeOf("Identity", []string{"a"}, []string{"b"}),
		nodeOf("Reshape", []string{"b", "s"}, []string{"c"}),
		nodeOf("Neg", []string{"c"}, []string{"d"}), // another 4 MiB
		nodeOf("ReduceMax", []string{"d"}, []string{"e"}, wholeAttr("keepdims", 0)),
		nodeOf("Add", []string{"x", "e"}, []string{"z"}),
		nodeOf("MatMul", []string{"z", "w"}, []string{"y"}),
	}
	f.consts = append(f.consts, list("s", 1<<20))
	m, err := parse(f.bytes(), "", settings{Memory: "9MiB"})
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := build(m, sdk.Config{}, settings{})
	if err != nil {
		t.Fatal(err)
	}
	if left := p.base.Load(); left > 1<<20 {
		t.Errorf("the model holds %s of numbers that were folded", inBytes(left))
	}
	m, err = parse(f.bytes(), "", settings{Memory: "7MiB"}) // Neg needs both
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := build(m, sdk.Config{}, settings{}); err == nil {
		t.Error("two tensors of 4 MiB at once in 7 MiB")
	}
}

// TestBatchHasRoom asks for more rows than fit into what a model may take
// otherwise.
func TestBatchHasRoom(t *testing.T) {
	ctx := context.Background()
	f := linear(tensorOf("w", linearWeights, 3, 2)).with([][]byte{
		nodeOf("Tile", []string{"x", "r"}, []string{"a"}),
		nodeOf("Tanh", []string{"a"}, []string{"b"}),
		nodeOf("Reshape", []string{"b", "s"}, []string{"c"}),
		nodeOf("MatMul", []string{"c", "w"}, []string{"d"}),
		nodeOf("ReduceSum", []string{"d", "axis"}, []string{"y"}, wholeAttr("keepdims", 0)),
	})
	const times = 1 << 16
	f.consts = append(f.consts, intsOf("r", []int64{1, times}, 2), intsOf("s", []int64{0, -1, 3}, 3), intsOf("axis", []int64{1}, 1))
	c, err := configure(t, f.bytes(), `{"model": "m.onnx", "max_batch": 150}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	x := tensor.New(150, 3)
	outs, pull, err := c.Forward(ctx, x)
	if err != nil {
		t.Fatal(err)
	}
	dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: tensor.From(slices.Repeat([]float32{1, 0}, 150), 150, 2)})
	if err != nil {
		t.Fatal(err)
	}
	if outs[sdk.Output].Data[0] != 0 || dx.Data[0] != times*linearWeights[0] {
		t.Errorf("answer %v, gradient %v, want 0 and %v", outs[sdk.Output].Data[0], dx.Data[0], times*linearWeights[0])
	}
	if s, err := c.(*Classifier).program.pool.Take(); err != nil || s.peak < memoryLeast {
		t.Errorf("a batch of %s at most: too small to tell", inBytes(s.peak))
	}
}
