package evaluate_test

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// step is a sign attack of a few steps.
type step struct {
	Steps int     `yaml:"steps"`
	Eps   float64 `yaml:"eps"`
}

func (s step) Ball() (attack.Norm, float64) { return attack.Linf, s.Eps }
func (s step) Needs() attack.Need           { return attack.NeedsGradients }
func (s step) Iterated() bool               { return true }

func (s step) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	p, y := attack.NewProbe(m, x.N(), o, b), x.Clone()
	for k := 0; k < s.Steps && p.Affords(0, 1); k++ {
		e, err := p.Gradient(ctx, attack.All(x.N()), y)
		if err != nil {
			return nil, err
		}
		for i, g := range e.Grad.Data {
			if g > 0 {
				y.Data[i] -= float32(b.Eps) / 4
			} else {
				y.Data[i] += float32(b.Eps) / 4
			}
		}
		for i := range x.N() {
			b.Project(x.Row(i), y.Row(i))
		}
	}
	return y, nil
}

// adaptive is step aimed at the guard.
type adaptive struct{ step }

func (adaptive) FreshNoise() bool { return false }
func (adaptive) WantsFlag() bool  { return false }

// brighter is a corruption.
type brighter struct{}

func (brighter) Levels() []int { return []int{1, 5} }

func (brighter) Corrupt(dst, x []float32, _ tensor.Shape, _ attack.Box, severity int, _ *rand.Rand) error {
	for j, v := range x {
		dst[j] = v + .01*float32(severity)
	}
	return nil
}

func options() evaluate.Options {
	g, x, y := attacktest.NewGuard(12, 3, 4, 300, 11)
	return evaluate.Options{Section: evaluate.Section{Bootstrap: 50, CurveRows: 40, Adaptive: 50},
		Name: "toy", Guard: g, Classifier: g.M, Threshold: g.Threshold, X: x, Labels: y, Seed: 3,
		Guarded:     func(bool, uint64) sdk.Forwarder { return g },
		Attacks:     []evaluate.NamedAttack{{"pgd", step{10, .15}}, {"pgd", step{10, .05}}, {"joint", adaptive{step{10, .15}}}},
		Corruptions: []evaluate.NamedCorruption{{"brightness", brighter{}}},
	}
}

func run(t *testing.T, o evaluate.Options) (*evaluate.Report, *evaluate.Details) {
	t.Helper()
	r, d, err := evaluate.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r, d
}

func TestRun(t *testing.T) {
	r, d := run(t, options())
	if r.Clean.N != 300 || r.Clean.Accuracy != 1 {
		t.Errorf("clean n %d, accuracy %g; want 300, 1", r.Clean.N, r.Clean.Accuracy)
	}
	if r.Clean.FPR < .03 || r.Clean.FPR > .06 {
		t.Errorf("false-alarm rate %g at the 95th percentile", r.Clean.FPR)
	}
	if len(r.Attacks) != 2 || r.Attacks[0].ID != "pgd-linf-0.15" || r.Attacks[1].ID != "pgd-linf-0.05" {
		t.Fatalf("attacks %+v", r.Attacks)
	}
	a := r.Attacks[0]
	if a.NSuccess < 30 || float64(a.AUC) < .6 || a.All.N != 300 {
		t.Errorf("pgd: %d successes, AUC %g over all of %d", a.NSuccess, a.AUC, a.All.N)
	}
	if ci := a.CI95["auc"]; !(ci.Lo <= float64(a.AUC) && float64(a.AUC) <= ci.Hi) {
		t.Errorf("AUC %g outside its interval %v", a.AUC, ci)
	}
	if a.AccuracyReconstructed <= a.Accuracy {
		t.Errorf("accuracy on reconstructions %g, attacked %g: the projection should mend", a.AccuracyReconstructed, a.Accuracy)
	}
	if len(r.Adaptive) != 1 || r.Adaptive[0].N != 50 || r.AdaptiveUnion == nil || r.AdaptiveUnion.Evaded != r.Adaptive[0].Evaded {
		t.Errorf("adaptive %+v, union %+v", r.Adaptive, r.AdaptiveUnion)
	}
	if r.WorstCase == nil || r.WorstCase.N != 300 || r.WorstCase.NSuccess < a.NSuccess {
		t.Errorf("worst case %+v", r.WorstCase)
	}
	if len(r.Corruptions) != 2 || r.Corruptions[1].Severity != 5 {
		t.Errorf("corruptions %+v", r.Corruptions)
	}
	if len(r.Curves) != 2 || len(r.Curves[0].Points) != 5 {
		t.Errorf("curves %+v", r.Curves)
	}
	if len(d.Attacks) != 3 || len(d.Attacks[0].Examples) == 0 || d.Attacks[0].Examples[0].Reconstruction == nil {
		t.Error("no examples")
	}
}

