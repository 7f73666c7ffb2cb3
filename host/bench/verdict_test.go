package bench

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	at := func(share, classifier, transport float64, change ...func(*Result)) string {
		r := Result{Train: Step{Share: share}, Parts: Parts{Transport: transport},
			Overlap: &Overlap{Train: Saved{Turns: 100, Classifier: classifier, Host: 100 - classifier}}}
		for _, f := range change {
			f(&r)
		}
		return r.verdict()
	}
	hardened := func(r *Result) { r.hardened = true }
	half := func(r *Result) { r.Precision = &Precision{Native: true, Train: &Against{}} }
	for want, got := range map[string]string{
		"and back takes 40 % of a training":                       at(.3, 80, 40),
		"takes 70 % of a training step: a faster one would help":  at(.3, 70, 1),
		"or fewer steps of train.harden":                          at(.3, 70, 1, hardened),
		"step and reaches 60 % of the":                            at(.6, 20, 1),
		"at 60 % of the processor's multiply-add peak in float32": at(.6, 20, 1, half),
		"reaches 120 % of the processor's multiply-add peak in":   at(1.2, 20, 1, half),
		"takes 80 % of a training step, at":                       at(.2, 20, 1),
		"take 50 and 50 % of a training":                          at(.2, 50, 1),
		"reaches 40 % of the processor's":                         (&Result{Train: Step{Share: .4}}).verdict(),
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q, want …%s…", got, want)
		}
	}
}

func TestSaved(t *testing.T) {
	var s saved
	for range 3 {
		s.add(100, 80, 70)
	}
	if got, want := s.result(), (Saved{Turns: 100, Both: 80, Host: 30, Classifier: 70, Ratio: .8, Hidden: 20. / 30}); got.Hidden-want.Hidden > 1e-9 || got.Ratio != want.Ratio || got.Host != 30 {
		t.Errorf("%+v, want %+v", got, want)
	}
	s = saved{}
	s.add(100, 130, 70)
	if got := s.result().Hidden; got != 0 {
		t.Errorf("a loss hides %v, want 0", got)
	}
}
