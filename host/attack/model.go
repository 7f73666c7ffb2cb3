package attack

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// AsForwarder gives any classifier the Forwarder's face: its own, or Predict
// with Gradient behind it, or Predict alone with a nil Pullback. The rebuilt
// Pullback keeps x, which must not change before it is called.
func AsForwarder(c sdk.Classifier) sdk.Forwarder {
	if f, ok := c.(sdk.Forwarder); ok {
		return f
	}
	return plain{c}
}

type plain struct{ sdk.Classifier }

func (p plain) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	for _, o := range outputs {
		if o != sdk.Output {
			return nil, nil, fmt.Errorf("the classifier has no output %q", o)
		}
	}
	y, err := p.Predict(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	out := map[string]*tensor.Tensor{sdk.Output: y}
	d, ok := p.Classifier.(sdk.Differentiable)
	if !ok {
		return out, nil, nil
	}
	return out, func(ctx context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dy := cot[sdk.Output]
		if dy == nil {
			return nil, errors.New("attack: no cotangent for the only output")
		}
		return d.Gradient(ctx, x, dy)
	}, nil
}

// meter counts the rows sent to a model, whoever sends them.
type meter struct {
	sdk.Forwarder
	rows, gradients atomic.Int64
}

func (m *meter) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	m.rows.Add(int64(x.N()))
	return m.Forwarder.Predict(ctx, x)
}

func (m *meter) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	m.rows.Add(int64(x.N()))
	out, pull, err := m.Forwarder.Forward(ctx, x, outputs...)
	if err != nil || pull == nil {
		return out, nil, err
	}
	return out, func(ctx context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		m.gradients.Add(int64(x.N()))
		return pull(ctx, cot)
	}, nil
}
