package train

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestAttack: the inner attack stays in ball and box, does more than its
// random start, and leaves clean rows alone.
func TestAttack(t *testing.T) {
	for _, norm := range []string{"linf", "l2"} {
		for _, through := range []string{"guard", "classifier"} {
			const eps = .3
			g := testGuard(t, func(o *Options) {
				o.Harden = &Harden{Norm: norm, Eps: eps, Steps: 4, Through: through, Weight: .5}
			})
			b := testBatch(g)
			b.step = b.total // the whole radius
			both, _, err := g.attack.extend(t.Context(), b, nil)
			if err != nil {
				t.Fatal(err)
			}
			attacked := both.Rows(4, 8).Clone()
			for i := range 4 {
				worst, sum := 0.0, 0.0
				for j, v := range attacked.Row(i) {
					if v < 0 || v > 1 {
						t.Errorf("%s %s: row %d has %v, outside the box", norm, through, i, v)
					}
					if both.Row(i)[j] != b.x.Row(i)[j] {
						t.Errorf("%s %s: the clean row %d was changed", norm, through, i)
					}
					d := float64(v) - float64(b.x.Row(i)[j])
					worst, sum = max(worst, math.Abs(d)), sum+d*d
				}
				if norm == "linf" && worst > eps+1e-6 || norm == "l2" && math.Sqrt(sum) > eps+1e-6 {
					t.Errorf("%s %s: row %d is %v (linf) and %v (l2) away, want %v", norm, through, i, worst, math.Sqrt(sum), eps)
				}
			}
			loss := func(x *tensor.Tensor) float64 {
				seen := x
				if through == "guard" {
					noise := tensor.New(4, 3)
					normal(g.k, noise, g.o.Seed, streamAttack, b.epoch, b.examples)
					seen, _, _ = g.pass.Forward(x, noise)
				}
				out, err := g.o.Classifier.Predict(t.Context(), seen)
				if err != nil {
					t.Fatal(err)
				}
				sum, l := 0.0, make([]float64, 3)
				for i := range 4 {
					oracle.LogProbabilities(l, out.Row(i), sdk.Logits, 1)
					sum -= l[oracle.Argmax(g.p.Row(b.rows[i]))]
				}
				return sum
			}
			start := tensor.New(4, 5)
			g.attack.randomStart(start, b, 1)
			g.attack.place(start.Data, b.x.Data, start.Data)
			if from, to := loss(start), loss(attacked); !(to > from+.01) {
				t.Errorf("%s %s: the attack took the loss from %v to %v", norm, through, from, to)
			}
		}
	}
}

// TestAttackBalls: rows take the balls in turn, each staying in its own.
func TestAttackBalls(t *testing.T) {
	g := testGuard(t, func(o *Options) {
		o.Harden = &Harden{Norm: "linf", Eps: .01, Steps: 3, Through: "guard", Weight: .5, Also: []Ball{{Norm: "l2", Eps: .2}}}
	})
	b := testBatch(g)
	b.step = b.total
	both, _, err := g.attack.extend(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		worst, sum := 0.0, 0.0
		for j, v := range both.Row(4 + i) {
			d := float64(v) - float64(b.x.Row(i)[j])
			worst, sum = max(worst, math.Abs(d)), sum+d*d
		}
		if odd := i%2 == 1; odd != (worst > .01+1e-6) || odd && math.Sqrt(sum) > .2+1e-6 {
			t.Errorf("row %d is %v (linf) and %v (l2) away", i, worst, math.Sqrt(sum))
		}
	}
	o := Options{Section: Section{Epochs: 1, BatchSize: 1, Optimizer: g.o.Optimizer, Harden: &Harden{Norm: "linf", Eps: .1, Steps: 1, Through: "guard", Also: []Ball{{Norm: "l1", Eps: 1}}}}, Train: g.o.Train}
	if err := o.Validate(); err == nil || !strings.Contains(err.Error(), `"l1"`) {
		t.Errorf("a ball in l1 gives %v", err)
	}
}

// TestAttackUnits: with eps_unit: std a feature moves by so many of its deviations, a
// constant one by its own unit, and deviations of 1 change no bit.
func TestAttackUnits(t *testing.T) {
	attacked := func(unit string, deviations []float64) (*tensor.Tensor, *batch) {
		g := testGuard(t, func(o *Options) {
			o.Harden = &Harden{Norm: "linf", Eps: .2, EpsUnit: unit, Unit: deviations, Steps: 3, Through: "guard", Weight: .5, Also: []Ball{{Norm: "l2", Eps: .3}}}
		})
		b := testBatch(g)
		b.step = b.total
		both, _, err := g.attack.extend(t.Context(), b, nil)
		if err != nil {
			t.Fatal(err)
		}
		return both, b
	}
	plain, _ := attacked("", nil)
	if same, _ := attacked("std", []float64{1, 1, 1, 0, 1}); !slices.Equal(plain.Data, same.Data) {
		t.Error("deviations of 1 change the attack")
	}
	unit := []float64{.1, 1, .5, 0, .01}
	both, b := attacked("std", unit)
	for i := range 4 {
		worst, sum := 0.0, 0.0
		for j, v := range both.Row(4 + i) {
			d := float64(v) - float64(b.x.Row(i)[j])
			if unit[j] > 0 {
				d /= unit[j]
			}
			worst, sum = max(worst, math.Abs(d)), sum+d*d
		}
		if linf := i%2 == 0; linf && (worst > .2+1e-4 || worst < .1) || !linf && (math.Sqrt(sum) > .3+1e-4 || sum == 0) {
			t.Errorf("row %d is %v (linf) and %v (l2) deviations away", i, worst, math.Sqrt(sum))
		}
	}
	own, _ := attacked("std", nil) // those of the training rows
	if slices.Equal(own.Data, plain.Data) {
		t.Error("the deviations of the training rows were not taken")
	}
	g := testGuard(t, func(*Options) {})
	g.o.Harden = &Harden{Norm: "linf", Eps: .2, EpsUnit: "std", Unit: []float64{1}, Steps: 1, Through: "guard"}
	if _, err := newAttacker(g, 4); err == nil || !strings.Contains(err.Error(), "1 deviations for 5 features") {
		t.Errorf("one deviation for five features gives %v", err)
	}
}

