package attack

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options of a run. The zero value attacks untargeted with the attack's own
// ball inside the classifier's legal range.
type Options struct {
	Norm Norm    // "": the attack's
	Eps  float64 // 0: the attack's
	// Box is the legal range. Empty: the classifier's, else the minimum and
	// maximum of x, with a warning.
	Box Box
	// Targets are classes to reach, one per row. Nil: leave the label.
	Targets  []int
	Seed     uint64
	Queries  int // rows sent to the model per instance, in each of the runs; 0: no limit
	Batch    int // rows attacked together; 0: 100
	Restarts int // runs, each on the rows where no earlier one succeeded; 0: the attack's
	Progress func(done, total int)
	// Examples are the rows' numbers in their data set, which key their
	// randomness: rows attacked in pieces get what they would get together.
	// Nil: their positions.
	Examples []int
	// Deviations are the standard deviations of the features, for attacks whose
	// eps_unit is std.
	Deviations []float64
	// Threshold, Pool and PoolLabels are handed to adaptive attacks: see Goal.
	Threshold  float64
	Pool       *tensor.Tensor
	PoolLabels []int
	// Judge, if not nil, replaces misclassification as what counts as
	// success: adaptive attacks are judged by the detector. adv holds candidates
	// for the given rows.
	Judge func(ctx context.Context, rows []int, adv *tensor.Tensor) ([]bool, error)
	// Constraints hold every row that is judged: the runner projects what the
	// attack proposes onto the rows that are possible, and never leaves the ball
	// for it. Integers and one-hot groups move by whole steps that fit into the
	// ball, or stand still; the other columns have what is left of it. Nil: none.
	Constraints *Constraints

	scaled bool // x is in standard deviations already
}

// Adversarial are the results of a run, one entry per row.
type Adversarial struct {
	X, XAdv      *tensor.Tensor
	Y            []int // the labels; without any, the predictions
	Predicted    []int // on X
	PredictedAdv []int // on XAdv
	// Success: right before and wrong after; targeted: the target reached by
	// a row that was not there before; with a Judge, its verdict.
	Success []bool
	Norm    []float64 // of XAdv − X
	Queries []int64   // rows sent to the model
	// Gradients counts rows differentiated, ZeroGradients those of them whose
	// gradient was exactly zero: many mean masked gradients.
	Gradients, ZeroGradients []int64
	// Illegal are the rows for which the attack's last proposal, clipped to box
	// and ball, broke a constraint before it was projected; nil without
	// constraints.
	Illegal  []bool
	Ball     Norm
	Eps      float64 // +Inf: no bound
	Warnings []string
}

// Run attacks every row of x. labels may be nil: then the classifier's own
// predictions are attacked. The result does not depend on Batch if the
// classifier is batch-invariant, unless the attack draws fresh noise, which the rows of a
// batch share.
func Run(ctx context.Context, c sdk.Classifier, x *tensor.Tensor, labels []int, a Attack, o Options) (*Adversarial, error) {
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	if labels != nil && len(labels) != x.N() {
		return nil, fmt.Errorf("%d labels for %d rows", len(labels), x.N())
	}
	if o.Targets != nil && len(o.Targets) != x.N() {
		return nil, fmt.Errorf("%d targets for %d rows", len(o.Targets), x.N())
	}
	if o.Examples != nil && len(o.Examples) != x.N() {
		return nil, fmt.Errorf("%d example numbers for %d rows", len(o.Examples), x.N())
	}
	if inDeviations(a) && !o.scaled {
		return runScaled(ctx, c, x, labels, a, o)
	}
	r := &run{model: &meter{Forwarder: oracle.AsForwarder(c)}, info: info, attack: a, o: o}
	if err := r.check(x); err != nil {
		return nil, err
	}
	r.o.Batch = o.batch(info)
	n := x.N()
	r.out = &Adversarial{
		X: x, XAdv: x.Clone(), Y: make([]int, n), Predicted: make([]int, n), PredictedAdv: make([]int, n),
		Success: make([]bool, n), Norm: make([]float64, n), Queries: make([]int64, n),
		Gradients: make([]int64, n), ZeroGradients: make([]int64, n),
		Ball: r.budget.Norm, Eps: r.budget.Eps, Warnings: r.warnings,
	}
	if o.Constraints != nil {
		r.out.Illegal = make([]bool, n)
	}
	copy(r.out.Y, labels)
	for lo := 0; lo < n; lo += r.o.Batch {
		hi := min(lo+r.o.Batch, n)
		if err := r.batch(ctx, lo, hi, labels == nil); err != nil {
			return nil, err
		}
		if o.Progress != nil {
			o.Progress(hi, n)
		}
	}
	return r.out, nil
}

