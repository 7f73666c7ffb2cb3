package host

import (
	"context"
	"math"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
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

const (
	// callTime is what a call of a classifier in another process takes besides its work.
	callTime = 250 * time.Microsecond
	// priceTime is how long one kind of work is measured.
	priceTime = 60 * time.Millisecond
	// startTime is what processes, files and the report take.
	startTime = time.Second
)

// rates are what a row takes, in seconds.
type rates struct {
	fit                         float64 // of the classifier's training
	predict, gradient           float64 // of the classifier
	forward, backward, backRows float64 // of the auto-encoder: forward, back to params, back to rows alone
	score                       float64 // of the auto-encoder when scoring, with all samples
	step                        float64 // of the optimiser, a step
	samples                     float64
}

// Price measures and counts a run; whole says that it is also evaluated. It is nil where
// there is nothing to go by: a classifier that does not ship with the binary, which is not
// started for this, or a method other than an auto-encoder. A shipped classifier that has yet to be
// trained is trained on a few rows of noise in a temporary folder, as Bench does it.
func (e *Experiment) Price(ctx context.Context, whole bool) (*Price, error) {
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
	var r rates
	batch := max(1, min(s.Train.BatchSize, 128, 1<<22/in.Size()))
	cl, err := e.priced(ctx, &r, in, classes, work)
	if err != nil || cl == nil {
		return nil, err
	}
	if err := r.measureClassifier(ctx, cl, in, batch); err != nil {
		return nil, err
	}
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.measureCoder(&r, method, in, info.NumClasses, batch); err != nil {
		return nil, err
	}
	return e.count(ctx, r, in, info.NumClasses, whole), nil
}

// priced is the classifier in this process; nil: it does not ship with the binary.
func (e *Experiment) priced(ctx context.Context, r *rates, in tensor.Shape, classes int, work string) (sdk.Classifier, error) {
	deps, err := e.deps(sdk.Config{InputShape: in, Classes: classes})
	if err != nil {
		return nil, err
	}
	p, err := e.Spec.Classifier.Model.Find(deps.Finder, deps.Base)
	if err != nil || !p.Shipped {
		return nil, err
	}
	began := time.Now()
	first, last, steps := began, began, 0
	err = e.benchWeights(ctx, &deps.Config, p, work, func(f sdk.FitProgress) {
		if last, steps = time.Now(), f.Step; f.Step == 1 {
			first = last
		}
	})
	if err != nil {
		return nil, err
	}
	switch {
	case steps > 1:
		r.fit = last.Sub(first).Seconds() / float64(steps-1) * float64(steps) / benchRows
	case steps == 1:
		r.fit = last.Sub(began).Seconds() / benchRows
	}
	c, err := e.configured(ctx, p.Name, deps.Config)
	if err != nil {
		return nil, err
	}
	return launch.Local(ctx, c, e.Spec.Classifier.Model.Preprocess)
}

// each is what f takes, by repeating it.
func each(f func() error) (float64, error) {
	if err := f(); err != nil { // the first warms up
		return 0, err
	}
	began, n := time.Now(), 0
	for n == 0 || time.Since(began) < priceTime {
		if err := f(); err != nil {
			return 0, err
		}
		n++
	}
	return time.Since(began).Seconds() / float64(n), nil
}

func (r *rates) measureClassifier(ctx context.Context, cl sdk.Classifier, in tensor.Shape, batch int) (err error) {
	x := noiseRows(batch, in)
	if r.predict, err = each(func() error { _, err := cl.Predict(ctx, x); return err }); err != nil {
		return err
	}
	r.gradient = 3 * r.predict
	if d, ok := cl.(sdk.Differentiable); ok {
		info, err := cl.Info(ctx)
		if err != nil {
			return err
		}
		dy := tensor.New(batch, info.NumClasses)
		for i := range batch {
			dy.Row(i)[i%info.NumClasses] = 1
		}
		if info.Gradient != sdk.NoGradient {
			if r.gradient, err = each(func() error { _, err := d.Gradient(ctx, x, dy); return err }); err != nil {
				return err
			}
		}
	}
	r.predict = (r.predict + callTime.Seconds()) / float64(batch)
	r.gradient = (r.gradient + 2*callTime.Seconds()) / float64(batch)
	return nil
}

// noiseRows are rows of numbers spread evenly in [0, 1).
func noiseRows(n int, in tensor.Shape) *tensor.Tensor {
	x := tensor.Batch(n, in)
	for i := range x.Data {
		x.Data[i] = float32(i*7919%10007) / 10007
	}
	return x
}

func (e *Experiment) measureCoder(r *rates, method detect.Coded, in tensor.Shape, classes, batch int) error {
	s := e.Spec
	m, err := s.coder(method, in)
	if err != nil {
		return err
	}
	k, err := kernel.New(kernel.Options{Threads: e.o.Threads, Precision: s.Train.Precision})
	if err != nil {
		return err
	}
	defer k.Close()
	opinion, err := s.opinion(s.Document, detect.Parts{Input: in, Classes: classes})
	if err != nil {
		return err
	}
	r.samples = 1
	if n, ok := opinion.(detect.Noisy); ok {
		r.samples = float64(max(1, n.DrawNoise(s.Seed).N()))
	}
	x, d := noiseRows(batch, in), noiseRows(batch, in)
	examples := make([]uint64, batch)
	for i := range examples {
		examples[i] = uint64(i)
	}
	grads, state := nn.NewGrads(m.Params()), nn.NewOptimizerState(s.Train.Optimizer, m.Params())
	pass := m.NewPass(k, batch, 1, nn.Training)
	noise := tensor.New(batch, m.LatentDim)
	forward := func() error {
		pass.SetDraw(nn.Draw{Seed: s.Seed, Examples: examples})
		pass.Forward(x, noise)
		return nil
	}
	if r.forward, err = each(forward); err != nil {
		return err
	}
	both := func(g *nn.Grads) (float64, error) {
		pass.ParamsOnly(g != nil)
		t, err := each(func() error {
			_ = forward()
			pass.Backward(d, nil, nil, g)
			return nil
		})
		return max(t-r.forward, 0), err
	}
	if r.backRows, err = both(nil); err != nil {
		return err
	}
	if r.backward, err = both(grads); err != nil {
		return err
	}
	if r.step, err = each(func() error { grads.Zero(); state.Step(k, grads, 0); return nil }); err != nil {
		return err
	}
	few := max(1, batch/int(r.samples))
	scoring := m.NewPass(k, few, int(r.samples), nn.Inference)
	spread := tensor.New(few*int(r.samples), m.LatentDim)
	if r.score, err = each(func() error { scoring.Forward(x.Rows(0, few), spread); return nil }); err != nil {
		return err
	}
	n := float64(batch)
	r.forward, r.backward, r.backRows, r.score = r.forward/n, r.backward/n, r.backRows/n, r.score/float64(few)
	return nil
}

// count multiplies rates with rows.
func (e *Experiment) count(ctx context.Context, r rates, in tensor.Shape, classes int, whole bool) *Price {
	s, p := e.Spec, &Price{}
	rows := map[dataset.Role]float64{}
	for _, role := range dataset.Roles {
		rows[role] = float64(s.count(s.Document, e.c, role, math.MaxInt))
	}
	add := func(name string, seconds float64) {
		if t := time.Duration(seconds * float64(time.Second)).Round(10 * time.Millisecond); t > 0 {
			p.Phases = append(p.Phases, Phase{name, t})
			p.Total += t
		}
	}
	n, validation := rows[dataset.RoleTrain], rows[dataset.RoleValidation]
	add("start", startTime.Seconds())
	if options := s.Classifier.Model.Train; options != nil {
		epochs := 1.0
		if v, ok := options["epochs"].(int); ok {
			epochs = float64(v)
		}
		add("classifier", epochs*(n*r.fit+validation*r.predict))
	}
	t := s.Train
	est := t.Estimate(nil, int(n), int(validation), 0)
	epochs := float64(t.Epochs)
	perRow := r.forward + r.backward + r.gradient
	if h := t.Harden; h != nil {
		perRow = 2*perRow + float64(h.Steps)*(r.forward+r.backRows+r.gradient)
	}
	add("training", n*r.predict+epochs*(n*perRow+float64(est.Steps)*r.step+validation*(r.forward+r.predict)))
	if h := t.Harden; h != nil && est.RobustRows > 0 {
		add("val_robust", float64(est.RobustRows)*float64(est.RobustTimes)*float64(h.Robust.Steps+1)*(r.forward+r.backRows+2*r.gradient))
	}
	judge := r.score + (1+r.samples)*r.predict
	add("calibration", rows[dataset.RoleCalibration]*judge)
	if s.Threshold != nil {
		add("health", validation*judge+e.unpreparedRows(int(rows[dataset.RoleCalibration]))*r.predict)
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
	c := evaluate.CostOf(ctx, s.Evaluate, attacks, severities, int(rows[dataset.RoleTest]), in, classes)
	back := r.score * (1 + r.backRows/max(r.forward, 1e-12))
	add("evaluation", float64(c.Judged)*judge+float64(c.Asked)*r.predict+float64(c.Gradients)*r.gradient+
		float64(c.GuardAsked)*judge+float64(c.GuardGradients)*(back+(1+r.samples)*r.gradient))
	p.Left = c.Left
	return p
}
