package evaluate_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// plain is step that declares nothing.
type plain struct{ step }

func (plain) Iterated() bool { return false }

// black is step that says it needs predictions alone.
type black struct{ step }

func (black) Needs() attack.Need { return attack.NeedsPredictions }

// shift adds eps to each feature or takes it away, at random.
type shift struct{ control bool }

func (shift) Ball() (attack.Norm, float64) { return attack.Linf, .5 }
func (shift) Needs() attack.Need           { return attack.NeedsNothing }
func (s shift) Control() bool              { return s.control }

func (shift) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	y := x.Clone()
	for i := range y.N() {
		r := b.Rand(i, 1)
		for j := range y.Row(i) {
			y.Row(i)[j] += float32(b.Eps) * float32(1-2*r.IntN(2))
		}
	}
	return y, nil
}

// What an attack declares decides, and not its name.
func TestCurvesGoByProperty(t *testing.T) {
	o := options()
	o.SkipChecks = true
	o.Attacks = []evaluate.NamedAttack{
		{"pgd", plain{step{10, .15}}}, {"mine", step{10, .15}}, {"again", step{10, .1}}, {"seeing less", black{step{10, .15}}},
		{"noise", shift{false}},
	}
	r, _ := run(t, o)
	var got []string
	for _, c := range r.Curves {
		got = append(got, c.ID)
	}
	if want := []string{"mine", "seeing less"}; !slices.Equal(got, want) {
		t.Errorf("curves of %v, want %v", got, want)
	}
	for _, a := range r.Attacks {
		if a.Control {
			t.Errorf("%s is reported as a control", a.ID)
		}
	}
}

// warnings are those of an evaluation with the given attacks.
func warnings(t *testing.T, list ...evaluate.NamedAttack) string {
	t.Helper()
	o := options()
	o.SkipChecks, o.CurveRows, o.Attacks = true, -1, list
	r, _ := run(t, o)
	return strings.Join(r.Warnings, "\n")
}

func TestOrderGoesByProperty(t *testing.T) {
	still, strong := step{0, .5}, step{10, .15}
	for _, c := range []struct {
		name, want string
		list       []evaluate.NamedAttack
	}{
		{"a control outdoes an iterated attack", "the attack does not work", []evaluate.NamedAttack{{"mine", still}, {"calm", shift{true}}}},
		{"what needs nothing is no control", "", []evaluate.NamedAttack{{"mine", still}, {"calm", shift{false}}}},
		{"nothing is expected of others", "", []evaluate.NamedAttack{{"pgd", plain{still}}, {"calm", shift{true}}}},
		{"seeing less is better", "gradients are masked", []evaluate.NamedAttack{{"mine", still}, {"black", black{strong}}}},
		{"seeing as little is better", "", []evaluate.NamedAttack{{"mine", black{still}}, {"black", black{strong}}}},
		{"more eps is weaker", "a larger eps must never be weaker", []evaluate.NamedAttack{{"mine", still}, {"mine", strong}}},
	} {
		got := warnings(t, c.list...)
		for _, w := range []string{"the attack does not work", "gradients are masked", "a larger eps must never be weaker"} {
			if strings.Contains(got, w) != (w == c.want) {
				t.Errorf("%s: warnings %q, want %q", c.name, got, c.want)
			}
		}
	}
}

// A control that fools nobody is no cause for alarm, and one that does is left
// out of the worst case.
func TestControlIsNoAttack(t *testing.T) {
	if w := warnings(t, evaluate.NamedAttack{Name: "calm", Attack: quiet{}}); strings.Contains(w, "on no row") {
		t.Errorf("warnings %q of a control", w)
	}
	o := options()
	o.SkipChecks, o.CurveRows, o.Attacks = true, -1, []evaluate.NamedAttack{{"calm", shift{true}}}
	r, d := run(t, o)
	if a := r.Attacks[0]; !a.Control || a.NSuccess == 0 || !d.Attacks[0].Control {
		t.Errorf("control %v with %d successes, in the details %v; want true and some", a.Control, a.NSuccess, d.Attacks[0].Control)
	}
	if r.WorstCase != nil && r.WorstCase.NSuccess > 0 {
		t.Errorf("worst case %+v of a control alone", r.WorstCase)
	}
}

// quiet is a control that changes nothing.
type quiet struct{ shift }

func (quiet) Control() bool { return true }

func (quiet) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ attack.Objective, _ attack.Budget) (*tensor.Tensor, error) {
	return x.Clone(), nil
}

// step keeps the promises that the evaluation relies on.
func TestConformance(t *testing.T) { attacktest.Run(t, step{10, .15}, attack.Options{}) }
