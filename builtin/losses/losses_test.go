package losses

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func random(r *rand.Rand, lo, hi float64, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(lo + (hi-lo)*r.Float64())
	}
	return x
}

// softmax turns logits into probabilities, row by row.
func softmax(x *tensor.Tensor) *tensor.Tensor {
	l := make([]float64, x.Stride())
	for i := range x.N() {
		row := x.Row(i)
		oracle.LogProbabilities(l, row, sdk.Logits, 1)
		for j := range row {
			row[j] = float32(math.Exp(l[j]))
		}
	}
	return x
}

const rows, features, classes, units = 6, 5, 4, 3

// step is evidence in (0, 1) with random outputs.
func step(kind sdk.OutputKind, hidden bool) (*train.Step, train.Setup) {
	r := rand.New(rand.NewPCG(1, 2))
	s := &train.Step{UnitX: random(r, .1, .9, rows, features), UnitRebuilt: random(r, .1, .9, rows, features),
		P: random(r, -3, 3, rows, classes), Q: random(r, -3, 3, rows, classes)}
	s.X, s.Rebuilt = s.UnitX, s.UnitRebuilt
	if kind == sdk.Probabilities {
		softmax(s.P)
		softmax(s.Q)
	}
	setup := train.Setup{X: dataset.InMemory(random(r, 0, 1, 40, features)), Output: kind}
	if hidden {
		setup.HiddenWeights = []float64{.7, 1.3}
		for range setup.HiddenWeights {
			s.HiddenP = append(s.HiddenP, random(r, -2, 2, rows, units))
			s.HiddenQ = append(s.HiddenQ, random(r, -2, 2, rows, units))
		}
	}
	return s, setup
}

// TestGradients compares every loss's cotangents with central differences.
func TestGradients(t *testing.T) {
	adversarial := func(c Covariance) train.Loss { return &Adversarial{WModel: .8, WRecon: .3, CovELBO: c} }
	for name, c := range map[string]struct {
		loss   train.Loss
		kind   sdk.OutputKind
		change func(*train.Setup, *train.Step)
	}{
		"logits":        {loss: adversarial(DefaultCovariance())},
		"model alone":   {loss: &Adversarial{WModel: 1}},
		"probabilities": {loss: adversarial(DefaultCovariance()), kind: sdk.Probabilities},
		"temperature":   {loss: &Adversarial{WModel: 1}, change: func(s *train.Setup, _ *train.Step) { s.Temperature = .5 }},
		"temperature of probabilities": {loss: &Adversarial{WModel: 1}, kind: sdk.Probabilities,
			change: func(s *train.Setup, _ *train.Step) { s.Temperature = .5 }},
		"clip":                  {loss: &Adversarial{WModel: 1}, change: func(s *train.Setup, _ *train.Step) { s.Clip = .05 }},
		"clip of probabilities": {loss: &Adversarial{WModel: 1}, kind: sdk.Probabilities, change: func(s *train.Setup, _ *train.Step) { s.Clip = .05 }},
		"cov_diag":              {loss: adversarial(Covariance{covDiag, 1e-3})},
		"cov_full":              {loss: adversarial(Covariance{covFull, .1})},
		"sum":                   {loss: adversarial(DefaultCovariance()), change: func(s *train.Setup, _ *train.Step) { s.SumELBO = true }},
		"scale": {loss: adversarial(Covariance{covFull, 0}),
			change: func(s *train.Setup, _ *train.Step) { s.Scale = []float32{1, 2, .5, .3, 3} }},
		"weights": {loss: adversarial(DefaultCovariance()),
			change: func(_ *train.Setup, s *train.Step) { s.Weights = []float64{.1, .2, .3, .15, .05, .2} }},
		"elbo": {loss: &ELBO{CovELBO: Covariance{covDiag, 0}}},
		"mse":  {loss: &MSE{}},
		"bce":  {loss: &BCE{}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.kind == 0 {
				c.kind = sdk.Logits
			}
			s, setup := step(c.kind, name == "logits")
			if c.change != nil {
				c.change(&setup, s)
			}
			o, err := c.loss.Make(setup)
			if err != nil {
				t.Fatal(err)
			}
			s.DUnitRebuilt, s.DQ = tensor.New(rows, features), tensor.New(rows, classes)
			for range s.HiddenQ {
				s.DHiddenQ = append(s.DHiddenQ, tensor.New(rows, units))
			}
			o.Loss(s)
			value := *s
			value.DUnitRebuilt, value.DQ, value.DHiddenQ = nil, nil, nil
			compare(t, "DUnitRebuilt", func() float64 { return o.Loss(&value) }, s.UnitRebuilt, s.DUnitRebuilt)
			compare(t, "DQ", func() float64 { return o.Loss(&value) }, s.Q, s.DQ)
			for h := range s.HiddenQ {
				compare(t, "DHiddenQ", func() float64 { return o.Loss(&value) }, s.HiddenQ[h], s.DHiddenQ[h])
			}
		})
	}
}