// The keys of the contract are there, and two runs give the same bytes but
// for what was timed.
func TestJSON(t *testing.T) {
	texts := make([]string, 2)
	for i := range texts {
		r, _ := run(t, options())
		r.Seconds, r.Detector.MsPerInstance = 0, 0
		for k := range r.Attacks {
			r.Attacks[k].Seconds = 0
		}
		for k := range r.Adaptive {
			r.Adaptive[k].Seconds = 0
		}
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			t.Fatal(err)
		}
		texts[i] = b.String()
	}
	if texts[0] != texts[1] {
		t.Error("two evaluations with one seed differ")
	}
	var whole map[string]any
	if err := json.Unmarshal([]byte(texts[0]), &whole); err != nil {
		t.Fatal(err)
	}
	if v, ok := whole["health"]; !ok || v != nil {
		t.Errorf("health that is not known is %v, %v; want null", v, ok)
	}
	var tree struct {
		Attacks  []map[string]any
		Adaptive []map[string]any
	}
	if err := json.Unmarshal([]byte(texts[0]), &tree); err != nil {
		t.Fatal(err)
	}
	for _, key := range strings.Fields("id name norm eps params n n_success success_rate accuracy accuracy_reconstructed accuracy_corrected detected auc tpr_at_fpr all queries seconds ci95") {
		if _, ok := tree.Attacks[0][key]; !ok {
			t.Errorf("attacks[0] has no %s", key)
		}
	}
	for _, key := range []string{"evaded", "median_evasion_norm", "auc"} {
		if _, ok := tree.Adaptive[0][key]; !ok {
			t.Errorf("adaptive[0] has no %s", key)
		}
	}
}

