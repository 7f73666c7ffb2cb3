package oracle

import (
	"context"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// outputter answers named outputs without keeping a tape, as sdk.Client does.
type outputter interface {
	Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error)
}

// AsForwarder gives any classifier the Forwarder's face: its own, or Outputs
// or Predict with Gradient after it, or these alone with a nil Pullback. The
// derived Pullback is for sdk.Output alone and keeps x, which must not change
// before it is called.
func AsForwarder(c sdk.Classifier) sdk.Forwarder {
	if f, ok := c.(sdk.Forwarder); ok {
		return f
	}
	return plain{c}
}

type plain struct{ sdk.Classifier }

func (p plain) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	hidden := false
	for _, name := range outputs {
		hidden = hidden || name != sdk.Output
	}
	if hidden {
		c, ok := p.Classifier.(outputter)
		if !ok {
			return nil, nil, fmt.Errorf("the classifier has no outputs %q", outputs)
		}
		outs, err := c.Outputs(ctx, x, outputs...)
		return outs, nil, err
	}
	y, err := p.Predict(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	outs := map[string]*tensor.Tensor{sdk.Output: y}
	d, ok := p.Classifier.(sdk.Differentiable)
	if !ok {
		return outs, nil, nil
	}
	return outs, pullOf(d, x), nil
}

// pullOf is the Pullback of a classifier without tapes, at x.
func pullOf(d sdk.Differentiable, x *tensor.Tensor) sdk.Pullback {
	return func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dy := cots[sdk.Output]
		if dy == nil {
			return nil, errors.New("no cotangent for the only output")
		}
		return d.Gradient(ctx, x, dy)
	}
}