type run struct {
	model    *meter
	info     sdk.Info
	attack   Attack
	o        Options
	budget   Budget
	out      *Adversarial
	warnings []string
}

// check settles ball and box and refuses what cannot work.
func (r *run) check(x *tensor.Tensor) error {
	norm, eps := r.attack.Ball()
	if r.o.Norm != "" {
		norm = r.o.Norm
	}
	if r.o.Eps != 0 {
		eps = r.o.Eps
	}
	if !norm.Valid() {
		return fmt.Errorf("unknown norm %q; known: linf, l2, l1, l0", norm)
	}
	if math.IsNaN(eps) || eps <= 0 {
		return fmt.Errorf("eps is %g; want a positive number", eps)
	}
	if r.attack.Needs() == NeedsGradients && r.info.Gradient == sdk.NoGradient {
		return fmt.Errorf("the attack needs gradients, and classifier %s answers predictions only: use an attack that works from predictions or labels (\"list attack\" says which do), or give the classifier a surrogate (classifier.gradient: surrogate)", r.info.Name)
	}
	if len(r.o.Box.Lo)+len(r.o.Box.Hi)+len(r.info.Lo)+len(r.info.Hi) == 0 {
		r.warnings = append(r.warnings, "the classifier declares no legal range: the box is the minimum and maximum of the attacked rows")
	}
	box, err := BoxOf(r.o.Box, r.info, x)
	if err != nil {
		return err
	}
	box, outside := box.hold(x)
	if outside > 0 {
		r.warnings = append(r.warnings, fmt.Sprintf("%d of %d rows lie outside the legal range: the box was widened to hold them", outside, x.N()))
	}
	r.budget = Budget{Norm: norm, Eps: eps, Box: box, Queries: r.o.Queries, Seed: r.o.Seed}
	if c := r.o.Constraints; c != nil {
		if err := c.Validate(x.Stride()); err != nil {
			return err
		}
		r.budget.legal = newLegal(c, r.budget)
	}
	return nil
}

// before asks what the model says of rows lo ≤ i < hi as they are, which are their labels if it is to give them.
func (r *run) before(ctx context.Context, lo, hi int, ownLabels bool) error {
	z, err := r.predict(ctx, r.model, r.out.X.Rows(lo, hi))
	if err != nil {
		return err
	}
	for i := lo; i < hi; i++ {
		p := oracle.Argmax(z.Row(i - lo))
		r.out.Predicted[i] = p
		if ownLabels {
			r.out.Y[i] = p
		}
		if y := r.out.Y[i]; y < 0 || y >= z.Stride() {
			return fmt.Errorf("label of row %d is %d; want 0 to %d", i, y, z.Stride()-1)
		}
		if r.o.Targets != nil && (r.o.Targets[i] < 0 || r.o.Targets[i] >= z.Stride()) {
			return fmt.Errorf("target of row %d is %d; want 0 to %d", i, r.o.Targets[i], z.Stride()-1)
		}
	}
	return nil
}

// batch attacks rows lo ≤ i < hi, again those that failed while restarts last.
func (r *run) batch(ctx context.Context, lo, hi int, ownLabels bool) error {
	if err := r.before(ctx, lo, hi, ownLabels); err != nil {
		return err
	}
	repeats := r.o.Restarts
	if s, ok := r.attack.(Restarter); ok && repeats == 0 {
		repeats = s.Repeats()
	}
	rows := make([]int, 0, hi-lo)
	for i := lo; i < hi; i++ {
		rows = append(rows, i)
	}
	for k := range max(repeats, 1) {
		if err := r.try(ctx, rows, k); err != nil {
			return err
		}
		left := rows[:0:0]
		for _, i := range rows {
			if !r.out.Success[i] && r.right(i) {
				left = append(left, i)
			}
		}
		if rows = left; len(rows) == 0 {
			return nil
		}
	}
	if r.o.Judge == nil {
		return nil
	}
	return r.judge(ctx, rows, r.out.X.Gather(rows), 1) // the attacker may leave a row as it is
}

// predict asks c, the model or what the meter counts, for its outputs.
func (r *run) predict(ctx context.Context, c sdk.Classifier, x *tensor.Tensor) (*tensor.Tensor, error) {
	z, err := c.Predict(ctx, x)
	if err != nil {
		return nil, err
	}
	if err := oracle.Check(z, x.N(), r.info.NumClasses); err != nil {
		return nil, fmt.Errorf("classifier %s: %w", r.info.Name, err)
	}
	return z, nil
}