func compare(t *testing.T, name string, f func() float64, x, dx *tensor.Tensor) {
	t.Helper()
	const h, tolerance = 1e-4, 2e-3
	for i, old := range x.Data {
		x.Data[i] = old + h
		up, hi := f(), x.Data[i]
		x.Data[i] = old - h
		down, lo := f(), x.Data[i]
		x.Data[i] = old
		want := (up - down) / (float64(hi) - float64(lo))
		if math.Abs(float64(dx.Data[i])-want) > tolerance*(1+math.Abs(want)) {
			t.Errorf("%s[%d] = %v, want %v", name, i, dx.Data[i], want)
		}
	}
}

// TestBalancedMSE holds the ratio of deviations still, as the gradient does.
func TestBalancedMSE(t *testing.T) {
	s, setup := step(sdk.Logits, false)
	setup.Recon = "mse"
	o, err := (&Adversarial{WModel: 1, WRecon: .5}).Make(setup)
	if err != nil {
		t.Fatal(err)
	}
	total := o.Loss(s)
	kls := o.(*adversarial).rows
	kl := 0.0
	for _, v := range kls {
		kl += v / rows
	}
	mse, deviation := squaredError(s)
	factor := .5 * deviationOf(kls) / deviation
	if want := kl + factor*mse; math.Abs(total-want) > 1e-6 {
		t.Errorf("loss is %v, want %v", total, want)
	}
	s.DUnitRebuilt = tensor.New(rows, features)
	o.Loss(s)
	d := s.DUnitRebuilt
	s.DUnitRebuilt = nil
	compare(t, "DUnitRebuilt", func() float64 { m, _ := squaredError(s); return factor * m }, s.UnitRebuilt, d)
}

// TestForms compares the three covariances with densities written out.
func TestForms(t *testing.T) {
	x := tensor.From([]float32{1, 0, 0, 1, -1, 0, 0, -1}, 4, 2) // variances ½, no correlation
	s := &train.Step{UnitX: tensor.From([]float32{0, 0}, 1, 2), UnitRebuilt: tensor.From([]float32{.3, .4}, 1, 2)}
	s.X, s.Rebuilt = s.UnitX, s.UnitRebuilt
	density := func(variance float64) float64 {
		return math.Log(2*math.Pi) + math.Log(variance) + .25/variance/2
	}
	for _, c := range []struct {
		cov      Covariance
		variance float64
	}{
		{Covariance{sim, .05}, .0025},
		{Covariance{covDiag, 0}, .5},
		{Covariance{covDiag, 2}, 4},
		{Covariance{covFull, 0}, .5},
		{Covariance{covFull, .1}, .5},
	} {
		g, err := c.cov.fit(train.Setup{X: dataset.InMemory(x)})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := g.loss(s, 1), density(c.variance); math.Abs(got-want) > 1e-5 {
			t.Errorf("%v: −log density is %v, want %v", c.cov, got, want)
		}
	}
	c := Covariance{covFull, 0}
	g, err := c.fit(train.Setup{X: dataset.InMemory(tensor.From([]float32{1, 1, -1, -1, 1, -1, -1, 1, 1, 1, -1, -1}, 6, 2))})
	if err != nil {
		t.Fatal(err)
	}
	// Σ = [[1, ⅓], [⅓, 1]]: det 8/9, Σ⁻¹ = ⅛·[[9, −3], [−3, 9]].
	want := math.Log(2*math.Pi) + math.Log(8.0/9)/2 + (9*(.09+.16)-6*.12)/16
	if got := g.loss(s, 1); math.Abs(got-want) > 1e-6 {
		t.Errorf("correlated: −log density is %v, want %v", got, want)
	}
}

