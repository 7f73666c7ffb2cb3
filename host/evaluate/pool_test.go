package evaluate_test

import (
	"cmp"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

// copying is an attack that wants clean examples of another class, as logit matching does, and notes those
// that it was given.
type copying struct {
	adaptive
	classes map[int]int
}

func (a copying) Objective(g attack.Goal) (attack.Objective, error) {
	clear(a.classes)
	for _, c := range g.PoolLabels {
		a.classes[c]++
	}
	if len(a.classes) < 2 {
		return nil, &attack.InapplicableError{Reason: "there is nothing to copy"}
	}
	return g.CrossEntropy(), nil
}

// Rows that are sorted by class, as those of a folder are, give examples of each class.
func TestSortedRowsAreImitated(t *testing.T) {
	g, x, y := attacktest.NewGuard(12, 3, 4, 3000, 11)
	rows := attack.All(x.N())
	slices.SortStableFunc(rows, func(i, j int) int { return cmp.Compare(y[j], y[i]) })
	o := options()
	o.Guard, o.Classifier, o.Threshold, o.X, o.Labels = g, g.M, g.Threshold, x.Gather(rows), make([]int, len(rows))
	counts := make([]int, 4)
	for k, i := range rows {
		o.Labels[k] = y[i]
		counts[y[i]]++
	}
	seen := map[int]int{}
	o.Attacks, o.SkipChecks, o.CurveRows = []evaluate.NamedAttack{{"copy", copying{adaptive{step{1, .1}}, seen}}}, true, -1
	run(t, o)
	if slices.Max(counts) < 1100 {
		t.Fatalf("classes of %v rows: the test says nothing", counts)
	}
	for c, n := range counts {
		if seen[c] < min(20, n/2) {
			t.Errorf("of class %d, of %d rows, there are %d to imitate", c, n, seen[c])
		}
	}
}

// An attack that has nothing to work with is left out, and no evaluation lost.
func TestInapplicableAttackIsLeftOut(t *testing.T) {
	o := options()
	o.Guard.(*attacktest.Guard).Threshold = -1 // flags all: no row is left to imitate
	o.Attacks = append([]evaluate.NamedAttack{{"copy", copying{adaptive{step{1, .1}}, map[int]int{}}}}, o.Attacks...)
	r, _ := run(t, o)
	if len(r.Adaptive) != 1 || r.Adaptive[0].ID != "joint" || len(r.Attacks) != 2 {
		t.Errorf("%d adaptive attacks, %d others", len(r.Adaptive), len(r.Attacks))
	}
	if all := strings.Join(r.Warnings, "\n"); !strings.Contains(all, "attack copy was left out: there is nothing to copy") {
		t.Errorf("warnings %s", all)
	}
}

// unsighted says of itself that it follows no gradient.
type unsighted struct{ adaptive }

func (unsighted) Needs() attack.Need { return attack.NeedsPredictions }

// fresh does not know the noise.
type fresh struct{ adaptive }

func (fresh) FreshNoise() bool { return true }

// Only an attack without gradients that does better than those with them in no smaller a ball, with no less
// known, says that gradients are masked.
func TestMaskedGradients(t *testing.T) {
	for name, c := range map[string]struct {
		sighted []evaluate.NamedAttack
		masked  bool
	}{
		"a smaller ball":        {[]evaluate.NamedAttack{{"joint", adaptive{step{10, .01}}}}, false},
		"the same ball":         {[]evaluate.NamedAttack{{"joint", adaptive{step{0, .3}}}}, true},
		"a larger ball":         {[]evaluate.NamedAttack{{"joint", adaptive{step{0, .4}}}}, true},
		"noise that is unknown": {[]evaluate.NamedAttack{{"joint", fresh{adaptive{step{0, .3}}}}}, false},
	} {
		o := options()
		o.Guard.(*attacktest.Guard).Threshold = 1e9 // whatever is misclassified evades
		o.SkipChecks, o.CurveRows = true, -1
		o.Attacks = append(c.sighted, evaluate.NamedAttack{Name: "blind", Attack: unsighted{adaptive{step{10, .3}}}})
		r, _ := run(t, o)
		if got := strings.Contains(strings.Join(r.Warnings, "\n"), "blind evades more often without gradients"); got != c.masked {
			t.Errorf("%s: warned %v\n%v", name, got, r.Warnings)
		}
	}
}

// What scores.json says of clean rows is the detector's verdict, which need not be that of the score.
func TestCleanVerdicts(t *testing.T) {
	o := options()
	o.SkipChecks, o.CurveRows, o.Attacks = true, -1, nil
	_, d := run(t, o)
	i := slices.Index(d.CleanResult.Adversarial, true)
	d.CleanResult.Adversarial[i] = false // its votes ended early
	if s := d.Scores(); !slices.Equal(s.Clean.Flagged, d.CleanResult.Adversarial) {
		t.Errorf("row %d is flagged", i)
	}
}

// deviating counts its eps in standard deviations.
type deviating struct {
	attack.Unit
	step
}

// Radii in the input's units and in standard deviations are not compared.
func TestUnitsOfRadii(t *testing.T) {
	for unit, told := range map[string]bool{"": true, "std": false} {
		o := options()
		o.SkipChecks, o.CurveRows, o.Deviations = true, -1, make([]float64, o.X.Stride())
		for j := range o.Deviations {
			o.Deviations[j] = 1
		}
		o.Attacks = []evaluate.NamedAttack{{"pgd", step{0, .3}}, {"pgd", deviating{attack.Unit{EpsUnit: unit}, step{10, .15}}}}
		r, _ := run(t, o)
		if got := strings.Contains(strings.Join(r.Warnings, "\n"), "a larger eps must never be weaker"); got != told {
			t.Errorf("unit %q: told %v\n%v", unit, got, r.Warnings)
		}
	}
}