// TestRamps: the radius grows over the first third, the rate falls over the
// last two fifths.
func TestRamps(t *testing.T) {
	h := &Harden{Eps: 1}
	for step, want := range map[int]float64{0: .2, 15: .7, 30: 1, 100: 1} {
		if got := ramp(step, 100); math.Abs(got-want) > 1e-6 {
			t.Errorf("radius at step %d is %v, want %v", step, got, want)
		}
	}
	for step, want := range map[int]float64{0: 1, 60: 1, 80: .5, 99: .05} {
		if got := h.decay(step, 100); math.Abs(got-want) > 1e-9 {
			t.Errorf("factor of the rate at step %d is %v, want %v", step, got, want)
		}
	}
	if got := (*Harden)(nil).decay(99, 100); got != 1 {
		t.Errorf("factor without hardening is %v, want 1", got)
	}
}

// TestAttackThroughNoise: with Smooth the inner attack sees the rows with the noise
// that the step then trains on, raises the loss there, and validation has noise too.
func TestAttackThroughNoise(t *testing.T) {
	const eps, sigma = .3, .2
	begin := func(smooth bool) (*guard, *batch) {
		g := testGuard(t, func(o *Options) {
			o.Harden, o.InputNoise, o.Smooth = &Harden{Norm: "l2", Eps: eps, Steps: 4, Through: "guard", Weight: .5}, sigma, smooth
		})
		b := testBatch(g)
		b.step = b.total
		return g, b
	}
	g, b := begin(true)
	both, _, err := g.attack.extend(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	attacked := both.Rows(4, 8).Clone()
	keys := []uint64{7 + 12, 2 + 12, 9 + 12, 4 + 12} // twelve training rows
	noise := g.noisy(tensor.New(4, 5), tensor.New(4, 5), streamInput, b.epoch, keys)
	if !slices.Equal(noise.Data, g.attack.shake.of(4).Data) {
		t.Error("the attack goes through other noise than the step adds to its rows")
	}
	loss := func(x *tensor.Tensor) float64 {
		code := tensor.New(4, 3)
		normal(g.k, code, g.o.Seed, streamAttack, b.epoch, b.examples)
		shaken := x.Clone()
		g.k.Add(shaken.Data, noise.Data)
		seen, _, _ := g.pass.Forward(shaken, code)
		out, err := g.o.Classifier.Predict(t.Context(), seen)
		if err != nil {
			t.Fatal(err)
		}
		sum, l := 0.0, make([]float64, 3)
		for i := range 4 {
			oracle.LogProbabilities(l, out.Row(i), sdk.Logits, 1)
			sum -= l[oracle.Argmax(g.p.Row(b.rows[i]))]
		}
		return sum
	}
	start := tensor.New(4, 5)
	g.attack.randomStart(start, b, 1)
	g.attack.place(start.Data, b.x.Data, start.Data)
	if from, to := loss(start), loss(attacked); !(to > from+.01) {
		t.Errorf("through noise the attack took the loss from %v to %v", from, to)
	}
	quiet, qb := begin(false)
	other, _, err := quiet.attack.extend(t.Context(), qb, nil)
	if err != nil {
		t.Fatal(err)
	}
	if slices.Equal(other.Rows(4, 8).Data, attacked.Data) {
		t.Error("noise changes nothing")
	}
	var values [2][]float64
	for i, one := range []*guard{g, quiet} {
		values[i] = slices.Repeat([]float64{0}, 1+len(one.reports()))
		if err := one.validate(t.Context(), values[i]); err != nil {
			t.Fatal(err)
		}
	}
	if values[0][0] == values[1][0] {
		t.Error("validation has no noise")
	}
}

// A row outside the box, as one of data.validation may lie, stays in its ball.
func TestPlace(t *testing.T) {
	a := &attacker{lo: []float32{0}, hi: []float32{1}}
	got, x := make([]float32, 6), []float32{.5, .95, .05, 1.5, 1.5, -2}
	a.place(got, x, []float32{.25, .25, -.25, .25, -.25, -.25})
	if want := []float32{.75, 1, 0, 1.5, 1.25, -2}; !slices.Equal(got, want) {
		t.Errorf("%v moved to %v, want %v", x, got, want)
	}
}
