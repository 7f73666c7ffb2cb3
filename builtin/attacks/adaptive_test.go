package attacks

import (
	"context"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const eps = .25

// outcome attacks the toy guard and says on what share of rows it succeeds and
// what share evades.
func outcome(t *testing.T, a attack.Attack, aware bool, batch int) (fooled, evaded float64, adv *attack.Adversarial) {
	t.Helper()
	g, x, y := attacktest.NewGuard(20, 8, 4, 60, 2)
	o := attack.Options{Norm: attack.Linf, Eps: eps, Seed: 2, Batch: batch, Threshold: math.Inf(1)}
	m := sdk.Forwarder(g.M)
	if aware {
		o.Threshold = g.Threshold
		z, err := g.Predict(context.Background(), x)
		if err != nil {
			t.Fatal(err)
		}
		o.Pool, o.PoolLabels, m = z, y, g
	}
	adv, err := attack.Run(context.Background(), m, x, y, a, o)
	if err != nil {
		t.Fatal(err)
	}
	r, err := g.Detect(context.Background(), adv.XAdv, detect.Include{})
	if err != nil {
		t.Fatal(err)
	}
	want := false
	if ad, ok := a.(attack.Adaptive); ok {
		want = ad.WantsFlag()
	}
	for i := range y {
		if r.Predicted[i] != y[i] {
			fooled += 1. / 60
		}
		if wrong := r.Predicted[i] != y[i]; (want && !wrong && r.Adversarial[i]) || (!want && wrong && !r.Adversarial[i]) {
			evaded += 1. / 60
		}
	}
	return fooled, evaded, adv
}

// An attacker who knows the detector evades it where one who does not is
// detected; ball, box and independence of the batch hold as ever.
func TestAdaptive(t *testing.T) {
	_, oblivious, _ := outcome(t, &PGD{RandomStart: true, Restarts: 1}, false, 60)
	for _, e := range Table().Entries() {
		if _, ok := e.Default.(attack.Adaptive); !ok {
			continue
		}
		if norm, _ := e.Default.Ball(); norm == attack.L0 {
			continue // of another ball: TestPatchOnALinearModel
		}
		t.Run(e.Name, func(t *testing.T) {
			a := e.Default
			if b, ok := a.(*Blind); ok {
				c := *b
				c.Queries = 1500
				a = &c
			}
			fooled, evaded, adv := outcome(t, a, true, 60)
			t.Logf("succeeds on %.2f, evades on %.2f; PGD %.2f", fooled, evaded, oblivious)
			if evaded < oblivious+.05 {
				t.Errorf("%.2f evade, %.2f by PGD that knows nothing of the detector", evaded, oblivious)
			}
			for i := range adv.X.N() {
				if d := attack.Linf.Distance(adv.X.Row(i), adv.XAdv.Row(i)); d > eps+attacktest.Tolerance {
					t.Errorf("row %d: norm %g", i, d)
				}
			}
			if _, _, parts := outcome(t, a, true, 7); !slices.Equal(parts.XAdv.Data, adv.XAdv.Data) {
				t.Error("batches of 7 and of 60 differ")
			}
		})
	}
}

// On a bare classifier they say what they need.
func TestAdaptiveNeedsAGuard(t *testing.T) {
	m := attacktest.NewMLP(12, 16, 4, 7)
	_, err := attack.Run(context.Background(), m, attacktest.Uniform(3, 12, 0, 1, 1), nil, &LogitMatch{Norm: "linf", Eps: .1, Steps: 3, Step: .1}, attack.Options{Threshold: math.Inf(1)})
	if err == nil {
		t.Error("no error")
	}
}

// With the target for the top class from the first step the score is a help; where
// it follows the predicted class, as in Joint with one weight, it holds the row back.
// One target more is never worse.
func TestFixedTopClass(t *testing.T) {
	one := &MultiTargeted{Norm: "linf", Steps: 20, Step: 2, Rho: .75, Targets: 1, Starts: 1, Rebuilt: 1, Score: 1}
	all := *one
	all.Targets = 3
	_, single, _ := outcome(t, one, true, 60)
	_, multi, _ := outcome(t, &all, true, 60)
	_, follows, _ := outcome(t, &Joint{Norm: "linf", Steps: 20, Step: .1, Lambdas: []float64{10}}, true, 60)
	t.Logf("one target %.2f, three %.2f, the score followed %.2f", single, multi, follows)
	if multi < single || multi < follows+.1 {
		t.Errorf("three targets evade on %.2f of the rows, one on %.2f; with the score's own class %.2f", multi, single, follows)
	}
}

// TestMultiTargetedIsStrongest: with its defaults it evades on no fewer rows than any
// other attack by gradients, in both balls, and of the gradients it takes no more than Joint may.
func TestMultiTargetedIsStrongest(t *testing.T) {
	g, x, y := attacktest.NewGuard(20, 8, 4, 60, 2)
	z, err := g.Predict(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		norm attack.Norm
		eps  float64
	}{{attack.Linf, .1}, {attack.Linf, .15}, {attack.L2, .4}, {attack.L2, .6}} {
		rows := map[string]int{}
		for _, name := range []string{"multi_targeted", "joint", "logit_match", "orthogonal", "selective"} {
			a, err := Table().Lookup(name)
			if err != nil {
				t.Fatal(err)
			}
			adv, err := attack.Run(t.Context(), g, x, y, a, attack.Options{Norm: c.norm, Eps: c.eps, Seed: 2, Threshold: g.Threshold, Pool: z, PoolLabels: y})
			if err != nil {
				t.Fatal(err)
			}
			r, err := g.Detect(t.Context(), adv.XAdv, detect.Include{})
			if err != nil {
				t.Fatal(err)
			}
			for i := range y {
				if r.Predicted[i] != y[i] && !r.Adversarial[i] {
					rows[name]++
				}
				if name == "multi_targeted" && adv.Gradients[i] > 240 {
					t.Errorf("%s %v: row %d took %d gradients", c.norm, c.eps, i, adv.Gradients[i])
				}
			}
		}
		t.Logf("%s %v: %v", c.norm, c.eps, rows)
		for name, n := range rows {
			if n > rows["multi_targeted"] {
				t.Errorf("%s %v: multi_targeted evades on %d of 60 rows, %s on %d", c.norm, c.eps, rows["multi_targeted"], name, n)
			}
		}
	}
}

// rescaled is a guard whose score is in another unit.
type rescaled struct {
	*attacktest.Guard
	by float32
}

func (g rescaled) Forward(ctx context.Context, x *tensor.Tensor, names ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	outs, pull, err := g.Guard.Forward(ctx, x, names...)
	if err != nil {
		return nil, nil, err
	}
	scale := func(m map[string]*tensor.Tensor) map[string]*tensor.Tensor {
		m = maps.Clone(m)
		if score := m[detect.OutputScore]; score != nil {
			score = score.Clone()
			for i := range score.Data {
				score.Data[i] *= g.by
			}
			m[detect.OutputScore] = score
		}
		return m
	}
	return scale(outs), func(ctx context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		return pull(ctx, scale(cot))
	}, nil
}

// TestMultiTargetedInAnyUnit: the unit in which a detector scores changes no bit of the attack.
func TestMultiTargetedInAnyUnit(t *testing.T) {
	g, x, y := attacktest.NewGuard(20, 8, 4, 30, 2)
	a, err := Table().Lookup("multi_targeted")
	if err != nil {
		t.Fatal(err)
	}
	var want []float32
	for _, by := range []float32{1, 1024, 1. / 16} { // powers of two round nothing
		adv, err := attack.Run(t.Context(), rescaled{g, by}, x, y, a, attack.Options{Eps: .1, Seed: 2, Threshold: g.Threshold * float64(by)})
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = adv.XAdv.Data
		} else if !slices.Equal(adv.XAdv.Data, want) {
			t.Errorf("scores times %v: other rows", by)
		}
	}
}

