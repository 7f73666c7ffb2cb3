package vae

import (
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Student is a network that learns to predict what a classifier predicts:
// layers and a final dense one that gives logits. Params are named
// student.0.kernel, …, student.output.kernel, student.output.bias.
type Student struct {
	Input   tensor.Shape
	Classes int
	Layers  *nn.Sequence // before the final one
	Net     nn.Layer     // the whole: (N, input…) to logits (N, classes)

	params []*nn.Param
}

// BuildStudent makes a student with initial params drawn from seed.
func BuildStudent(input tensor.Shape, layers []nn.Maker, classes int, seed uint64) (*Student, error) {
	if classes < 2 {
		return nil, fmt.Errorf("a student wants at least 2 classes, got %d", classes)
	}
	r := source(seed, streamStudent)
	s := &Student{Input: input.Clone(), Classes: classes}
	var err error
	if s.Layers, err = nn.Build(layers, input, r); err != nil {
		return nil, &PartError{"detector.student.layers", err}
	}
	d := &dense{body: s.Layers, head: newHead("output", s.Layers.Out().Size(), classes, kernel.Act{}, r)}
	s.Net = d
	s.params = nn.Prefix("student", d.Params())
	return s, nil
}

// InputShape is that of one example.
func (s *Student) InputShape() tensor.Shape { return s.Input }

// Runner is a student at work in inference mode, for one goroutine.
type Runner struct {
	s *Student
	w *nn.Workspace
}

// NewRunner plans passes of up to batch ≥ 1 rows.
func (s *Student) NewRunner(k *kernel.Engine, batch int) *Runner {
	return &Runner{s: s, w: nn.NewWorkspace(k, s.Net, batch, nn.Inference)}
}

// Forward maps (n, input…) to logits (n, classes), valid until the next call.
func (r *Runner) Forward(x *tensor.Tensor) *tensor.Tensor { return r.s.Net.Forward(r.w, x) }

// Backward maps the gradient at the last Forward's logits, which it may
// overwrite, to the one at its x.
func (r *Runner) Backward(dy *tensor.Tensor) *tensor.Tensor { return r.s.Net.Backward(r.w, dy, nil) }

// Params are the student's params. The list must not be changed.
func (s *Student) Params() []*nn.Param { return s.params }

// Load copies values into the params by name, as Model.Load.
func (s *Student) Load(values map[string]*tensor.Tensor) error { return nn.Load(s.params, values) }

// dense is a Sequence with a Head on its flattened result: one Layer.
type dense struct {
	body *nn.Sequence
	head *Head
}

// The buffers of dense.
const (
	bufY = iota
	bufDX
	bufInput
	bufScratch
)

// Out implements nn.Layer.
func (d *dense) Out() tensor.Shape { return tensor.Shape{d.head.out()} }

// Params implements nn.Layer.
func (d *dense) Params() []*nn.Param {
	return append(append([]*nn.Param(nil), d.body.Params()...), d.head.Params()...)
}

// Plan implements nn.Layer.
func (d *dense) Plan(p *nn.Plan) {
	d.body.Plan(p)
	p.Tensor(d, d.Out())
	p.Tensor(d, d.body.Out())
	p.Vector(d, 0)
	p.Vector(d, d.head.out())
}

// Forward implements nn.Layer.
func (d *dense) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	h := d.body.Forward(w, x)
	w.Keep(d, bufInput, h)
	y := w.Tensor(d, bufY, x.N())
	d.head.forward(w.K, y.Data, h.Data, x.N())
	return y
}

// Backward implements nn.Layer.
func (d *dense) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	n := dy.N()
	h := w.Kept(d, bufInput)
	dx := w.Tensor(d, bufDX, n)
	d.head.backward(w.K, dx.Data, dy.Data, h.Data, nil, w.Vector(d, bufScratch), n, false, g)
	return d.body.Backward(w, dx, g)
}

// source is the generator of one part's initial params.
func source(seed, stream uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, stream)) }
