package layers

import (
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Flatten gives an example one dimension.
type Flatten struct{}

// Make implements nn.Maker.
func (Flatten) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	return &view{kind: "flatten", in: in.Clone(), out: tensor.Shape{in.Size()}}, nil
}

// Reshape gives an example another shape of the same size.
type Reshape struct {
	TargetShape []int `yaml:"target_shape" doc:"dimensions of an example; one may be -1, which follows from the others" required:"true"`
}

// Validate implements registry.Validator.
func (l Reshape) Validate() error {
	free := 0
	for _, d := range l.TargetShape {
		if d == -1 {
			free++
		} else if d < 1 {
			return fmt.Errorf("target_shape: dimension %d, want at least 1, or -1", d)
		}
	}
	if len(l.TargetShape) == 0 || free > 1 {
		return errors.New("target_shape: want dimensions, of which one may be -1")
	}
	return nil
}

// Make implements nn.Maker.
func (l Reshape) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	out, rest, free := tensor.Shape(l.TargetShape).Clone(), 1, -1
	for i, d := range out {
		if d == -1 {
			free = i
			continue
		}
		rest *= d
	}
	if free >= 0 {
		if in.Size()%rest != 0 {
			return nil, fmt.Errorf("reshape: %d elements do not divide by %d, the product of the other dimensions", in.Size(), rest)
		}
		out[free] = in.Size() / rest
	} else if rest != in.Size() {
		return nil, fmt.Errorf("reshape: %d elements cannot become %v = %d", in.Size(), out, rest)
	}
	return &view{kind: "reshape", in: in.Clone(), out: out}, nil
}

// view shows the same numbers in another shape.
type view struct {
	kind    string
	in, out tensor.Shape
}

// Kind implements nn.Described.
func (l *view) Kind() string { return l.kind }

// FLOPs implements nn.Described.
func (l *view) FLOPs() int64 { return 0 }

// NoHiddenOutput implements nn.NoHiddenOutput.
func (l *view) NoHiddenOutput() bool { return true }

// Out implements nn.Layer.
func (l *view) Out() tensor.Shape { return l.out }

// Params implements nn.Layer.
func (l *view) Params() []*nn.Param { return nil }

// Toward implements nn.Adjustable. A flat input may have another size.
func (l *view) Toward(out tensor.Shape) []nn.Adjustment {
	in := l.in
	if in.Size() != out.Size() {
		in = tensor.Shape{out.Size()}
	}
	if len(in) != len(l.in) || l.kind == "flatten" {
		return nil
	}
	return []nn.Adjustment{{In: in, Options: []string{"target_shape: " + yaml([]int(out))}}}
}

// Plan implements nn.Layer.
func (l *view) Plan(p *nn.Plan) {
	p.Tensor(l, l.in)
	p.Tensor(l, l.out)
}

// Forward implements nn.Layer.
func (l *view) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	return w.View(l, 1, x.N(), x.Data)
}

// Backward implements nn.Layer.
func (l *view) Backward(w *nn.Workspace, dy *tensor.Tensor, _ *nn.Grads) *tensor.Tensor {
	return w.View(l, 0, dy.N(), dy.Data)
}

// Graph implements nn.Graphed.
func (l *view) Graph(b *graph.Builder, x graph.Value) graph.Value { return b.Batch(x, l.out...) }
