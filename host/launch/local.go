package launch

import (
	"context"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Local is a configured classifier of this process as the host sees one of
// another: images are NHWC whatever the layout that c declares. It is c itself
// unless that is NCHW. There are no checks, limits or restarts.
func Local(ctx context.Context, c sdk.Classifier) (sdk.Classifier, error) {
	info, err := c.Info(ctx)
	if err != nil || info.Layout != sdk.NCHW {
		return c, err
	}
	l := nhwc{c: c, layout: info.Layout, info: hostInfo(info)}
	if f, ok := c.(sdk.Forwarder); ok {
		return nhwcForwarder{l, f}, nil
	}
	if d, ok := c.(sdk.Differentiable); ok {
		return nhwcDifferentiable{l, d}, nil
	}
	return l, nil
}

type nhwc struct {
	c      sdk.Classifier
	layout sdk.Layout
	info   sdk.Info
}

func (l nhwc) Info(context.Context) (sdk.Info, error) { return l.info, nil }

func (l nhwc) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return l.c.Predict(ctx, toPlugin(l.layout, x))
}

type nhwcDifferentiable struct {
	nhwc
	d sdk.Differentiable
}

func (l nhwcDifferentiable) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx, err := l.d.Gradient(ctx, toPlugin(l.layout, x), dy)
	return toHost(l.layout, dx), err
}

type nhwcForwarder struct {
	nhwc
	f sdk.Forwarder
}

func (l nhwcForwarder) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	outs, pull, err := l.f.Forward(ctx, toPlugin(l.layout, x), outputs...)
	if err != nil || pull == nil {
		return outs, pull, err
	}
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx, err := pull(ctx, cots)
		return toHost(l.layout, dx), err
	}, nil
}
