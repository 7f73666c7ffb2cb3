package bench

import (
	"context"
	"time"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// meter counts what a classifier is asked, and how long it takes.
type meter struct {
	spent time.Duration
	rows  int // of forward passes
}

func (m *meter) since(start time.Time) { m.spent += time.Since(start) }

// metered wraps a classifier so that its calls are counted.
func metered(c sdk.Classifier) (sdk.Classifier, *meter) {
	m := &meter{}
	base := meteredClassifier{c, m}
	switch c := c.(type) {
	case sdk.Forwarder:
		f := meteredForwarder{base, c}
		if o, ok := c.(outputter); ok {
			return meteredOutputter{f, o}, m
		}
		return f, m
	case sdk.Differentiable:
		return meteredDifferentiable{base, c}, m
	}
	return base, m
}

type meteredClassifier struct {
	c sdk.Classifier
	m *meter
}

func (c meteredClassifier) Info(ctx context.Context) (sdk.Info, error) { return c.c.Info(ctx) }

func (c meteredClassifier) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	defer c.m.since(time.Now())
	c.m.rows += x.N()
	return c.c.Predict(ctx, x)
}

type meteredDifferentiable struct {
	meteredClassifier
	d sdk.Differentiable
}

func (c meteredDifferentiable) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	defer c.m.since(time.Now())
	return c.d.Gradient(ctx, x, dy)
}

type meteredForwarder struct {
	meteredClassifier
	f sdk.Forwarder
}

func (c meteredForwarder) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	defer c.m.since(time.Now())
	c.m.rows += x.N()
	outs, pull, err := c.f.Forward(ctx, x, outputs...)
	if pull == nil {
		return outs, nil, err
	}
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		defer c.m.since(time.Now())
		return pull(ctx, cots)
	}, err
}

// outputter answers named outputs without keeping a tape, as package oracle asks for
// hidden layers.
type outputter interface {
	Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error)
}

type meteredOutputter struct {
	meteredForwarder
	o outputter
}

func (c meteredOutputter) Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error) {
	defer c.m.since(time.Now())
	c.m.rows += x.N()
	return c.o.Outputs(ctx, x, outputs...)
}

// timedOptimizer adds up the time of the updates.
type timedOptimizer struct {
	nn.Optimizer
	spent *time.Duration
}

func (t *timedOptimizer) Update(k *kernel.Engine, p, g []float32, slots [][]float32, lr float64, step int) {
	start := time.Now()
	t.Optimizer.Update(k, p, g, slots, lr, step)
	*t.spent += time.Since(start)
}
