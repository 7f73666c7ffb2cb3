package train

import (
	"context"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// oracle is the classifier with the heads on its hidden layers.
type oracle struct {
	c     sdk.Classifier
	info  sdk.Info
	k     *kernel.Engine
	heads []Head
	names []string // of the outputs asked for: output, hidden/…

	cotangents map[string]*tensor.Tensor // reused
	logits     []view                    // of the heads, for a batch
	hidden     []*tensor.Tensor          // of the last answer
	dHidden    []view
}

// answer is what the oracle says of a batch. hidden is valid until the next.
type answer struct {
	out    *tensor.Tensor   // (n, classes)
	hidden []*tensor.Tensor // logits of the heads, (n, units)
	pull   sdk.Pullback     // nil: none asked for
}

func newOracle(ctx context.Context, c sdk.Classifier, k *kernel.Engine, heads []Head, batch int) (*oracle, error) {
	if c == nil {
		return nil, fmt.Errorf("the loss or a metric needs a classifier")
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("classifier: %w", err)
	}
	o := &oracle{c: c, info: info, k: k, heads: heads, names: []string{sdk.Output}, cotangents: map[string]*tensor.Tensor{}}
	for _, h := range heads {
		i := slices.IndexFunc(info.Hidden, func(l sdk.HiddenLayer) bool { return l.Name == h.Name })
		if i < 0 {
			return nil, fmt.Errorf("detector.hidden_layers: the classifier has no hidden layer %q%s", h.Name, knownHidden(info))
		}
		shape := info.Hidden[i].Shape
		if len(h.Kernel.Shape) != 2 || h.Kernel.N() != shape.Size() {
			return nil, fmt.Errorf("detector.hidden_layers: the head on %q is %v, the layer %v", h.Name, h.Kernel.Shape, shape)
		}
		o.names = append(o.names, sdk.HiddenPrefix+h.Name)
		o.logits = append(o.logits, newView(batch, tensor.Shape{h.Kernel.Stride()}))
		o.dHidden = append(o.dHidden, newView(batch, shape))
	}
	return o, nil
}

func knownHidden(info sdk.Info) string {
	if len(info.Hidden) == 0 {
		return ": it offers none"
	}
	s := "; known:"
	for _, l := range info.Hidden {
		s += " " + l.Name
	}
	return s
}

// outputter answers named outputs without keeping a tape.
type outputter interface {
	Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error)
}

// predict asks without gradients.
func (o *oracle) predict(ctx context.Context, x *tensor.Tensor) (answer, error) {
	if len(o.heads) == 0 {
		out, err := o.c.Predict(ctx, x)
		return answer{out: out}, wrap(err)
	}
	outs, err := o.outputs(ctx, x)
	if err != nil {
		return answer{}, err
	}
	return o.read(outs, x.N())
}

// outputs asks for output and hidden layers.
func (o *oracle) outputs(ctx context.Context, x *tensor.Tensor) (map[string]*tensor.Tensor, error) {
	switch c := o.c.(type) {
	case outputter:
		outs, err := c.Outputs(ctx, x, o.names...)
		return outs, wrap(err)
	case sdk.Forwarder:
		outs, _, err := c.Forward(ctx, x, o.names...)
		return outs, wrap(err)
	}
	return nil, fmt.Errorf("detector.hidden_layers: the classifier %s offers none", o.info.Name)
}

// forward asks with gradients to come.
func (o *oracle) forward(ctx context.Context, x *tensor.Tensor) (answer, error) {
	switch c := o.c.(type) {
	case sdk.Forwarder:
		outs, pull, err := c.Forward(ctx, x, o.names...)
		if err != nil {
			return answer{}, wrap(err)
		}
		if pull == nil {
			return answer{}, fmt.Errorf("the classifier %s has no gradient, which this loss needs", o.info.Name)
		}
		a, err := o.read(outs, x.N())
		a.pull = pull
		return a, err
	case sdk.Differentiable:
		if len(o.heads) > 0 {
			return answer{}, fmt.Errorf("detector.hidden_layers: the classifier %s offers none", o.info.Name)
		}
		out, err := c.Predict(ctx, x)
		pull := func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
			return c.Gradient(ctx, x, cots[sdk.Output])
		}
		return answer{out: out, pull: pull}, wrap(err)
	}
	return answer{}, fmt.Errorf("the classifier %s has no gradient, which this loss needs", o.info.Name)
}

// read turns hidden layers into their heads' logits.
func (o *oracle) read(outs map[string]*tensor.Tensor, n int) (answer, error) {
	a := answer{out: outs[sdk.Output]}
	if a.out == nil {
		return a, fmt.Errorf("classifier: no output %q", sdk.Output)
	}
	o.hidden = o.hidden[:0]
	for i, h := range o.heads {
		x := outs[o.names[i+1]]
		if x == nil || x.N() != n || x.Stride() != h.Kernel.N() {
			return a, fmt.Errorf("classifier: hidden layer %q is missing or of another shape", h.Name)
		}
		y := o.logits[i].of(n)
		o.k.Gemm(y.Data, h.Kernel.Stride(), kernel.Dense(x.Data, n, h.Kernel.N()), headMatrix(h), kernel.Epilogue{})
		o.hidden = append(o.hidden, y)
	}
	a.hidden = o.hidden
	return a, nil
}

func headMatrix(h Head) kernel.Matrix {
	return kernel.Dense(h.Kernel.Data, h.Kernel.N(), h.Kernel.Stride())
}

// pull maps cotangents at the output and at the heads' logits to the gradient
// at the input.
func (o *oracle) pull(ctx context.Context, a answer, dOut *tensor.Tensor, dHidden []*tensor.Tensor) (*tensor.Tensor, error) {
	clear(o.cotangents)
	o.cotangents[sdk.Output] = dOut
	for i, d := range dHidden {
		h := o.heads[i]
		dx := o.dHidden[i].of(d.N())
		o.k.Gemm(dx.Data, h.Kernel.N(), kernel.Dense(d.Data, d.N(), h.Kernel.Stride()), headMatrix(h).T(), kernel.Epilogue{})
		o.cotangents[o.names[i+1]] = dx
	}
	dx, err := a.pull(ctx, o.cotangents)
	return dx, wrap(err)
}

// table asks for all rows once, batch by batch, and keeps the answers.
func (o *oracle) table(ctx context.Context, x *tensor.Tensor, size int, report func(done, of int)) (out *tensor.Tensor, hidden []*tensor.Tensor, err error) {
	n := x.N()
	for lo := 0; lo < n; lo += size {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		hi := min(lo+size, n)
		a, err := o.predict(ctx, x.Rows(lo, hi))
		if err != nil {
			return nil, nil, err
		}
		if out == nil {
			out = tensor.Batch(n, a.out.Example())
			for _, h := range a.hidden {
				hidden = append(hidden, tensor.Batch(n, h.Example()))
			}
		}
		copy(out.Rows(lo, hi).Data, a.out.Data)
		for i, h := range a.hidden {
			copy(hidden[i].Rows(lo, hi).Data, h.Data)
		}
		report(hi, n)
	}
	return out, hidden, nil
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("classifier: %w", err)
}
