// Package nntest holds the conformance suite of layers: Run checks a layer's
// gradients, shapes and promises, for layers of the box and of anyone else.
package nntest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	batch     = 5
	step      = 0.01 // of the central differences; see separated
	tolerance = 5e-3 // of a derivative, relative above 1
	probes    = 24   // numbers of a tensor whose derivative is checked
)

// Run makes the layer for examples of shape in and checks that
//
//   - results have the shape that Out promises, for any batch that fits;
//   - forward and backward passes change neither input nor params, and can be
//     repeated with the same result;
//   - gradients at the input and at each param are those of central
//     differences, in both modes;
//   - in Inference a row's result and gradient have the same bits in any batch
//     and for one and two threads;
//   - unless it has a Statistic, a batch that is passed forward in parts has the same
//     results and gradients;
//   - steady passes allocate nothing.
//
// The layer should be smooth within 0.01 of numbers that lie 0.02 off zero and
// 0.04 from each other.
func Run(t *testing.T, m nn.Maker, in tensor.Shape) {
	t.Helper()
	l, err := nn.Build([]nn.Maker{m}, in, nn.FreshRand(3))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 8))
	for _, p := range l.Params() { // away from zeros and ones
		for i := range p.Value.Data {
			p.Value.Data[i] += float32(0.1 + 0.2*r.Float64())
		}
	}
	x := separated(r, batch, in)
	dy := tensor.Batch(batch, l.Out())
	for i := range dy.Data {
		dy.Data[i] = float32(2*r.Float64() - 1)
	}
	t.Run("inference", func(t *testing.T) { gradients(t, l, nn.Inference, x, dy) })
	t.Run("training", func(t *testing.T) { gradients(t, l, nn.Training, x, dy) })
	t.Run("batches", func(t *testing.T) { batches(t, l, x, dy) })
	t.Run("parts", func(t *testing.T) { parts(t, l, x, dy) })
	t.Run("allocations", func(t *testing.T) { allocations(t, l, x, dy) })
}

// separated is a batch of numbers, none within 0.02 of zero, no two of which
// are nearer than 0.04: a permutation of a grid.
func separated(r *rand.Rand, n int, in tensor.Shape) *tensor.Tensor {
	x := tensor.Batch(n, in)
	size := len(x.Data)
	for i, at := range r.Perm(size) {
		x.Data[i] = float32(at-size/2)*0.04 + 0.02
	}
	if limit := float32(3); size > 150 { // each example has a grid of its own
		for i := range n {
			row := x.Row(i)
			for j, at := range r.Perm(len(row)) {
				row[j] = (float32(at-len(row)/2) + 0.5) * max(0.04, limit/float32(len(row)))
			}
		}
	}
	return x
}

func engine(t *testing.T, threads int) *kernel.Engine {
	t.Helper()
	k, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// pass runs l forward and backward and returns copies.
func pass(w *nn.Workspace, l nn.Layer, x, dy *tensor.Tensor, g *nn.Grads) (y, dx *tensor.Tensor) {
	y = l.Forward(w, x).Clone()
	return y, l.Backward(w, dy.Clone(), g).Clone()
}

func gradients(t *testing.T, l *nn.Sequence, mode nn.Mode, x, dy *tensor.Tensor) {
	w := nn.NewWorkspace(engine(t, 1), l, batch, mode)
	w.Draw = nn.Draw{Seed: 1, Step: 2, Examples: []uint64{9, 4, 0, 7, 8}}
	before := x.Clone()
	params := make([][]float32, len(l.Params()))
	for i, p := range l.Params() {
		params[i] = slices.Clone(p.Value.Data)
	}
	g := nn.NewGrads(l.Params())
	y, dx := pass(w, l, x, dy, g)
	if want := append(tensor.Shape{batch}, l.Out()...); !y.Shape.Equal(want) {
		t.Fatalf("the result is %v, want %v", y.Shape, want)
	}
	if !dx.Shape.Equal(x.Shape) {
		t.Fatalf("the gradient at the input is %v, want %v", dx.Shape, x.Shape)
	}
	again := l.Backward(w, dy.Clone(), nil)
	same(t, "second backward pass", again.Data, dx.Data)
	same(t, "second forward pass", l.Forward(w, x).Data, y.Data)
	same(t, "input after the passes", x.Data, before.Data)
	for i, p := range l.Params() {
		same(t, p.Name+" after the passes", p.Value.Data, params[i])
	}
	loss := func() float64 {
		sum := 0.0
		for i, v := range l.Forward(w, x).Data {
			sum += float64(v) * float64(dy.Data[i])
		}
		return sum
	}
	probe(t, "input", x.Data, dx.Data, loss)
	for _, p := range l.Params() {
		if p.Role == nn.Weight {
			probe(t, p.Name, p.Value.Data, g.Of(p).Data, loss)
		}
	}
	// Gradients add up.
	once := nn.NewGrads(l.Params())
	pass(w, l, x, dy, once)
	pass(w, l, x, dy, once)
	for _, p := range l.Params() {
		for i, v := range once.Of(p).Data {
			if d := float64(v - 2*g.Of(p).Data[i]); math.Abs(d) > 1e-4*max(1, math.Abs(float64(v))) {
				t.Fatalf("%s: gradient %d of two passes is %v, want twice %v", p.Name, i, v, g.Of(p).Data[i])
			}
		}
	}
}

// probe compares derivatives at evenly spread numbers of v.
func probe(t *testing.T, name string, v, d []float32, loss func() float64) {
	t.Helper()
	stride := max(1, len(v)/probes)
	for i := 0; i < len(v); i += stride {
		old := v[i]
		v[i] = old + step
		hi, above := loss(), v[i]
		v[i] = old - step
		lo, below := loss(), v[i]
		v[i] = old
		want, got := (hi-lo)/float64(above-below), float64(d[i])
		if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
			t.Fatalf("gradient at %s[%d] = %v, central difference %v", name, i, got, want)
		}
	}
}

