package check_test

import (
	"context"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
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
	calls    int32 // counted atomically: some come at the same time
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
	if n := atomic.AddInt32(&l.calls, 1); l.output != nil && err == nil {
		l.output(int(n), y)
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

// firstAlone is the call of check.Classifier that asks for the first row alone: after the
// batch and its repetition.
const firstAlone = 3

// sigmoids turns scores into independent logistic functions of each.
func sigmoids(_ int, y *tensor.Tensor) {
	for i, v := range y.Data {
		y.Data[i] = float32(1 / (1 + math.Exp(-float64(v))))
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
		{"several labels called probabilities", liar{info: func(i *sdk.Info) { i.Output = sdk.Probabilities }, output: sigmoids},
			"probabilities", check.Fail, "several labels"},
		{"several labels called logits", liar{output: sigmoids}, "probabilities", check.Warn, "several labels"},
		{"one class", liar{info: func(i *sdk.Info) { i.NumClasses = 1 }}, "info", check.Fail, "want two or more"},
		{"dropout", liar{output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) }},
			"repeat", check.Fail, "differ by"},
		{"noise", liar{info: func(i *sdk.Info) { i.BatchInvariant = false }, output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) * 1e-5 }},
			"repeat", check.Warn, "differ by"},
		{"broken promise of the same bits", liar{output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) * 1e-5 }},
			"repeat", check.Fail, "the same bits"},
		{"batch statistics", liar{output: func(_ int, y *tensor.Tensor) { y.Data[0] += float32(y.N()) }},
			"batch", check.Fail, "batch statistics"},
		{"the first row's place", liar{output: func(n int, y *tensor.Tensor) {
			if y.N() > 1 {
				y.Row(0)[0]++
			} else if n == firstAlone {
				y.Data[0]++ // consistent where the others look
			}
		}}, "order", check.Fail, "a row's place in the batch"},
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
			findings, err := check.Classifier(ctx, subject, check.Options{Thorough: c.finding == "order"})
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

// TestExamples holds that a failure comes with the smallest example of it: one
// row, or the least batch, and one number.
func TestExamples(t *testing.T) {
	batched := func(n int, y *tensor.Tensor) {
		if y.N() >= 3 {
			y.Row(2)[1]++
		}
	}
	for _, c := range []struct {
		name, finding, want string
		liar                liar
	}{
		{"logits called probabilities", "probabilities", "row 5 gives [", liar{info: func(i *sdk.Info) { i.Output = sdk.Probabilities }}},
		{"not finite", "probabilities", "class 3 of row 2 is NaN", liar{output: func(_ int, y *tensor.Tensor) {
			if y.N() > 2 {
				y.Row(2)[3] = float32(math.NaN())
			}
		}}},
		{"dropout", "repeat", "row 0 alone, asked twice: class 0 is ", liar{output: func(n int, y *tensor.Tensor) { y.Data[0] += float32(n) }}},
		{"batch", "batch", "in a batch of 3", liar{output: batched}},
		{"factor", "gradient", "in a batch of 1; the gradient says", liar{gradient: scaled(3)}},
		{"mean over the batch", "gradient", "in a batch of 2; the gradient says", liar{gradient: func(x, dx *tensor.Tensor) *tensor.Tensor { return scaled(1/float32(x.N()))(x, dx) }}},
		{"one pixel", "gradient", "per unit of the pixel of row 1, column 2, channel 0", liar{gradient: func(_, dx *tensor.Tensor) *tensor.Tensor {
			for n := range dx.N() {
				dx.Row(n)[(1*6+2)*3] += 100
			}
			return dx
		}}},
		{"one pixel, channels first", "gradient", "per unit of the pixel of row 1, column 2, channel 0", liar{
			Fake: &sdktest.Fake{Shape: tensor.Shape{3, 6, 6}, Classes: 5, Seed: 3},
			info: func(i *sdk.Info) { i.Layout = sdk.NCHW },
			gradient: func(_, dx *tensor.Tensor) *tensor.Tensor {
				for n := range dx.N() {
					dx.Row(n)[1*6+2] += 100
				}
				return dx
			}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := c.liar
			if l.Fake == nil {
				l.Fake = image()
			}
			findings, err := check.Classifier(t.Context(), &l, check.Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Name == c.finding && strings.Contains(f.Example, c.want) && strings.Contains(f.String(), "; for example, "+f.Example) {
					return
				}
			}
			t.Errorf("no example of %s with %q in %v", c.finding, c.want, findings)
		})
	}
}

// TestFactorExample holds the numbers of an example: three times the slope.
func TestFactorExample(t *testing.T) {
	findings, err := check.Classifier(t.Context(), &liar{Fake: image(), gradient: scaled(3)}, check.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Name != "gradient" {
			continue
		}
		m := regexp.MustCompile(`changes by (\S+) per unit .* the gradient says (\S+)$`).FindStringSubmatch(f.Example)
		if m == nil {
			t.Fatal(f)
		}
		slope, err1 := strconv.ParseFloat(m[1], 64)
		says, err2 := strconv.ParseFloat(m[2], 64)
		if err1 != nil || err2 != nil || math.Abs(says/slope-3) > 0.05 {
			t.Errorf("%s: want three times the slope", f.Example)
		}
		return
	}
	t.Error("no finding about the gradient")
}

func TestRange(t *testing.T) {
	data := func(lo, hi float32) *tensor.Tensor {
		x := tensor.New(4, 6, 6, 3)
		for i := range x.Data {
			x.Data[i] = lo + (hi-lo)*float32(i%97)/96
		}
		return x
	}
	bounds := func(lo, hi float32) func(*sdk.Info) {
		return func(i *sdk.Info) { i.Lo, i.Hi = []float32{lo}, []float32{hi} }
	}
	for _, c := range []struct {
		name     string
		info     func(*sdk.Info)
		data     *tensor.Tensor
		severity check.Severity
		want     string
	}{
		{"inside", bounds(0, 1), data(0, 1), check.Pass, "the data has 0 to 1"},
		{"pixels not divided", bounds(0, 1), data(0, 255), check.Fail, "looks like pixels of 0 to 255 for a model of 0 to 1); for example, the pixel of row 5, column 2, channel 0 is 255 in row 0 of the data, want 0 to 1"},
		{"pixels divided", bounds(0, 255), data(0, 1), check.Warn, "looks like pixels of 0 to 1 for a model of 0 to 255"},
		{"symmetric pixels", bounds(0, 1), data(-1, 1), check.Warn, "looks like pixels of -1 to 1"},
		{"standardised", bounds(0, 1), data(-0.5, 1.5), check.Warn, "looks like standardised rows"},
		{"one number outside", bounds(0, 1), func() *tensor.Tensor { x := data(0, 1); x.Row(2)[4] = 1.25; return x }(), check.Warn, "1 of 432 numbers of the data lie outside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			findings, err := check.Classifier(t.Context(), &liar{Fake: image(), info: c.info}, check.Options{Rows: c.data})
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Name == "range" {
					if f.Severity != c.severity || !strings.Contains(f.String(), c.want) {
						t.Errorf("%v: %v, want %v with %q", f.Severity, f, c.severity, c.want)
					}
					return
				}
			}
			t.Errorf("no finding about the range in %v", findings)
		})
	}
}
