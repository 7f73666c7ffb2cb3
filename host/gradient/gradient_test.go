package gradient_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/builtin/datasets"
	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func dense(units int) layers.Dense {
	d := layers.NewDense(units)
	d.Activation = nn.Activation{Name: "relu"}
	return d
}

// uniform are n rows of d numbers in [0.1, 0.9].
func uniform(n, d int) *tensor.Tensor { return attacktest.Uniform(n, d, .1, .9, 1) }

func source(t testing.TB, c sdk.Classifier, o gradient.Options) *gradient.Source {
	t.Helper()
	if o.Surrogate == nil {
		o.Surrogate = &gradient.SurrogateSection{}
	}
	if o.Surrogate.Layers == nil {
		o.Surrogate.Layers = []nn.Maker{dense(32)}
	}
	if o.Surrogate.Epochs == 0 {
		o.Surrogate.Epochs = 3
	}
	o.Seed = 3
	s, err := gradient.New(t.Context(), c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func prepared(t testing.TB, c sdk.Classifier, o gradient.Options) *gradient.Source {
	t.Helper()
	s := source(t, c, o)
	if err := s.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// gradientAt is a source's gradient at x of Σ dy·output.
func gradientAt(t testing.TB, c sdk.Forwarder, x, dy *tensor.Tensor) *tensor.Tensor {
	t.Helper()
	outs, pull, err := c.Forward(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	if len(outs) != 1 || pull == nil {
		t.Fatalf("Forward gives %d outputs, pullback %t", len(outs), pull != nil)
	}
	dx, err := pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: dy})
	if err != nil {
		t.Fatal(err)
	}
	return dx
}

// cotangents are those of KL(P ‖ Q) at the answers y, for random P. For logits
// Q is taken as uniform.
func cotangents(y *tensor.Tensor, kind sdk.OutputKind) *tensor.Tensor {
	r := rand.New(rand.NewPCG(4, 4))
	dy := tensor.New(y.Shape...)
	for i := range y.N() {
		sum := 0.0
		p := make([]float64, y.Stride())
		for c := range p {
			p[c] = r.ExpFloat64()
			sum += p[c]
		}
		for c, v := range y.Row(i) {
			if kind == sdk.Probabilities {
				dy.Row(i)[c] = float32(-p[c] / sum / max(float64(v), 1e-30))
			} else {
				dy.Row(i)[c] = float32(p[c]/sum - 1/float64(len(p)))
			}
		}
	}
	return dy
}

// relative is |a − b| / |b| over all numbers.
func relative(a, b []float32) float64 {
	d, n := 0.0, 0.0
	for i := range a {
		d += float64(a[i]-b[i]) * float64(a[i]-b[i])
		n += float64(b[i]) * float64(b[i])
	}
	return math.Sqrt(d / n)
}

func cosine(a, b []float32) float64 {
	ab, aa, bb := 0.0, 0.0, 0.0
	for i := range a {
		ab += float64(a[i]) * float64(b[i])
		aa += float64(a[i]) * float64(a[i])
		bb += float64(b[i]) * float64(b[i])
	}
	return ab / math.Sqrt(aa*bb)
}

// differencesTolerance is what float32 answers allow at the least step.
const differencesTolerance = 1e-3

// TestDifferences holds central differences against exact gradients.
func TestDifferences(t *testing.T) {
	for _, kind := range []sdk.OutputKind{sdk.Logits, sdk.Probabilities} {
		t.Run(kind.String(), func(t *testing.T) {
			fake := &sdktest.Fake{Shape: tensor.Shape{20}, Classes: 4, Seed: 2, Output: kind}
			x := uniform(30, 20)
			s := prepared(t, attacktest.PredictionsOnly{C: fake}, gradient.Options{Section: gradient.Section{Kind: gradient.Difference}, Train: dataset.InMemory(x)})
			y, err := fake.Predict(t.Context(), x)
			if err != nil {
				t.Fatal(err)
			}
			dy := cotangents(y, kind)
			clear(dy.Row(3)) // nothing is asked about it
			before := s.Report().Queries.Gradients
			got, want := gradientAt(t, s, x, dy), gradientAt(t, fake, x, dy)
			if e := relative(got.Data, want.Data); e > differencesTolerance {
				t.Errorf("central differences are off by %.2g, want at most %g", e, differencesTolerance)
			}
			if q := s.Report().Queries.Gradients - before; q != 29*2*20 {
				t.Errorf("%d queries, want 2 for each feature of 29 rows, %d", q, 29*2*20)
			}
			if info, err := s.Info(t.Context()); err != nil || info.Gradient != sdk.EstimatedGradient {
				t.Errorf("info: gradient %v, %v; want estimated", info.Gradient, err)
			}
		})
	}
}

// TestNES holds the cosine of NES against √(n/(n+D)), and that a row's gradient
// depends on nothing but the row.
func TestNES(t *testing.T) {
	const d = 96
	fake := &sdktest.Fake{Shape: tensor.Shape{d}, Classes: 4, Seed: 2, Scale: 1}
	x := uniform(200, d)
	for _, pairs := range []int{16, 96} {
		s := prepared(t, attacktest.PredictionsOnly{C: fake}, gradient.Options{Section: gradient.Section{Differences: &gradient.Differences{Pairs: pairs}, Kind: gradient.NES}, Train: dataset.InMemory(x)})
		y, err := fake.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		dy := cotangents(y, sdk.Logits)
		got, want := gradientAt(t, s, x, dy), gradientAt(t, fake, x, dy)
		mean := 0.0
		for i := range x.N() {
			mean += cosine(got.Row(i), want.Row(i)) / float64(x.N())
		}
		if expected := gradient.Cosine(pairs, d); math.Abs(mean-expected) > .05*expected {
			t.Errorf("%d pairs: mean cosine %.3f, want %.3f ± 5 %%", pairs, mean, expected)
		}
		alone := gradientAt(t, s, x.Rows(7, 9), dy.Rows(7, 9))
		if !slices.Equal(alone.Data, got.Rows(7, 9).Data) {
			t.Errorf("%d pairs: two rows alone have another gradient than among all", pairs)
		}
	}
}

func TestStepOfForest(t *testing.T) {
	x := uniform(50, 12)
	smooth := &sdktest.Fake{Shape: tensor.Shape{12}, Classes: 3, Seed: 2, Output: sdk.Probabilities}
	s := prepared(t, attacktest.PredictionsOnly{C: smooth}, gradient.Options{Section: gradient.Section{Kind: gradient.Difference}, Train: dataset.InMemory(x)})
	if got := s.Report().Step; got != 1e-3 {
		t.Errorf("a smooth model has step %g, want the least, 1e-3", got)
	}
	s = prepared(t, steps{attacktest.PredictionsOnly{C: smooth}}, gradient.Options{Section: gradient.Section{Kind: gradient.Difference}, Train: dataset.InMemory(x)})
	if got := s.Report().Step; got < .016 {
		t.Errorf("a model constant in boxes of 1/8 has step %g, want at least 0.016", got)
	}
	y, err := steps{smooth}.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	dx := gradientAt(t, s, x, cotangents(y, sdk.Probabilities))
	for i, v := range dx.Data {
		if math.Abs(float64(v)) > 1e3 || v != v {
			t.Fatalf("gradient %d is %g: zeros among the probabilities blow it up", i, v)
		}
	}
}

// TestDigits distils the shipped network on digits: agreement above 0.9, and
// gradients that point where the exact ones do.
func TestDigits(t *testing.T) {
	open := func(split string) *dataset.Data {
		d, err := dataset.Open(dataset.Source{Dataset: "digits", Split: split}, ".", datasets.Table(), formats.Table())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	rows, held := open("train"), open("validation")
	c := mlp.New()
	err := c.Configure(t.Context(), sdk.Config{JSON: []byte(`{"hidden": [32], "range": [0, 1]}`), InputShape: tensor.Shape{64}, Classes: 10})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Fit(t.Context(), sdk.TrainingData{X: rows.X, Labels: rows.Labels}, sdk.FitOptions{
		JSON: []byte(`{"epochs": 10, "batch_size": 32}`), Seed: 1, OutputDir: t.TempDir(), Progress: func(sdk.FitProgress) {}})
	if err != nil {
		t.Fatal(err)
	}
	s := prepared(t, attacktest.PredictionsOnly{C: c}, gradient.Options{Section: gradient.Section{Surrogate: &gradient.SurrogateSection{Layers: []nn.Maker{dense(128), dense(64)}, Noise: .1, MinAgreement: .9, Epochs: 6}, Kind: gradient.Auto}, Train: dataset.InMemory(rows.X), Validation: held.X})
	r := s.Report()
	if r.Kind != gradient.Surrogate || r.HeldOut.Agreement < .9 || r.HeldOut.N != held.X.N() {
		t.Fatalf("report %+v, held out %+v", r, r.HeldOut)
	}
	x := held.X.Rows(0, 60)
	y, err := c.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	dy := cotangents(y, sdk.Logits)
	got, want := gradientAt(t, s, x, dy), gradientAt(t, c, x, dy)
	mean := 0.0
	for i := range x.N() {
		mean += cosine(got.Row(i), want.Row(i)) / float64(x.N())
	}
	if mean < .7 {
		t.Errorf("the surrogate's gradients have mean cosine %.2f with the exact ones, want at least 0.7", mean)
	}
	t.Logf("agreement %.3f, KL %.3f, with noise %.3f; cosine %.3f; queries %+v", r.HeldOut.Agreement, r.HeldOut.KL, r.Noisy.Agreement, mean, r.Queries)

	fd := prepared(t, attacktest.PredictionsOnly{C: c}, gradient.Options{Section: gradient.Section{Kind: gradient.Difference}, Train: dataset.InMemory(rows.X)})
	got = gradientAt(t, fd, x.Rows(0, 8), dy.Rows(0, 8))
	if e := relative(got.Data, want.Rows(0, 8).Data); e > 2e-2 { // relu has kinks
		t.Errorf("central differences of the network are off by %.2g", e)
	}
}

// TestAuto walks the order of auto for inputs of several sizes.
func TestAuto(t *testing.T) {
	for _, c := range []struct {
		features  int
		agreement float64
		want      gradient.Kind
		passed    []string
	}{
		{12, .3, gradient.Surrogate, []string{"exact: classifier fake gives no gradient"}},
		{12, 1, gradient.Difference, []string{"exact", "below classifier.surrogate.min_agreement 1"}},
		{200, 1, gradient.NES, []string{"exact", "surrogate: it agrees", "200 features, more than 128"}},
		{900, 1, "", []string{"exact", "surrogate", "64 pairs would have a cosine of 0.26"}},
	} {
		fake := &sdktest.Fake{Shape: tensor.Shape{c.features}, Classes: 5, Seed: 2, Scale: 20}
		s := source(t, attacktest.PredictionsOnly{C: fake}, gradient.Options{Section: gradient.Section{Surrogate: &gradient.SurrogateSection{Noise: .1, MinAgreement: c.agreement, Epochs: 1}}, Train: dataset.InMemory(uniform(60, c.features))})
		err := s.Prepare(t.Context())
		r := s.Report()
		if c.want == "" {
			var refused *gradient.Refused
			if !errors.As(err, &refused) {
				t.Fatalf("%d features: %v, want a refusal", c.features, err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if r.Kind != c.want || len(r.PassedOver) != len(c.passed) {
			t.Fatalf("%d features, agreement %g: %s, passed over %q; want %s", c.features, c.agreement, r.Kind, r.PassedOver, c.want)
		}
		for i, text := range c.passed {
			if !strings.Contains(r.PassedOver[i], text) {
				t.Errorf("%d features: reason %q, want %q in it", c.features, r.PassedOver[i], text)
			}
		}
	}
}

// TestGate: the surrogate asked for by name is refused below its floor, with
// the figures.
func TestGate(t *testing.T) {
	fake := &sdktest.Fake{Shape: tensor.Shape{12}, Classes: 5, Seed: 2, Scale: 20}
	s := source(t, attacktest.PredictionsOnly{C: fake}, gradient.Options{Section: gradient.Section{Surrogate: &gradient.SurrogateSection{MinAgreement: 1, Epochs: 1}, Kind: gradient.Surrogate}, Train: dataset.InMemory(uniform(60, 12))})
	var refused *gradient.Refused
	if err := s.Prepare(t.Context()); !errors.As(err, &refused) || !strings.Contains(err.Error(), "min_agreement 1") || !strings.Contains(err.Error(), "of 12 held-out rows") {
		t.Errorf("error %v", err)
	}
	if _, pull, err := s.Forward(t.Context(), uniform(2, 12)); err != nil || pull != nil {
		t.Errorf("after a refusal: pullback %t, %v", pull != nil, err)
	}
	s = source(t, attacktest.PredictionsOnly{C: fake}, gradient.Options{Section: gradient.Section{Kind: gradient.Exact}, Train: dataset.InMemory(uniform(60, 12))})
	if err := s.Prepare(t.Context()); !errors.As(err, &refused) {
		t.Errorf("exact: %v, want a refusal", err)
	}
}

// TestBudget: what the budget does not allow is not sent.
func TestBudget(t *testing.T) {
	fake := &sdktest.Fake{Shape: tensor.Shape{12}, Classes: 5, Seed: 2}
	count := &counting{Classifier: attacktest.PredictionsOnly{C: fake}}
	x := uniform(60, 12)
	s := source(t, count, gradient.Options{Section: gradient.Section{Surrogate: &gradient.SurrogateSection{Noise: .1, MaxQueries: 100}, Kind: gradient.Surrogate}, Train: dataset.InMemory(x)})
	if err := s.Prepare(t.Context()); err == nil || !strings.Contains(err.Error(), "max_queries is 100: the surrogate alone asks for 792 rows (48 of data.train with 15 noisy copies each, 12 held-out ones with one each)") {
		t.Errorf("error %v", err)
	}
	if count.rows != 0 {
		t.Errorf("%d rows were sent", count.rows)
	}
	s = prepared(t, count, gradient.Options{Section: gradient.Section{Surrogate: &gradient.SurrogateSection{Noise: .1, MaxQueries: 800}, Kind: gradient.Surrogate}, Train: dataset.InMemory(x)})
	if _, err := s.Predict(t.Context(), x); err != nil { // known
		t.Errorf("rows that the surrogate asked about: %v", err)
	}
	if _, _, err := s.Forward(t.Context(), x.Rows(0, 8)); err != nil {
		t.Error(err)
	}
	var budget *gradient.BudgetError
	if _, _, err := s.Forward(t.Context(), x.Rows(0, 8)); !errors.As(err, &budget) || budget.Spent != 800 || budget.Wanted != 8 {
		t.Errorf("error %v, want one that names 800 and 8", err)
	}
	if q := s.Report().Queries; q.Total() != 800 || count.rows != 800 || q.Gradients != 792 {
		t.Errorf("queries %+v, sent %d; want 800, 792 of them for gradients", q, count.rows)
	}
	s.Freeze()
	if _, _, err := s.Forward(t.Context(), x.Rows(0, 8)); err != nil {
		t.Errorf("after training: %v", err)
	}
}
