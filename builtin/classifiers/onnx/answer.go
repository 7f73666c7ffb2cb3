package onnx

import (
	"context"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// current is the program, if there is one, for rows x.
func (c *Classifier) current(x *tensor.Tensor) (*program, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.program == nil {
		return nil, sdk.Errorf(sdk.FailedPrecondition, "%s: not configured", Name)
	}
	if want := c.program.entry.wire; !x.Example().Equal(want) {
		return nil, sdk.Errorf(sdk.InvalidArgument, "%s: rows are %v, want %v", Name, x.Example(), want)
	}
	return c.program, nil
}

// Predict implements sdk.Classifier.
func (c *Classifier) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	p, err := c.current(x)
	if err != nil {
		return nil, err
	}
	outs, err := p.forward(ctx, x, []string{sdk.Output}, 0)
	if err != nil {
		return nil, err
	}
	return outs[sdk.Output], nil
}

// Forward implements sdk.Forwarder. The Pullback is nil if the model has no
// gradient.
func (c *Classifier) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	p, err := c.current(x)
	if err != nil {
		return nil, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if len(outputs) == 0 {
		outputs = []string{sdk.Output}
	}
	x = x.Clone() // the caller may change his rows before he pulls back
	tape := p.pool.Next()
	outs, err := p.forward(ctx, x, outputs, tape)
	if err != nil {
		return nil, nil, err
	}
	if p.gradient == sdk.NoGradient {
		return outs, nil, nil
	}
	return outs, p.pullback(x, tape, outs), nil
}

var (
	_ sdk.Forwarder    = (*Classifier)(nil)
	_ sdk.Configurable = (*Classifier)(nil)
)
