package evaluate

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// check looks for signs that the evaluation itself is weak: where an attack
// that should be strong is weak, the figures say more about the attack than
// about the detector (Carlini et al. 2019, arXiv:1902.06705; Athalye et al. 2018).
func (e *evaluation) check(ctx context.Context) error {
	e.checkPromise()
	e.checkGradients()
	e.checkOrder()
	e.checkBlind()
	e.checkCurves()
	if e.o.Gradient != nil { // the checks below would report the same, less clearly
		e.noteGradient()
		return nil
	}
	if e.o.SkipChecks || e.info.Gradient == sdk.NoGradient {
		return nil
	}
	return e.checkDescent(ctx)
}

// noteGradient warns that attacks had other gradients than the classifier's.
func (e *evaluation) noteGradient() {
	for _, a := range e.o.Attacks {
		if a.Attack.Needs() == attack.NeedsGradients {
			e.warn("%s", e.o.Gradient.Note())
			return
		}
	}
}

// checkPromise compares the false-alarm rate on test rows with the promised
// one: within 1.96 standard errors of both samples or, for a rate promised
// with confidence, or that thresholds of classes may have lowered, not significantly
// above. Rows that are not mixed as the test rows are have another rate.
func (e *evaluation) checkPromise() {
	a, n := e.o.PromisedFPR, float64(e.report.Clean.N)
	if c, share, of := e.skew(); share > 0 {
		e.warn("the clean rows are as many of each class as there are, which the test rows are not: class %s is %.0f %% of these, %.0f %% of those, and accuracy and false alarms are those of the mixture; evaluate.clean_limit: -1 scores all", e.className(c), 100*share, 100*of)
		return
	}
	if a == 0 {
		return
	}
	fpr := e.report.Clean.FPR
	if e.o.PromisedConfidence > 0 || e.o.PromisedClassFPR > a {
		if e.report.Clean.CI95["fpr"].Lo > a {
			e.warn("the false-alarm rate on test rows is %.4f, significantly above the promised %.4f: do calibration and test rows come from the same distribution?", fpr, a)
		}
		return
	}
	width := 1.96 * math.Sqrt(a*(1-a)*(1/math.Max(float64(e.o.CalibrationRows), 1)+1/n))
	if math.Abs(fpr-a) > width {
		e.warn("the false-alarm rate on test rows is %.4f, outside the promised %.4f ± %.4f: do calibration and test rows come from the same distribution?", fpr, a, width)
	}
}

// tolerance is how much two success rates may differ by the chance of a few
// rows.
const tolerance = 0.02

func (e *evaluation) checkGradients() {
	all := slices.Clone(e.report.Attacks)
	for _, a := range e.report.Adaptive {
		all = append(all, a.AttackReport)
	}
	for _, a := range all {
		if a.ZeroShare > 0.01 {
			e.warn("attack %s: %.0f %% of its gradients were exactly zero: they are masked (saturated probabilities?), and a stronger attack may exist", a.ID, 100*float64(a.ZeroShare))
		}
	}
	for _, a := range e.report.Attacks {
		if a.Control {
			continue
		}
		if a.NSuccess > 0 && a.NSuccess < 30 {
			e.warn("attack %s: only %d successful examples; their figures are uncertain, see the intervals", a.ID, a.NSuccess)
		}
		if a.NSuccess == 0 {
			e.warn("attack %s succeeded on no row: nothing can be said about detecting it", a.ID)
		}
	}
}