func batches(t *testing.T, l *nn.Sequence, x, dy *tensor.Tensor) {
	w := nn.NewWorkspace(engine(t, 1), l, batch, nn.Inference)
	y, dx := pass(w, l, x, dy, nil)
	two := nn.NewWorkspace(engine(t, 2), l, batch+3, nn.Inference)
	for _, r := range [][2]int{{0, batch}, {1, 2}, {2, batch}} {
		for _, w := range []*nn.Workspace{w, two} {
			y2, dx2 := pass(w, l, x.Rows(r[0], r[1]), dy.Rows(r[0], r[1]), nil)
			same(t, "result of some rows", y2.Data, y.Rows(r[0], r[1]).Data)
			same(t, "gradient of some rows", dx2.Data, dx.Rows(r[0], r[1]).Data)
		}
	}
}

// parts passes a batch forward in parts, last rows first, and backward as a whole.
func parts(t *testing.T, l *nn.Sequence, x, dy *tensor.Tensor) {
	for _, p := range l.Params() {
		if p.Role == nn.Statistic {
			return
		}
	}
	w := nn.NewWorkspace(engine(t, 1), l, batch, nn.Training)
	w.Draw = nn.Draw{Seed: 1, Step: 2, Examples: []uint64{9, 4, 0, 7, 8}}
	g := nn.NewGrads(l.Params())
	y, dx := pass(w, l, x, dy, g)
	for _, bounds := range [][]int{{batch, 2, 0}, {batch, 4, 1, 0}, {batch, 0}} {
		in := tensor.From(x.Data, x.Shape...)
		again := nn.NewGrads(l.Params())
		for i, lo := range bounds[1:] {
			hi := bounds[i]
			w.Begin(lo)
			in.Shape[0], in.Data = hi-lo, x.Data[lo*x.Stride():hi*x.Stride()]
			same(t, "result of a part", l.Forward(w, in).Data, y.Rows(lo, hi).Data)
		}
		w.Join(batch)
		same(t, "gradient of joined parts", l.Backward(w, dy.Clone(), again).Data, dx.Data)
		for _, p := range l.Params() {
			same(t, p.Name+": gradient of joined parts", again.Of(p).Data, g.Of(p).Data)
		}
	}
}

func allocations(t *testing.T, l *nn.Sequence, x, dy *tensor.Tensor) {
	w := nn.NewWorkspace(engine(t, 1), l, batch, nn.Training)
	g := nn.NewGrads(l.Params())
	scratch := dy.Clone()
	n := testing.AllocsPerRun(3, func() {
		copy(scratch.Data, dy.Data)
		g.Zero()
		l.Forward(w, x)
		l.Backward(w, scratch, g)
	})
	if n != 0 {
		t.Errorf("a pass allocates %v times, want 0", n)
	}
}

func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, v := range got {
		if math.Float32bits(v) != math.Float32bits(want[i]) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, v, want[i])
		}
	}
}