func TestFitErrors(t *testing.T) {
	constant := tensor.From([]float32{1, 2, 0, 0, 3, 2, 0, 0}, 2, 4)
	dependent := tensor.From([]float32{1, 1, 2, 2, 3, 3}, 3, 2)
	for _, c := range []struct {
		cov  Covariance
		x    *tensor.Tensor
		want string
	}{
		{Covariance{covDiag, 0}, constant, "cov_elbo.cov_diag: 3 of 4 features are constant in the training rows (1, 2, 3) and have no density; use {cov_diag: {floor: 0.001}}"},
		{Covariance{covFull, 0}, constant, "3 of 4 features are constant"},
		{Covariance{covFull, 0}, dependent, "singular"},
		{Covariance{covFull, .1}, tensor.New(1, maxFull+1), "at most 4096 features, the data has 4097"},
	} {
		if _, err := c.cov.fit(train.Setup{X: dataset.InMemory(c.x)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: error is %v, want %q in it", c.cov, err, c.want)
		}
	}
	if _, err := (Covariance{covFull, .1}).fit(train.Setup{X: dataset.InMemory(constant)}); err != nil {
		t.Errorf("shrunk: %v, want none", err)
	}
	if _, err := (&BCE{}).Make(train.Setup{X: dataset.InMemory(constant)}); err == nil || !strings.Contains(err.Error(), "row 0 has 2 at feature 1") {
		t.Errorf("bce of 2: error is %v", err)
	}
	unit := train.Setup{X: dataset.InMemory(constant), Scale: []float32{2, 1, 1, 1}, Offset: []float32{1, 2, 0, 0}}
	if _, err := (&BCE{}).Make(unit); err != nil {
		t.Errorf("bce in [0, 1] of the model's units: %v, want none", err)
	}
}

func TestDecodeCovariance(t *testing.T) {
	for _, c := range []struct {
		in   any
		want Covariance
		err  string
	}{
		{in: map[string]any{"sim": .1}, want: Covariance{sim, .1}},
		{in: map[string]any{"sim": 2}, want: Covariance{sim, 2}},
		{in: map[string]any{"sim": nil}, want: Covariance{sim, .05}},
		{in: "cov_diag", want: Covariance{covDiag, 1e-3}},
		{in: map[string]any{"cov_diag": nil}, want: Covariance{covDiag, 0}},
		{in: map[string]any{"cov_diag": map[string]any{}}, want: Covariance{covDiag, 1e-3}},
		{in: map[string]any{"cov_diag": map[string]any{"floor": .5}}, want: Covariance{covDiag, .5}},
		{in: map[string]any{"cov_full": map[string]any{"shrinkage": nil}}, want: Covariance{covFull, 0}},
		{in: map[string]any{"cov_full": map[string]any{"floor": .5}}, err: `unknown key "floor"; known: shrinkage`},
		{in: map[string]any{"cov_full": map[string]any{"shrinkage": 2}}, err: "out of range"},
		{in: map[string]any{"sim": 0}, err: "out of range"},
		{in: map[string]any{"sim": "x"}, err: "want {sim"},
		{in: map[string]any{"full": nil}, err: `unknown form "full"`},
		{in: map[string]any{}, err: "want {sim"},
		{in: nil, err: "want {sim"},
	} {
		var got Covariance
		err := got.DecodeValue(c.in)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%v: error is %v, want %q in it", c.in, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("%v gives %v, %v, want %v", c.in, got, err, c.want)
		}
		var again Covariance
		if err := again.DecodeValue(got.EncodeValue()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%v written and read is %v, %v", got, again, err)
		}
	}
}