func TestGates(t *testing.T) {
	r, _ := run(t, options())
	for text, fails := range map[string]int{
		"attacks.pgd.n<1000":                             2, // by name: both
		"attacks.pgd-linf-0.15.n<1000":                   1,
		"attacks.pgd-linf-0.15.tpr_at_fpr.0.05<=1":       1,
		"attacks.pgd-linf-0.05.ci95.auc.0 < 2":           1,
		"clean.fpr>0.5":                                  0,
		"adaptive.joint.all.auc>=0":                      1,
		"adaptive_union.evaded>2":                        0,
		"attacks.pgd-linf-0.15.ci95.tpr_at_fpr.0.05.1<0": 0,
	} {
		g, err := evaluate.ParseGate(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Check([]evaluate.Gate{g})
		if err != nil || len(got) != fails {
			t.Errorf("%s: %d failures %v, error %v; want %d", text, len(got), got, err, fails)
		}
		if err := g.Expect(options().Attacks); err != nil {
			t.Error(err)
		}
	}
	for text, want := range map[string]string{
		"attacks.pgd.aux<1":      "no attacks.pgd.aux; there: id, name, ",
		"adaptive.joint.aux<1":   "no adaptive.joint.aux; there: ",
		"attacks.fgsm.auc<1":     "no attacks.fgsm.auc; there: attacks.pgd-linf-0.15, attacks.pgd-linf-0.05",
		"attacks.joint.evaded<1": "no attacks.joint.evaded; there: attacks.pgd",
		"attack.pgd.auc<1":       "no attack; there: name, classifier, ",
	} {
		g, err := evaluate.ParseGate(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Expect(options().Attacks); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	for _, text := range []string{"attacks.pgd.aux<1", "attacks.fgsm.auc<1", "clean<1"} {
		g, err := evaluate.ParseGate(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Check([]evaluate.Gate{g}); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	for _, text := range []string{"", "auc", "auc<", "auc<x", "a b<1"} {
		if _, err := evaluate.ParseGate(text); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// An attack that does nothing is reported as one.
func TestWarnsOfAWeakAttack(t *testing.T) {
	o := options()
	o.Attacks = []evaluate.NamedAttack{{"pgd", step{0, .15}}}
	r, _ := run(t, o)
	if !strings.Contains(strings.Join(r.Warnings, "\n"), "succeeded on no row") {
		t.Errorf("warnings %q", r.Warnings)
	}
}

func TestErrors(t *testing.T) {
	o := options()
	o.Labels = o.Labels[1:]
	if _, _, err := evaluate.Run(context.Background(), o); err == nil {
		t.Error("no error for missing labels")
	}
	o = options()
	o.Guarded = nil
	if _, _, err := evaluate.Run(context.Background(), o); err == nil {
		t.Error("no error for an adaptive attack on a guard without gradients")
	}
}

// transferring is an attack through another detector, which notes what it was told of it.
type transferring struct {
	adaptive
	threshold *float64
}

func (transferring) Transferred() bool { return true }

func (a transferring) Objective(g attack.Goal) (attack.Objective, error) {
	*a.threshold = g.Threshold
	return g.CrossEntropy(), nil
}

// An attack through another detector follows that one's threshold, whatever the unit of its scores, and is
// judged by the detector at hand.
func TestTransferThreshold(t *testing.T) {
	for _, other := range []float64{1e-3, 1e3} {
		var got float64
		o := options()
		o.CurveRows = -1
		o.Attacks = []evaluate.NamedAttack{{"transfer", transferring{adaptive{step{10, .15}}, &got}}}
		o.Transfer = func(bool, uint64) (sdk.Forwarder, float64) { return o.Guarded(false, 0), other }
		r, d := run(t, o)
		if got != other {
			t.Errorf("the attacker was given the threshold %g, want the other detector's, %g", got, other)
		}
		evaded := 0
		for k, y := range d.Attacks[0].Adversarial.Y {
			if d.Attacks[0].Result.Predicted[k] != y && d.Attacks[0].Result.Score[k] <= o.Threshold {
				evaded++
			}
		}
		if a := r.Adaptive[0]; float64(a.Evaded) != float64(evaded)/50 {
			t.Errorf("evaded %v, want %d of 50 by this detector's threshold", a.Evaded, evaded)
		}
	}
}

// The median evasion norm says over how many rows it is, and a curve never takes an evasion of the attack's own run away.
func TestMedianEvasion(t *testing.T) {
	o := options()
	o.Attacks = []evaluate.NamedAttack{{"joint", adaptive{step{10, .3}}}}
	o.Guard.(*attacktest.Guard).Threshold = 1e9 // whatever is misclassified evades
	median := func(rows int, factors ...float64) (evaluate.AdaptiveReport, *evaluate.Details) {
		o := o
		o.CurveRows, o.CurveFactors = rows, factors
		r, d := run(t, o)
		return r.Adaptive[0], d
	}
	own, d := median(-1)
	if own.MedianEvasionN != 50 {
		t.Errorf("without a curve over %d rows, want all 50", own.MedianEvasionN)
	}
	tiny, _ := median(40, .001) // a radius at which nothing evades
	if tiny.MedianEvasionN != 20 {
		t.Errorf("with a curve over %d rows, want its 20", tiny.MedianEvasionN)
	}
	var norms []float64
	for k := range d.Attacks[0].Rows {
		if d.Attacks[0].Evaded[k] {
			norms = append(norms, d.Attacks[0].Adversarial.Norm[k])
		}
	}
	if len(norms) <= 30 {
		t.Fatalf("%d of 50 evade: too few to tell", len(norms))
	}
	if v := float64(tiny.MedianEvasionNorm); !(v >= slices.Min(norms) && v <= slices.Max(norms)) {
		t.Errorf("median norm %v with a curve that finds nothing, want one of the attack's own, %v to %v", v, slices.Min(norms), slices.Max(norms))
	}
	fine, _ := median(40, .25, .5, .75)
	if fine.MedianEvasionNorm > tiny.MedianEvasionNorm {
		t.Errorf("median norm %v with smaller radii, %v without", fine.MedianEvasionNorm, tiny.MedianEvasionNorm)
	}
}
