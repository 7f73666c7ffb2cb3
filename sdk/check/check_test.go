package check_test

import (
	"context"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// liar is a Fake that says or does something wrong.
type liar struct {
	*sdktest.Fake
	info     func(*sdk.Info)
	output   func(calls int, y *tensor.Tensor)
	gradient func(x, dx *tensor.Tensor) *tensor.Tensor
	calls    int
}

func (l *liar) Info(ctx context.Context) (sdk.Info, error) {
	i, err := l.Fake.Info(ctx)
	if l.info != nil {
		l.info(&i)
	}
	return i, err
}

func (l *liar) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	y, err := l.Fake.Predict(ctx, x)
	if l.calls++; l.output != nil && err == nil {
		l.output(l.calls, y)
	}
	return y, err
}

func (l *liar) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	dx, err := l.Fake.Gradient(ctx, x, dy)
	if l.gradient != nil && err == nil {
		dx = l.gradient(x, dx)
	}
	return dx, err
}

func scaled(s float32) func(_, dx *tensor.Tensor) *tensor.Tensor {
	return func(_, dx *tensor.Tensor) *tensor.Tensor {
		for i := range dx.Data {
			dx.Data[i] *= s
		}
		return dx
	}
}

func image() *sdktest.Fake { return &sdktest.Fake{Shape: tensor.Shape{6, 6, 3}, Classes: 5, Seed: 3} }

func TestHonestClassifiersPass(t *testing.T) {
	for name, f := range map[string]*sdktest.Fake{
		"logits":        image(),
		"probabilities": {Shape: tensor.Shape{7}, Classes: 3, Output: sdk.Probabilities, Scale: 1},
		"wide range":    {Shape: tensor.Shape{7}, Classes: 3, Lo: []float32{-2}, Hi: []float32{1}, Scale: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			findings, err := check.Classifier(t.Context(), f, check.Options{Thorough: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(findings) < 8 {
				t.Errorf("only %d findings", len(findings))
			}
			for _, x := range findings {
				if x.Severity != check.Pass {
					t.Errorf("%v: %v", x.Severity, x)
				}
			}
		})
	}
}

func TestLiarsAreFound(t *testing.T) {
	ctx := context.Background()
	cases := []struct {
		name     string
		liar     liar
		finding  string
		severity check.Severity
		want     string
	}{
		{"logits called probabilities", liar{info: func(i *sdk.Info) { i.Output = sdk.Probabilities }},
			"probabilities", check.Fail, "logits called probabilities"},
		{"probabilities called logits", liar{Fake: &sdktest.Fake{Shape: tensor.Shape{4}, Classes: 3, Output: sdk.Probabilities}, info: func(i *sdk.Info) { i.Output = sdk.Logits }},
			"probabilities", check.Warn, "probabilities called logits"},
		{"dropout", liar{output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) }},
			"repeat", check.Fail, "differ by"},
		{"noise", liar{info: func(i *sdk.Info) { i.BatchInvariant = false }, output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) * 1e-5 }},
			"repeat", check.Warn, "differ by"},
		{"broken promise of the same bits", liar{output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) * 1e-5 }},
			"repeat", check.Fail, "the same bits"},
		{"batch statistics", liar{output: func(_ int, y *tensor.Tensor) { y.Data[0] += float32(y.N()) }},
			"batch", check.Fail, "batch statistics"},
		{"wrong sign", liar{gradient: scaled(-1)}, "gradient", check.Fail, "the wrong sign"},
		{"mean over the batch", liar{gradient: scaled(1. / 16)}, "gradient", check.Fail, "a factor of N"},
		{"factor", liar{gradient: scaled(3)}, "gradient", check.Fail, "a factor of 3"},
		{"zero", liar{gradient: scaled(0)}, "gradient", check.Fail, "always zero"},
		{"estimated", liar{gradient: scaled(3), info: func(i *sdk.Info) { i.Gradient = sdk.EstimatedGradient }}, "gradient", check.Warn, "a factor of 3"},
		{"channels first", liar{gradient: func(_, dx *tensor.Tensor) *tensor.Tensor {
			out := tensor.New(dx.Shape...)
			for n := range dx.N() {
				for i := range 36 {
					for c := range 3 {
						out.Row(n)[c*36+i] = dx.Row(n)[i*3+c]
					}
				}
			}
			return out
		}}, "gradient", check.Fail, "transposed layout: the gradient's channels"},
		{"rows and columns", liar{gradient: func(_, dx *tensor.Tensor) *tensor.Tensor {
			out := tensor.New(dx.Shape...)
			for n := range dx.N() {
				for i := range 36 {
					copy(out.Row(n)[(i%6*6+i/6)*3:][:3], dx.Row(n)[i*3:][:3])
				}
			}
			return out
		}}, "gradient", check.Fail, "rows and columns are swapped"},
		{"gradient of the probabilities", liar{gradient: func(x, _ *tensor.Tensor) *tensor.Tensor { return nil }},
			"gradient", check.Fail, "the gradient of the probabilities"},
		{"saturated", liar{Fake: &sdktest.Fake{Shape: tensor.Shape{4}, Classes: 3, Output: sdk.Probabilities, Scale: 1e6}},
			"gradient", check.Warn, "noise floor"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l := c.liar
			if l.Fake == nil {
				l.Fake = image()
			}
			var subject sdk.Classifier = &l
			if c.name == "gradient of the probabilities" {
				subject = probabilityGradient{l.Fake}
			}
			findings, err := check.Classifier(ctx, subject, check.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Name == c.finding && f.Severity == c.severity && strings.Contains(f.String(), c.want) {
					return
				}
			}
			t.Errorf("no %v of %s with %q in %v", c.severity, c.finding, c.want, findings)
		})
	}
}

// probabilityGradient answers logits and the gradient of their softmax.
type probabilityGradient struct{ *sdktest.Fake }

func (p probabilityGradient) Gradient(ctx context.Context, x, dy *tensor.Tensor) (*tensor.Tensor, error) {
	f := &sdktest.Fake{Shape: p.Shape, Classes: p.Classes, Seed: p.Seed, Output: sdk.Probabilities}
	return f.Gradient(ctx, x, dy)
}