// TestUnderflow: a probability of 0 keeps a finite loss and cotangent, and is
// counted.
func TestUnderflow(t *testing.T) {
	s := &train.Step{X: tensor.New(1, 1), P: tensor.From([]float32{.5, .5}, 1, 2), Q: tensor.From([]float32{1, 0}, 1, 2), DQ: tensor.New(1, 2)}
	o, err := (&Adversarial{WModel: 1}).Make(train.Setup{Output: sdk.Probabilities})
	if err != nil {
		t.Fatal(err)
	}
	// ½·ln ½ − ½·ln 1e-30 + ½·ln ½
	if got, want := o.Loss(s), math.Log(.5)+15*math.Ln10; math.Abs(got-want) > 1e-9 {
		t.Errorf("loss is %v, want %v", got, want)
	}
	if s.Underflows != 1 || s.DQ.Data[1] != -5e29 {
		t.Errorf("%d underflows and cotangent %v, want 1 and -5e29", s.Underflows, s.DQ.Data[1])
	}
	logits := &train.Step{X: s.X, P: tensor.From([]float32{0, 0}, 1, 2), Q: tensor.From([]float32{200, 0}, 1, 2), DQ: tensor.New(1, 2)}
	if o, err = (&Adversarial{WModel: 1}).Make(train.Setup{Output: sdk.Logits}); err != nil {
		t.Fatal(err)
	}
	if got := o.Loss(logits); math.Abs(got-(100-math.Ln2)) > 1e-9 || logits.DQ.Data[1] != -.5 || logits.Underflows != 0 {
		t.Errorf("logits: loss %v, cotangent %v, want %v and -0.5", got, logits.DQ.Data[1], 100-math.Ln2)
	}
}

// TestCompatibility: the clip caps the loss at ln 1e7, as the references do.
func TestCompatibility(t *testing.T) {
	s := &train.Step{X: tensor.New(1, 1), P: tensor.From([]float32{100, 0}, 1, 2), Q: tensor.From([]float32{0, 100}, 1, 2)}
	o, err := (&Adversarial{WModel: 1}).Make(train.Setup{Output: sdk.Logits, Clip: 1e-7})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Loss(s); math.Abs(got-16.118) > 1e-3 {
		t.Errorf("clipped loss is %v, want 16.118", got)
	}
}

// Row by row, and some rows alone, the gradient at the classifier's outputs has the bits
// that Loss gives it for the batch, whatever the reconstruction's term.
func TestOutputGradient(t *testing.T) {
	for _, recon := range []string{"", "mse"} {
		for _, kind := range []sdk.OutputKind{sdk.Logits, sdk.Probabilities} {
			for _, clip := range []float64{0, .05} {
				s, setup := step(kind, false)
				setup.Recon, setup.Clip, setup.Temperature = recon, clip, .7
				o, err := (&Adversarial{WModel: .8, WRecon: .3, CovELBO: DefaultCovariance()}).Make(setup)
				if err != nil {
					t.Fatal(err)
				}
				s.DQ, s.DUnitRebuilt = tensor.New(rows, classes), tensor.New(rows, features)
				o.Loss(s)
				got, weights := tensor.New(rows, classes), make([]float64, rows)
				for i := range weights {
					weights[i] = s.Weight(i)
				}
				for _, r := range [][2]int{{4, rows}, {0, 4}} {
					cut := func(t *tensor.Tensor) *tensor.Tensor { return t.Rows(r[0], r[1]) }
					o.(train.Rowwise).OutputGradient(&train.Step{X: cut(s.X), P: cut(s.P), Q: cut(s.Q), DQ: cut(got), Weights: weights[r[0]:r[1]]})
				}
				if !reflect.DeepEqual(got.Data, s.DQ.Data) {
					t.Errorf("recon %q, %v, clip %v: %v, Loss gives %v", recon, kind, clip, got.Data, s.DQ.Data)
				}
			}
		}
	}
}
