package gradient

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Prepare implements train.Companion: it settles where gradients come from,
// asking and fitting as far as that takes. Later calls do nothing. An error
// wraps *Refused if no way was left, *BudgetError if the queries were used up.
func (s *Source) Prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report.Kind != "" {
		return nil
	}
	switch s.o.Kind {
	case Exact:
		return &Refused{fmt.Sprintf("classifier.gradient is exact, and classifier %s gives no gradient: set it to auto", s.info.Name)}
	case Surrogate:
		if err := s.distil(ctx); err != nil {
			return err
		}
		s.settle(Surrogate)
	case Difference, NES:
		if err := s.findStep(ctx); err != nil {
			return err
		}
		s.settle(s.o.Kind)
	case Auto:
		return s.choose(ctx)
	default:
		return fmt.Errorf("classifier.gradient is %q, want auto, exact, surrogate, finite_difference or nes", s.o.Kind)
	}
	return nil
}

// choose tries one way after the other.
func (s *Source) choose(ctx context.Context) error {
	s.passOver(fmt.Sprintf("exact: classifier %s gives no gradient", s.info.Name))
	err := s.distil(ctx)
	if err == nil {
		s.settle(Surrogate)
		return nil
	}
	var refused *Refused
	if !errors.As(err, &refused) {
		return err
	}
	s.passOver(refused.Reason)
	d := s.info.InputShape.Size()
	cosine := Cosine(s.o.Differences.Pairs, d)
	switch {
	case d > MaxDifferences && cosine < MinCosine:
		s.passOver(fmt.Sprintf("finite_difference: %d features, more than %d; nes: %d pairs would have a cosine of %.2f with the gradient, below %.2f", d, MaxDifferences, s.o.Differences.Pairs, cosine, MinCosine))
		return &Refused{"no gradient: " + strings.Join(s.report.PassedOver, "; ") + ". Without gradients there is detector.method distillation"}
	case d > MaxDifferences:
		s.passOver(fmt.Sprintf("finite_difference: %d features, more than %d", d, MaxDifferences))
	}
	if err := s.findStep(ctx); err != nil {
		return err
	}
	if d > MaxDifferences {
		s.settle(NES)
	} else {
		s.settle(Difference)
	}
	return nil
}

// passOver notes why a way is not taken.
func (s *Source) passOver(reason string) {
	s.report.PassedOver = append(s.report.PassedOver, reason)
	s.tell(Event{Stage: StageChosen, Message: reason})
}

// settle takes a way.
func (s *Source) settle(k Kind) {
	s.report.Kind = k
	d := s.info.InputShape.Size()
	e := Event{Stage: StageChosen, Fidelity: s.report.HeldOut}
	switch k {
	case Surrogate:
		e.Message = fmt.Sprintf("gradients are those of a surrogate, which agrees with the classifier on %.3f of %d held-out rows (mean KL %.3g), on %.3f with noise",
			s.report.HeldOut.Agreement, s.report.HeldOut.N, s.report.HeldOut.KL, s.report.Noisy.Agreement)
	case Difference:
		s.report.Pairs, s.report.Cosine = 0, 0
		e.Message = fmt.Sprintf("gradients are central differences: %d queries a row, steps of %.3g of a feature's range", 2*d, s.report.Step)
	case NES:
		s.report.Pairs, s.report.Cosine = s.o.Differences.Pairs, Cosine(s.o.Differences.Pairs, d)
		e.Message = fmt.Sprintf("gradients are estimates from %d random pairs: %d queries a row, deviations of %.3g of a feature's range, expected cosine %.2f", s.o.Differences.Pairs, 2*s.o.Differences.Pairs, s.report.Step, s.report.Cosine)
		e.Warning = s.report.Cosine < MinCosine
	}
	s.tell(e)
}

// Note says in a sentence what an attack through this gradient is worth, "" for
// exact ones.
func (r Report) Note() string {
	switch r.Kind {
	case Surrogate:
		agreement := ""
		if r.HeldOut != nil {
			agreement = fmt.Sprintf(" (top-1 agreement %.3f on held-out rows)", r.HeldOut.Agreement)
		}
		return "the classifier has no gradient: attacks that follow one followed a surrogate's" + agreement + " and are transfer attacks. An attacker may do better: look at those that need predictions alone"
	case Difference:
		return fmt.Sprintf("the classifier has no gradient: attacks that follow one followed central differences with steps of %.3g of a feature's range. Their queries are not counted", r.Step)
	case NES:
		return fmt.Sprintf("the classifier has no gradient: attacks that follow one followed estimates from %d random pairs (expected cosine %.2f), and are weaker than they look. Their queries are not counted", r.Pairs, r.Cosine)
	}
	return ""
}
