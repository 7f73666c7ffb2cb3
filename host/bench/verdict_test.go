package bench

import (
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	at := func(share, classifier, transport float64) string {
		r := Result{Train: Step{Share: share}, Parts: Parts{Transport: transport},
			Overlap: &Overlap{Train: Saved{Turns: 100, Classifier: classifier, Host: 100 - classifier}}}
		return r.verdict()
	}
	for want, got := range map[string]string{
		"calls cost more":                   at(.3, 80, 40),
		"the classifier takes 70 %":         at(.3, 70, 1),
		"near the processor's peak":         at(.6, 20, 1),
		"takes 80 % of a training step, at": at(.2, 20, 1),
		"take 50 and 50 % of a training":    at(.2, 50, 1),
		"reaches 40 % of the processor's":   (&Result{Train: Step{Share: .4}}).verdict(),
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