// Cotangents of the adaptive loss agree with central differences, whichever class
// it is after.
func TestGuardLossGradient(t *testing.T) {
	t.Run("any class", func(t *testing.T) { guardLossGradient(t, false) })
	t.Run("targets", func(t *testing.T) { guardLossGradient(t, true) })
}

func guardLossGradient(t *testing.T, targets bool) {
	g, x, y := attacktest.NewGuard(10, 3, 4, 6, 2)
	z, err := g.Predict(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	o, err := newGuardLoss(attack.Goal{Labels: y, Kind: sdk.Logits, Classes: 4, Threshold: g.Threshold, Pool: z, PoolLabels: y})
	if err != nil {
		t.Fatal(err)
	}
	o.margin, o.rebuilt, o.score, o.match, o.lead = 1, .7, 3, .2, 50
	if err := o.aim(z); err != nil {
		t.Fatal(err)
	}
	if targets { // of the first three the class that they have: there the score counts
		for i, c := range y {
			if i >= 3 {
				c = (c + 1 + i%3) % 4
			}
			o.targets = append(o.targets, c)
		}
	}
	p := attack.NewProbe(g, 6, o, attack.Budget{})
	s, err := p.Gradient(context.Background(), attack.All(6), x)
	if err != nil {
		t.Fatal(err)
	}
	for j := range 10 {
		const h = 1e-3
		shift := func(d float32) []float64 {
			y := x.Clone()
			for i := range 6 {
				y.Row(i)[j] += d
			}
			s, err := p.Loss(context.Background(), attack.All(6), y)
			if err != nil {
				t.Fatal(err)
			}
			return s.Loss
		}
		up, down := shift(h), shift(-h)
		for i := range 6 {
			want := (up[i] - down[i]) / (2 * h)
			if got := float64(s.Grad.Row(i)[j]); math.Abs(got-want) > .03*(1+math.Abs(want)) {
				t.Errorf("row %d, feature %d: gradient %g, want %g", i, j, got, want)
			}
		}
	}
}

// Who leaves a row as it is has an attack: one that evades the detector already, or is a false alarm, is never lost by it.
func TestRowsMayBeLeft(t *testing.T) {
	for _, e := range Table().Entries() {
		ad, ok := e.Default.(attack.Adaptive)
		if !ok {
			continue
		}
		g, x, y := attacktest.NewGuard(20, 8, 4, 40, 2)
		if ad.WantsFlag() {
			g.Threshold /= 10 // many are flagged
		} else {
			for i := range y { // all are wrong
				y[i] = (y[i] + 1) % 4
			}
		}
		judge := g.Judge(y, ad.WantsFlag())
		before, err := judge(t.Context(), attack.All(40), x)
		if err != nil {
			t.Fatal(err)
		}
		z, err := g.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		labels := make([]int, 40)
		for i := range labels {
			labels[i] = oracle.Argmax(z.Row(i))
		}
		adv, err := attack.Run(t.Context(), g, x, y, quick(e.Default), attack.Options{Seed: 2, Eps: 4, Threshold: g.Threshold, Judge: judge, Pool: z, PoolLabels: labels})
		if err != nil {
			t.Fatal(err)
		}
		lost := 0
		for i, was := range before {
			if was && !adv.Success[i] {
				lost++
			}
		}
		if lost > 0 {
			t.Errorf("%s: %d rows that had reached its goal have not after it", e.Name, lost)
		}
	}
}
