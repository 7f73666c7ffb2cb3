package attack

import (
	"context"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// meter counts all rows sent to a model.
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

// masked is a model whose gradients are zero in columns that stand still, for
// attacks that spend their ball along a gradient.
type masked struct {
	sdk.Forwarder
	slots []slot
}

func (m masked) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	out, pull, err := m.Forwarder.Forward(ctx, x, outputs...)
	if err != nil || pull == nil {
		return out, nil, err
	}
	return out, func(ctx context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx, err := pull(ctx, cot)
		if err != nil {
			return nil, err
		}
		dx = dx.Clone()
		for i := range dx.N() {
			for j := range m.slots {
				if m.slots[j].still {
					dx.Row(i)[j] = 0
				}
			}
		}
		return dx, nil
	}, nil
}