// checkOrder compares attacks of one norm: an iterated one should succeed at
// least as often as those that see less or have a smaller eps.
func (e *evaluation) checkOrder() {
	byID := make(map[string]attack.Attack)
	for i, a := range e.o.Attacks {
		byID[e.ids[i]] = a.Attack
	}
	for _, a := range e.report.Attacks {
		for _, b := range e.report.Attacks {
			if a.Norm != b.Norm || unit(byID[a.ID]) != unit(byID[b.ID]) || !attack.IsIterated(byID[a.ID]) || float64(b.SuccessRate) <= float64(a.SuccessRate)+tolerance {
				continue
			}
			bounded := b.Eps <= a.Eps
			white, black := byID[a.ID].Needs() == attack.NeedsGradients, byID[b.ID].Needs() == attack.NeedsPredictions
			switch {
			case b.Control && bounded:
				e.warn("the control %s succeeds more often than %s (%.3f against %.3f): the attack does not work", b.ID, a.ID, b.SuccessRate, a.SuccessRate)
			case white && black && bounded:
				e.warn("the black-box attack %s succeeds more often than the white-box %s (%.3f against %.3f): gradients are masked", b.ID, a.ID, b.SuccessRate, a.SuccessRate)
			case a.Name == b.Name && b.Eps < a.Eps:
				e.warn("%s succeeds more often at eps %g than at eps %g (%.3f against %.3f): a larger eps must never be weaker", a.Name, b.Eps, a.Eps, b.SuccessRate, a.SuccessRate)
			}
		}
	}
}

// unit is that of an attack's eps and norm: "std", or "" for the input's.
func unit(a attack.Attack) string {
	u, _ := options(a)["eps_unit"].(string)
	return u
}

// checkBlind compares adaptive attacks that need no gradients with those that follow them, in a ball of the same
// norm that is no smaller and with no less known of the noise.
func (e *evaluation) checkBlind() {
	tried := make(map[string]attack.Adaptive)
	for i, n := range e.o.Attacks {
		if ad, ok := n.Attack.(attack.Adaptive); ok && !ad.WantsFlag() && !attack.IsTransferred(ad) {
			tried[e.ids[i]] = ad
		}
	}
	for _, b := range e.report.Adaptive {
		blind := tried[b.ID]
		if blind == nil || blind.Needs() == attack.NeedsGradients {
			continue
		}
		sighted := -1.
		for _, a := range e.report.Adaptive {
			ad := tried[a.ID]
			if ad != nil && ad.Needs() == attack.NeedsGradients && a.Norm == b.Norm && unit(ad) == unit(blind) && a.Eps >= b.Eps && (!a.FreshNoise || b.FreshNoise) {
				sighted = max(sighted, float64(a.Evaded))
			}
		}
		if sighted >= 0 && float64(b.Evaded) > sighted+tolerance {
			e.warn("%s evades more often without gradients than any adaptive attack with them (%.3f against %.3f): the detector's gradients are masked, and the results of the others do not count", b.ID, b.Evaded, sighted)
		}
	}
}

func (e *evaluation) checkCurves() {
	for _, c := range e.report.Curves {
		for i := 1; i < len(c.Points); i++ {
			p, q := c.Points[i-1], c.Points[i]
			if !c.Adaptive && float64(q.SuccessRate) < float64(p.SuccessRate)-tolerance {
				e.warn("%s succeeds less often at eps %.4g than at %.4g (%.3f against %.3f): a larger eps must never be weaker", c.ID, q.Eps, p.Eps, q.SuccessRate, p.SuccessRate)
			}
		}
	}
}

// checkDescent follows the classifier's gradient on a few rows: the loss must
// fall, a ball as large as the box must let every attack succeed, and the
// gradient must agree with finite differences.
func (e *evaluation) checkDescent(ctx context.Context) error {
	const few, steps = 32, 60
	rows := Balanced(e.o.Labels, few, e.o.Seed+1)
	x := e.o.X.Gather(rows)
	box, err := e.box()
	if err != nil {
		return err
	}
	labels := make([]int, len(rows))
	for k, i := range rows {
		labels[k] = e.o.Labels[i]
	}
	goal := attack.Goal{Labels: labels, Kind: e.info.Output, Classes: e.info.NumClasses}.CrossEntropy()
	probe := attack.NewProbe(oracle.AsForwarder(e.o.Classifier), len(rows), goal, attack.Budget{})
	all := attack.All(len(rows))
	y := x.Clone()
	first, done := []float64(nil), make([]bool, len(rows))
	var last []float64
	for step := range steps {
		s, err := probe.Gradient(ctx, all, y)
		if err != nil {
			return err
		}
		if step == 0 {
			first = s.Loss
			if err := e.checkDifferences(ctx, probe, x); err != nil {
				return err
			}
		}
		if step == 5 {
			last = s.Loss
		}
		for k := range all {
			done[k] = done[k] || s.Done[k]
			for j, g := range s.Grad.Row(k) {
				lo, hi := box.At(j)
				d := (hi - lo) / 20
				if step < 5 {
					d = (hi - lo) / 200
				}
				switch {
				case g > 0:
					y.Row(k)[j] -= d
				case g < 0:
					y.Row(k)[j] += d
				}
			}
			box.Clip(y.Row(k))
		}
	}
	rose := 0
	for k := range first {
		if last[k] > first[k]+1e-6 {
			rose++
		}
	}
	if share(rose, len(rows)) > 0.1 {
		e.warn("five small steps along the gradient raised the attacker's loss on %d of %d rows: the gradient is not a descent direction", rose, len(rows))
	}
	if n := count(done); n < len(rows) {
		e.warn("an attack bounded only by the legal range succeeded on %d of %d rows, and should on all: gradients are masked", n, len(rows))
	}
	return nil
}

