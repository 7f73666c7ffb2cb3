package bench

import (
	"cmp"
	"context"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// plain is the stand-in where no classifier takes part: its logits are the
// first features. It answers in the same memory again and again, and so
// allocates nothing for batches no larger than one before; a real classifier gives its
// answers away.
type plain struct {
	input   tensor.Shape
	classes int

	out, dx *tensor.Tensor
	outs    map[string]*tensor.Tensor
	pull    sdk.Pullback
}

func newPlain(input tensor.Shape, classes int) *plain {
	p := &plain{input: input, classes: cmp.Or(classes, 10), outs: map[string]*tensor.Tensor{}}
	p.pull = p.back
	return p
}

// Info implements sdk.Classifier.
func (p *plain) Info(context.Context) (sdk.Info, error) {
	layout := sdk.Flat
	if len(p.input) == 3 {
		layout = sdk.NHWC
	}
	return sdk.Info{Name: "plain", InputShape: p.input, Layout: layout, NumClasses: p.classes,
		Lo: []float32{0}, Hi: []float32{1}, Output: sdk.Logits, Gradient: sdk.ExactGradient, Ready: true, BatchInvariant: true}, nil
}

// Predict implements sdk.Classifier, except that the answer stays its own.
func (p *plain) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	n := x.N()
	if p.out == nil || cap(p.out.Data) < n*p.classes {
		p.out, p.dx = tensor.New(n, p.classes), tensor.Batch(n, p.input)
		p.outs[sdk.Output] = p.out
	}
	for _, t := range []*tensor.Tensor{p.out, p.dx} {
		t.Shape[0], t.Data = n, t.Data[:n*t.Stride()]
	}
	d := x.Stride()
	for i := range x.N() {
		for c := range p.classes {
			p.out.Data[i*p.classes+c] = x.Data[i*d+c%d]
		}
	}
	return p.out, nil
}

// Forward implements sdk.Forwarder.
func (p *plain) Forward(ctx context.Context, x *tensor.Tensor, _ ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	_, err := p.Predict(ctx, x)
	return p.outs, p.pull, err
}

func (p *plain) back(_ context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
	clear(p.dx.Data)
	dy := cots[sdk.Output]
	d := p.dx.Stride()
	for i := range p.dx.N() {
		for c := range p.classes {
			p.dx.Data[i*d+c%d] += dy.Data[i*p.classes+c]
		}
	}
	return p.dx, nil
}

var _ sdk.Forwarder = (*plain)(nil)
