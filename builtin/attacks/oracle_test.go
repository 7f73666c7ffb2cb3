package attacks

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
)

// plane is a linear model of two classes whose boundary is w·x + b = 0; the
// distance of a point to it is |w·x + b|/‖w‖ of the dual norm.
func plane() (attacktest.Linear, []float64, float64) {
	w, b := []float64{3, -4, 1, 2, -1, .5, -2, 1}, .5
	m := attacktest.Linear{W: [][]float32{make([]float32, len(w)), nil}, B: []float32{0, float32(b)}, Lo: []float32{-9}, Hi: []float32{9}}
	for _, v := range w {
		m.W[1] = append(m.W[1], float32(v))
	}
	return m, w, b
}

// Minimal attacks find the distance to a plane: DeepFool up to its overshoot,
// C&W within 2 %, attacks from labels within what their budget allows.
func TestDistanceToAPlane(t *testing.T) {
	m, w, b := plane()
	x := attacktest.Uniform(12, len(w), -1, 1, 2)
	for _, c := range []struct {
		name     string
		a        attack.Attack
		norm     attack.Norm
		low, tol float64
	}{
		{"deepfool l2", &DeepFool{Steps: 50, Overshoot: .02, Candidates: 10}, attack.L2, 0, .021},
		{"deepfool linf", &DeepFool{Steps: 50, Overshoot: .02, Candidates: 10}, attack.Linf, 0, .021},
		{"cw", &CW{Steps: 300, BinarySearch: 9, LearningRate: .01, InitialConst: .01, EarlyAbort: true}, attack.L2, 0, .02},
		{"hop_skip_jump l2", &HopSkipJump{Steps: 40, Evaluations: 100, Queries: 5000}, attack.L2, 0, .1},
		{"hop_skip_jump linf", &HopSkipJump{Steps: 40, Evaluations: 100, Queries: 5000}, attack.Linf, 0, .25},
		{"boundary", &Boundary{Steps: 5000, SphericalStep: .01, SourceStep: .01}, attack.L2, 0, .1},
	} {
		adv, err := attack.Run(context.Background(), m, x, nil, c.a, attack.Options{Norm: c.norm, Eps: math.Inf(1), Seed: 1})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		var worst []float64
		for i := range x.N() {
			gap, dual := b, 0.0
			for j, v := range w {
				gap += v * float64(x.Row(i)[j])
				if c.norm == attack.L2 {
					dual += v * v
				} else {
					dual += math.Abs(v)
				}
			}
			if c.norm == attack.L2 {
				dual = math.Sqrt(dual)
			}
			want := math.Abs(gap) / dual
			if !adv.Success[i] {
				t.Errorf("%s row %d: no success", c.name, i)
				continue
			}
			if adv.Norm[i] < want*(1-1e-5)-1e-5 {
				t.Errorf("%s row %d: norm %g is less than the distance %g", c.name, i, adv.Norm[i], want)
			}
			worst = append(worst, adv.Norm[i]/want-1)
		}
		slices.Sort(worst)
		if m := worst[len(worst)/2]; m > c.tol+1e-4 {
			t.Errorf("%s: median norm %.2f %% above the distance, want at most %.1f %%", c.name, 100*m, 100*c.tol)
		}
	}
}

// C&W with confidence leaves the wrong class ahead by it.
func TestConfidence(t *testing.T) {
	m, _, _ := plane()
	x := attacktest.Uniform(6, 8, -1, 1, 2)
	adv, err := attack.Run(context.Background(), m, x, nil, &CW{Norm: "l2", Steps: 300, BinarySearch: 9, LearningRate: .02, InitialConst: .01, Confidence: 3}, attack.Options{})
	if err != nil {
		t.Fatal(err)
	}
	z, err := m.Predict(context.Background(), adv.XAdv)
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.N() {
		y := adv.Y[i]
		if lead := float64(z.Row(i)[1-y] - z.Row(i)[y]); lead < 3-1e-3 || lead > 3.3 {
			t.Errorf("row %d: the wrong class leads by %g, want about 3", i, lead)
		}
	}
}