// right reports whether there is something left to reach for row i.
func (r *run) right(i int) bool {
	if r.o.Judge != nil {
		return true
	}
	if r.o.Targets != nil {
		return r.out.Predicted[i] != r.o.Targets[i]
	}
	return r.out.Predicted[i] == r.out.Y[i]
}

func (r *run) goal(rows []int) Goal {
	g := Goal{
		Labels: make([]int, len(rows)), Kind: r.info.Output, Classes: r.info.NumClasses, Targeted: r.o.Targets != nil,
		Threshold: r.o.Threshold, Pool: r.o.Pool, PoolLabels: r.o.PoolLabels,
	}
	for k, i := range rows {
		g.Labels[k] = r.out.Y[i]
		if g.Targeted {
			g.Labels[k] = r.o.Targets[i]
		}
	}
	return g
}

// try runs the attack once on the given rows; a later try replaces what an
// earlier one failed with only if it succeeds.
func (r *run) try(ctx context.Context, rows []int, restart int) error {
	x := r.out.X.Gather(rows)
	g := r.goal(rows)
	o := g.CrossEntropy()
	if c, ok := r.attack.(Chooser); ok {
		var err error
		if o, err = c.Objective(g); err != nil {
			return err
		}
	}
	b := r.budget
	b.Seed = mix(b.Seed) + uint64(restart)
	b.Rows = make([]uint64, len(rows))
	for k, i := range rows {
		b.Rows[k] = uint64(i)
		if r.o.Examples != nil {
			b.Rows[k] = uint64(r.o.Examples[i])
		}
	}
	b.tally = newTally(len(rows))
	model := sdk.Forwarder(r.model)
	if b.legal != nil {
		b.legal = b.legal.of(x)
		model = masked{r.model, b.legal.slots}
	}
	before := r.model.rows.Load()
	adv, err := r.attack.Perturb(ctx, model, x, o, b)
	if errors.Is(err, errNoGradient) {
		return fmt.Errorf("the attack needs gradients, and classifier %s gives none", r.info.Name)
	}
	if err != nil {
		return err
	}
	if adv.N() != len(rows) || adv.Stride() != x.Stride() {
		return fmt.Errorf("the attack returned %v for %v", adv.Shape, x.Shape)
	}
	r.count(rows, b.tally, r.model.rows.Load()-before)
	adv = adv.Clone() // the attack may keep its own
	for k := range rows {
		if !finite(adv.Row(k)) {
			copy(adv.Row(k), x.Row(k))
		}
		if b.legal == nil {
			b.Project(x.Row(k), adv.Row(k))
			continue
		}
		r.out.Illegal[rows[k]] = b.constrain(x.Row(k), adv.Row(k))
	}
	return r.judge(ctx, rows, adv, restart)
}

// count adds up a try's queries. What the attack sent past its probe is
// shared evenly.
func (r *run) count(rows []int, t *tally, total int64) {
	for _, q := range t.queries {
		total -= q
	}
	for k, i := range rows {
		r.out.Queries[i] += t.queries[k] + total/int64(len(rows))
		r.out.Gradients[i] += t.gradients[k]
		r.out.ZeroGradients[i] += t.zero[k]
	}
}

func (r *run) judge(ctx context.Context, rows []int, adv *tensor.Tensor, restart int) error {
	z, err := r.predict(ctx, r.model.Forwarder, adv)
	if err != nil {
		return err
	}
	ok := make([]bool, len(rows))
	for k, i := range rows {
		p := oracle.Argmax(z.Row(k))
		if r.o.Targets != nil {
			ok[k] = r.right(i) && p == r.o.Targets[i]
		} else {
			ok[k] = r.out.Predicted[i] == r.out.Y[i] && p != r.out.Y[i]
		}
	}
	if r.o.Judge != nil {
		if ok, err = r.o.Judge(ctx, rows, adv); err != nil {
			return err
		}
	}
	for k, i := range rows {
		if restart > 0 && !ok[k] {
			continue
		}
		copy(r.out.XAdv.Row(i), adv.Row(k))
		r.out.PredictedAdv[i] = oracle.Argmax(z.Row(k))
		r.out.Success[i] = ok[k]
		r.out.Norm[i] = r.budget.Norm.Distance(r.out.X.Row(i), adv.Row(k))
	}
	return nil
}

func finite(v []float32) bool {
	for _, e := range v {
		if f := float64(e); math.IsNaN(f) || math.IsInf(f, 0) {
			return false
		}
	}
	return true
}
