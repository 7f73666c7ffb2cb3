package launch

import (
	"context"

	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Local is a configured classifier of this process as the host sees one of
// another: images are NHWC whatever the layout that c declares, and rows are those
// before the preprocessing of s, which may be nil. It is c itself if neither
// changes a row. There are no checks, limits or restarts.
func Local(ctx context.Context, c sdk.Classifier, s *preprocess.Section) (sdk.Classifier, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return c, err
	}
	f, info, err := faceOf(s, info)
	if err != nil || f.Layout != sdk.NCHW && f.pre == nil {
		return c, err
	}
	l := fronted{c: c, face: f, info: info}
	if f, ok := c.(sdk.Forwarder); ok {
		return frontedForwarder{l, f}, nil
	}
	if d, ok := c.(sdk.Differentiable); ok {
		return frontedDifferentiable{l, d}, nil
	}
	return l, nil
}

type fronted struct {
	c    sdk.Classifier
	face face
	info sdk.Info
}

func (l fronted) Info(context.Context) (sdk.Info, error) { return l.info, nil }

func (l fronted) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return l.c.Predict(ctx, l.face.toPlugin(x))
}

type frontedDifferentiable struct {
	fronted
	d sdk.Differentiable
}

func (l frontedDifferentiable) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx, err := l.d.Gradient(ctx, l.face.toPlugin(x), dy)
	return l.face.toHost(dx), err
}

type frontedForwarder struct {
	fronted
	f sdk.Forwarder
}

func (l frontedForwarder) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	outs, pull, err := l.f.Forward(ctx, l.face.toPlugin(x), outputs...)
	if err != nil || pull == nil {
		return outs, pull, err
	}
	return outs, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx, err := pull(ctx, cots)
		return l.face.toHost(dx), err
	}, nil
}