// Stronger attacks are not weaker: APGD fools at least what PGD does, PGD at
// least what one step does, and Square less than either at its budget.
func TestOrder(t *testing.T) {
	o := attack.Options{Norm: attack.Linf, Eps: .08}
	at := func(name string) float64 {
		a, err := Table().Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		return rate(t, quick(a), o)
	}
	apgd, pgd, fgsm, square := at("apgd"), at("pgd"), at("fgsm"), at("square")
	if apgd < pgd-.02 || pgd < fgsm || square > pgd+.02 {
		t.Errorf("success: apgd %g, pgd %g, fgsm %g, square %g", apgd, pgd, fgsm, square)
	}
	if dlr := rate(t, &APGD{Steps: 100, Loss: "dlr", Rho: .75, Restarts: 1}, o); dlr < pgd-.05 {
		t.Errorf("success: apgd with dlr %g, pgd %g", dlr, pgd)
	}
	if spsa := rate(t, &SPSA{Steps: 40, Samples: 64, Delta: .01, LearningRate: .1}, o); spsa < fgsm*.8 || spsa > pgd+.02 {
		t.Errorf("success: spsa %g, fgsm %g, pgd %g", spsa, fgsm, pgd)
	}
}

// SLIDE changes few features, and its two dialects both work.
func TestSLIDE(t *testing.T) {
	for _, dialect := range []string{"cleverhans", "foolbox2"} {
		a := &SLIDE{Norm: "l1", Eps: 4, Steps: 40, Step: .1, Quantile: .8, Dialect: dialect, BinarySearch: 15}
		if dialect == "foolbox2" {
			a.Eps = .1
		}
		adv, err := attack.Run(context.Background(), attacktest.NewMLP(50, 16, 4, 7), attacktest.Uniform(30, 50, 0, 1, 4), nil, a, attack.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r := attacktest.Rate(adv); r < .8 {
			t.Errorf("%s: success %g, want at least 0.8", dialect, r)
		}
		changed := 0.0
		for i := range 30 {
			changed += attack.L0.Distance(adv.X.Row(i), adv.XAdv.Row(i)) / 30
		}
		if changed > 40 {
			t.Errorf("%s: %g of 50 features changed", dialect, changed)
		}
	}
}

// DLR needs three classes, and says so.
func TestDLRNeedsThreeClasses(t *testing.T) {
	m, _, _ := plane()
	_, err := attack.Run(context.Background(), m, attacktest.Uniform(2, 8, -1, 1, 2), nil, &APGD{Norm: "linf", Eps: .1, Steps: 10, Loss: "dlr", Rho: .75, Restarts: 1}, attack.Options{})
	if err == nil {
		t.Error("no error")
	}
}

// In standard deviations the distance to a plane is that of the scaled
// problem: w·x + b with w_j times the deviation of feature j.
func TestEpsInStandardDeviations(t *testing.T) {
	m, w, b := plane()
	x := attacktest.Uniform(10, len(w), -1, 1, 2)
	sigma := []float64{.5, 2, 1, 4, .25, 1, 2, 0} // constant: its unit stays
	a := &DeepFool{Steps: 50, Candidates: 10, Overshoot: .02, Norm: "l2"}
	a.EpsUnit = "std"
	adv, err := attack.Run(context.Background(), m, x, nil, a, attack.Options{Deviations: sigma})
	if err != nil {
		t.Fatal(err)
	}
	for i := range x.N() {
		gap, dual, moved := b, 0.0, 0.0
		for j, v := range w {
			s := sigma[j]
			if s == 0 {
				s = 1
			}
			gap += v * float64(x.Row(i)[j])
			dual += v * s * v * s
			d := (float64(adv.XAdv.Row(i)[j]) - float64(x.Row(i)[j])) / s
			moved += d * d
		}
		want := math.Abs(gap) / math.Sqrt(dual)
		if !adv.Success[i] || math.Abs(adv.Norm[i]/want-1) > .021 || math.Abs(math.Sqrt(moved)-adv.Norm[i]) > 1e-5 {
			t.Errorf("row %d: success %v, norm %g (%g by hand), want %g", i, adv.Success[i], adv.Norm[i], math.Sqrt(moved), want)
		}
	}
	if _, err := attack.Run(context.Background(), m, x, nil, a, attack.Options{}); err == nil {
		t.Error("no error without deviations")
	}
}

// A budget that ends in the middle of a step leaves the best row so far, also where zeros are
// nearer to the row than that.
func TestHopSkipJumpKeepsItsBest(t *testing.T) {
	m, _, _ := plane()
	m.B = []float32{0, 12}
	x := attacktest.Uniform(4, 8, -.01, .01, 2)
	for queries := 60; queries < 400; queries += 7 {
		for _, n := range []attack.Norm{attack.L2, attack.Linf} {
			adv, err := attack.Run(t.Context(), m, x, nil, &HopSkipJump{Steps: 40, Evaluations: 30, Queries: queries}, attack.Options{Norm: n, Eps: math.Inf(1), Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			for i, ok := range adv.Success {
				if !ok {
					t.Errorf("%d queries, %s, row %d: no success, %g away", queries, n, i, adv.Norm[i])
				}
			}
		}
	}
}
