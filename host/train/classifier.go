package train

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// classifier is what training asks, with planned memory for the heads on its
// hidden layers.
type classifier struct {
	*oracle.Oracle
	k *kernel.Engine

	room    oracle.Room
	logits  []view           // of the heads, for a batch
	hidden  []*tensor.Tensor // logits of the last answer
	dHidden []view
	dLayers []*tensor.Tensor
}

// answer is what the classifier says of a batch. It is valid until the next.
type answer struct {
	oracle.Answer
	logits []*tensor.Tensor // of the heads, (n, units)
}

func newClassifier(ctx context.Context, c sdk.Classifier, k *kernel.Engine, heads []oracle.Head, batch int) (*classifier, error) {
	if c == nil {
		return nil, fmt.Errorf("the loss or a metric needs a classifier")
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, wrap(err)
	}
	o, err := oracle.New(c, info, heads)
	if err != nil {
		return nil, fmt.Errorf("detector.hidden_layers: %w", err)
	}
	cl := &classifier{Oracle: o, k: k}
	for _, h := range heads {
		cl.logits = append(cl.logits, newView(batch, tensor.Shape{h.Kernel.Stride()}))
		for _, l := range info.Hidden {
			if l.Name == h.Name {
				cl.dHidden = append(cl.dHidden, newView(batch, l.Shape))
				break
			}
		}
	}
	return cl, nil
}

// predict asks without gradients.
func (c *classifier) predict(ctx context.Context, x *tensor.Tensor) (answer, error) {
	a, err := c.Predict(ctx, x, &c.room)
	if err != nil {
		return answer{}, err
	}
	return c.read(a), nil
}

// forward asks with gradients to come.
func (c *classifier) forward(ctx context.Context, x *tensor.Tensor) (answer, error) {
	a, err := c.ask(ctx, x, &c.room)
	if err != nil {
		return answer{}, err
	}
	return c.read(a), nil
}

// ask is forward without the heads, and so without the engine.
func (c *classifier) ask(ctx context.Context, x *tensor.Tensor, room *oracle.Room) (oracle.Answer, error) {
	a, err := c.Forward(ctx, x, room)
	if err == nil && !a.HasGradient() {
		err = fmt.Errorf("the classifier %s has no gradient, which this loss needs", c.Info().Name)
	}
	return a, err
}

// read turns hidden layers into their heads' logits.
func (c *classifier) read(a oracle.Answer) answer {
	c.hidden = c.hidden[:0]
	for i, h := range c.Heads() {
		y := c.logits[i].of(a.Hidden[i].N())
		h.Forward(c.k, y, a.Hidden[i])
		c.hidden = append(c.hidden, y)
	}
	return answer{a, c.hidden}
}

// pull maps cotangents at the output and at the heads' logits, of which there
// may be none, to the gradient at the input.
func (c *classifier) pull(ctx context.Context, a answer, dOut *tensor.Tensor, dLogits []*tensor.Tensor) (*tensor.Tensor, error) {
	c.dLayers = c.dLayers[:0]
	for i, d := range dLogits {
		dx := c.dHidden[i].of(d.N())
		c.Heads()[i].Backward(c.k, dx, d)
		c.dLayers = append(c.dLayers, dx)
	}
	return a.Gradient(ctx, dOut, c.dLayers)
}

// table asks for all rows once, batch by batch, and keeps the answers: the
// outputs, and the logits of the heads: 4 bytes each, for all rows.
func (c *classifier) table(ctx context.Context, x dataset.Examples, size int, report func(done, of int)) (out *tensor.Tensor, logits []*tensor.Tensor, err error) {
	n, lo := x.N(), 0
	for rows, err := range dataset.Chunks(x, size) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, nil, err
		}
		hi := lo + rows.N()
		a, err := c.predict(ctx, rows)
		if err != nil {
			return nil, nil, err
		}
		if out == nil {
			out = tensor.Batch(n, a.Output.Example())
			for _, l := range a.logits {
				logits = append(logits, tensor.Batch(n, l.Example()))
			}
		}
		copy(out.Rows(lo, hi).Data, a.Output.Data)
		for i, l := range a.logits {
			copy(logits[i].Rows(lo, hi).Data, l.Data)
		}
		report(hi, n)
		lo = hi
	}
	return out, logits, nil
}

func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("classifier: %w", err)
}
