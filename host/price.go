package host

import (
	"context"
	"math"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Phase is a part of a run and what it would take.
type Phase struct {
	Name string        `json:"name"`
	Time time.Duration `json:"time_ns"`
}

// Price is what a run would take, by phases, from what one row of each kind of work takes on
// this machine now. Trainings that may stop early are counted to their end.
type Price struct {
	Phases []Phase       `json:"phases"`
	Total  time.Duration `json:"time_ns"`
	// Left are attacks whose steps could not be counted.
	Left []string `json:"not_counted,omitempty"`
}

// Price measures and counts a run; whole says that it is also evaluated. It is nil where
// there is nothing to go by: a classifier that does not ship with the binary, which is not
// started for this, or a method other than an auto-encoder. A shipped classifier that has yet to be
// trained is trained on a few rows of noise in a temporary folder, as Bench does it.
func (e *Experiment) Price(ctx context.Context, whole bool) (*Price, error) {
	e, err := e.borrowed()
	if err != nil {
		return nil, err
	}
	s := e.Spec
	method, coded := s.Detector.Chosen().(detect.Coded)
	in, classes := s.inputShape(s.Document, e.c)
	if !coded || s.VAE == nil || s.Train == nil || in == nil || !s.Given("classifier") {
		return nil, nil
	}
	work, remove, err := launch.TempDir()
	if err != nil {
		return nil, err
	}
	defer remove()
	r := rates{now: time.Now}
	if e.now != nil {
		r.now = e.now
	}
	batch := max(1, min(s.Train.BatchSize, 128, 1<<22/in.Size()))
	cl, err := e.priced(ctx, &r, in, classes, work)
	if err != nil || cl == nil {
		return nil, err
	}
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	rows := map[dataset.Role]int{}
	for _, role := range dataset.Roles {
		rows[role] = s.count(s.Document, e.c, role, math.MaxInt)
	}
	seen := info // in the layout of the host
	seen.InputShape = in
	r.source = gradient.CostOf(e.gradientOptions(), seen, rows[dataset.RoleTrain], rows[dataset.RoleValidation])
	s.asked(&r, info)
	if err := r.measureClassifier(ctx, cl, info, in, batch); err != nil {
		return nil, err
	}
	if err := e.measureSource(&r, in, info.NumClasses, batch); err != nil {
		return nil, err
	}
	if err := e.measureCoder(&r, method, in, info.NumClasses, batch); err != nil {
		return nil, err
	}
	return e.count(ctx, r, rows, in, info.NumClasses, whole), nil
}

// count multiplies rates with rows.
func (e *Experiment) count(ctx context.Context, r rates, of map[dataset.Role]int, in tensor.Shape, classes int, whole bool) *Price {
	s, p := e.Spec, &Price{}
	rows := func(role dataset.Role) float64 { return float64(of[role]) }
	add := func(name string, seconds float64) {
		if t := time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond); t > 0 {
			p.Phases = append(p.Phases, Phase{name, t})
			p.Total += t
		}
	}
	n, validation := rows(dataset.RoleTrain), rows(dataset.RoleValidation)
	add("start", startTime.Seconds())
	if options := s.Classifier.Model.Train; options != nil {
		epochs := r.epochs
		if v, ok := options["epochs"].(int); ok {
			epochs = float64(v)
		}
		add("classifier", epochs*(n*r.fit+validation*r.predict))
	}
	if c := r.source; c.Surrogate != nil && (r.asks || c.Kind == s.Classifier.Gradient.Kind) {
		add("surrogate", float64(c.Asked)*r.many+float64(c.Examples)*float64(c.Surrogate.Epochs)*r.learn)
	}
	t := s.Train
	est := t.Estimate(nil, int(n), int(validation), 0)
	add("training", r.training(t, n, validation, float64(est.Steps)))
	if h := t.Harden; h != nil && est.RobustRows > 0 {
		add("val_robust", float64(est.RobustRows)*float64(est.RobustTimes)*float64(h.Robust.Steps+1)*(r.forward+r.backRows+2*r.gradient))
	}
	judge := r.score + (1+r.samples)*r.predict
	add("calibration", rows(dataset.RoleCalibration)*judge)
	if s.Threshold != nil {
		add("health", validation*judge+e.unpreparedRows(of[dataset.RoleCalibration])*r.predict)
	}
	if !whole {
		return p
	}
	var attacks []evaluate.NamedAttack
	for _, c := range s.Attacks {
		attacks = append(attacks, evaluate.NamedAttack{Name: c.Name, Attack: registry.As[attack.Attack](c)})
	}
	severities := 0
	for _, c := range s.Corruptions {
		severities += len(registry.As[evaluate.Corruption](c).Levels())
	}
	c := evaluate.CostOf(ctx, s.Evaluate, attacks, severities, of[dataset.RoleTest], in, classes)
	back := r.score * (1 + r.backRows/max(r.forward, 1e-12))
	add("evaluation", float64(c.Judged)*judge+float64(c.Asked)*r.predict+float64(c.Gradients)*r.gradient+
		float64(c.GuardAsked)*judge+float64(c.GuardGradients)*(back+(1+r.samples)*r.gradient))
	if s.votes() && s.Threshold != nil { // of the guard and of the classifier alone
		add("certificates", float64(c.Certified)*r.proofs*(r.rebuild+2*r.predict))
	}
	p.Left = c.Left
	return p
}

// training is what the detector's takes, without what val_robust asks.
func (r *rates) training(t *train.Section, n, validation, steps float64) float64 {
	perRow, perHeld, once, learnt := r.forward+r.backward, r.forward, 0.0, 0.0
	switch {
	case r.asks:
		perRow, perHeld = perRow+r.gradient, perHeld+r.predict
	case r.measures:
		perRow, perHeld = perRow+r.predict, perHeld+r.predict
	}
	if r.asks || r.measures || t.ClassWeight.Balanced || len(t.ClassWeight.Of) > 0 {
		once = (n + validation) * r.predict
	}
	asked := 1.0
	if h := t.Harden; h != nil {
		inner := r.gradient
		if h.Through == "guard" {
			inner += r.forward + r.backRows
		}
		perRow = 2*perRow + float64(h.Steps)*inner
		asked = 2 + float64(h.Steps)
	}
	if c := r.source.Surrogate; c != nil && c.RefitEvery > 0 && r.asks { // what was asked about and as many examples of its own, at once and in a refit
		learnt = n * r.learn * (2*asked + 4/float64(c.RefitEvery))
	}
	return once + float64(t.Epochs)*(n*perRow+steps*r.step+validation*perHeld+learnt)
}

// votes reports whether the detector flags by votes, of which certificates are made.
func (s *Spec) votes() bool {
	for _, n := range s.Detector.NamedScores() {
		if _, ok := n.Score.(detect.VoteScore); ok {
			return true
		}
	}
	return false
}