// checkDifferences compares directional derivatives with central differences,
// near x: moved at random, since where features are equal, as an image's
// background is, max pooling has a kink and the two need not agree. A step of
// each feature is long where there are many, and a steep model bends over it: a
// gradient that does not agree is given a shorter one, which only makes a right
// one agree better.
func (e *evaluation) checkDifferences(ctx context.Context, probe *attack.Probe, x *tensor.Tensor) error {
	box, err := e.box()
	if err != nil {
		return err
	}
	n := x.N()
	x = x.Clone()
	for k := range n {
		r := rand.New(rand.NewPCG(e.o.Seed, uint64(n+k)))
		for j := range x.Row(k) {
			lo, hi := box.At(j)
			d := 0.002 + 0.03*r.Float32()
			if x.Row(k)[j] > (lo+hi)/2 {
				d = -d
			}
			x.Row(k)[j] += d * (hi - lo)
		}
	}
	s, err := probe.Gradient(ctx, attack.All(n), x)
	if err != nil {
		return err
	}
	worst, judged := 0.0, 0
	for _, step := range []float32{1e-3, 1e-4} {
		errs, err := e.differences(ctx, probe, x, s.Grad, box, step)
		if err != nil {
			return nil // a classifier may refuse inputs just outside its range
		}
		if len(errs) < n/4 || len(errs) == 0 { // too flat to tell: what was seen before stands
			break
		}
		if worst, judged = median(errs), len(errs); worst <= 0.2 {
			return nil
		}
	}
	if judged > 0 {
		e.warn("gradients differ from finite differences by %.0f %% (median of %d rows): they are estimates or wrong", 100*worst, judged)
	}
	return nil
}

// differences are what the derivatives by grad in a random direction, steps of a
// part of the box in each feature, and the central differences differ by,
// relative to the larger; rows whose loss hardly changes are left out.
func (e *evaluation) differences(ctx context.Context, probe *attack.Probe, x, grad *tensor.Tensor, box attack.Box, step float32) ([]float64, error) {
	n := x.N()
	up, down, want := x.Clone(), x.Clone(), make([]float64, n)
	for k := range n {
		r := rand.New(rand.NewPCG(e.o.Seed, uint64(k)))
		for j := range x.Row(k) {
			lo, hi := box.At(j)
			h := step * (hi - lo)
			if r.IntN(2) == 0 {
				h = -h
			}
			up.Row(k)[j] += h
			down.Row(k)[j] -= h
			want[k] += (float64(up.Row(k)[j]) - float64(down.Row(k)[j])) * float64(grad.Row(k)[j])
		}
	}
	a, err := probe.Loss(ctx, attack.All(n), up)
	if err != nil {
		return nil, err
	}
	b, err := probe.Loss(ctx, attack.All(n), down)
	if err != nil {
		return nil, err
	}
	var errs []float64
	for k := range n {
		got := a.Loss[k] - b.Loss[k]
		if size := math.Max(math.Abs(got), math.Abs(want[k])); size > 1e-4 {
			errs = append(errs, math.Abs(got-want[k])/size)
		}
	}
	return errs, nil
}
