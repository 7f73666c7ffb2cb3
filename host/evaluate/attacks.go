package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// attacked is one attack and what the detector answered.
type attacked struct {
	rows    []int // of the test set
	adv     *attack.Adversarial
	result  *detect.Result
	success []bool // right before, wrong after
	seconds float64
}

// launch attacks the given rows. eps 0 is the attack's own.
func (e *evaluation) launch(ctx context.Context, id string, a attack.Attack, rows []int, eps float64) (*attacked, error) {
	out := &attacked{rows: rows}
	x := e.o.X.Gather(rows)
	labels, numbers := make([]int, len(rows)), make([]int, len(rows))
	for k, i := range rows {
		labels[k], numbers[k] = e.o.Labels[i], e.number(i)
	}
	o := attack.Options{
		Eps: eps, Box: e.o.Box, Seed: e.o.Seed, Batch: e.o.Batch, Threshold: math.Inf(1), Deviations: e.o.Deviations,
		Constraints: e.o.Constraints,
		Examples:    numbers, Progress: func(done, total int) { e.progress("attack "+id, done, total) },
	}
	model := e.o.Classifier
	if ad, ok := a.(attack.Adaptive); ok {
		if e.o.Guarded == nil {
			return nil, fmt.Errorf("it is adaptive, and this detector gives no gradients")
		}
		seed := e.o.Seed + 0x5ec2e7
		if o.Threshold = e.o.Threshold; attack.IsTransferred(a) {
			model, o.Threshold = e.o.Transfer(ad.FreshNoise(), seed)
		} else {
			model = e.o.Guarded(ad.FreshNoise(), seed)
		}
		if err := e.pool(ctx, &o); err != nil {
			return nil, err
		}
		o.Judge = e.judge(ad, labels)
	}
	start := time.Now()
	make := func() (*attack.Adversarial, error) { return attack.Run(ctx, model, x, labels, a, o) }
	var err error
	if e.o.Cached != nil {
		out.adv, err = e.o.Cached(id, rows, make)
	} else {
		out.adv, err = make()
	}
	if err != nil {
		return nil, err
	}
	if attack.IsTransferred(a) { // the classifier under test decides what was right before
		for k, i := range rows {
			out.adv.Predicted[k] = e.result.Predicted[i]
		}
	}
	out.seconds = time.Since(start).Seconds()
	if out.result, err = e.detect(ctx, "detect "+id, out.adv.XAdv); err != nil {
		return nil, err
	}
	for k := range rows {
		y := out.adv.Y[k]
		out.success = append(out.success, out.adv.Predicted[k] == y && out.result.Predicted[k] != y)
	}
	return out, nil
}

// pool are the outputs of clean, correctly classified test rows, which logit
// matching imitates: the first 1000, and of each class that there is a few, since rows
// may be sorted by it. There may be none.
func (e *evaluation) pool(ctx context.Context, o *attack.Options) error {
	const most, few = 1000, 20
	least, of := max(1, min(few, most/e.info.NumClasses)), make([]int, e.info.NumClasses)
	var rows []int
	for i, p := range e.result.Predicted {
		if p == e.o.Labels[i] && !e.result.Adversarial[i] && (len(rows) < most || of[p] < least) {
			rows = append(rows, i)
			o.PoolLabels = append(o.PoolLabels, p)
			of[p]++
		}
	}
	if len(rows) == 0 {
		return nil
	}
	z, err := e.o.Classifier.Predict(ctx, e.o.X.Gather(rows))
	o.Pool = z
	return err
}

// judge lets the deployed detector, with its own noise, decide what counts as
// success of an adaptive attack.
func (e *evaluation) judge(a attack.Adaptive, labels []int) func(context.Context, []int, *tensor.Tensor) ([]bool, error) {
	return func(ctx context.Context, rows []int, adv *tensor.Tensor) ([]bool, error) {
		r, err := e.o.Guard.Detect(ctx, adv, detect.Include{})
		if err != nil {
			return nil, err
		}
		ok := make([]bool, len(rows))
		for k, i := range rows {
			wrong := r.Predicted[k] != labels[i]
			if a.WantsFlag() {
				ok[k] = r.Adversarial[k] && !wrong
			} else {
				ok[k] = wrong && !r.Adversarial[k]
			}
		}
		return ok, nil
	}
}

// attack runs one attack of the list and reports it.
func (e *evaluation) attack(ctx context.Context, n NamedAttack, id string) error {
	ad, adaptive := n.Attack.(attack.Adaptive)
	limit := e.o.Limit
	if adaptive && e.o.Adaptive > 0 && (limit == 0 || limit > e.o.Adaptive) {
		limit = e.o.Adaptive
	}
	if l, ok := n.Attack.(attack.Limited); ok && l.RowLimit() > 0 && (limit == 0 || limit > l.RowLimit()) {
		limit = l.RowLimit()
	}
	t, err := e.launch(ctx, id, n.Attack, e.rows(limit), 0)
	if err != nil {
		return err
	}
	for _, w := range t.adv.Warnings {
		e.warn("%s", w)
	}
	e.lost(t.result, "rows attacked by "+id)
	rep := e.summarise(t)
	rep.ID, rep.Name, rep.Params = id, n.Name, options(n.Attack)
	set := &AttackDetails{
		ID: id, Name: n.Name, Adaptive: adaptive, Rows: t.rows, Adversarial: t.adv, Result: t.result, Success: t.success,
	}
	e.details.Attacks = append(e.details.Attacks, set)
	if !adaptive {
		set.Control = attack.IsControl(n.Attack)
		rep.Control = set.Control
		e.report.Attacks = append(e.report.Attacks, rep)
		return nil
	}
	set.FalseAlarm = ad.WantsFlag()
	out := AdaptiveReport{AttackReport: rep, FreshNoise: ad.FreshNoise()}
	evaded, norms := t.evaded(ad.WantsFlag())
	set.Evaded = evaded
	out.Evaded, out.MedianEvasionNorm, out.MedianEvasionN = ratio(count(evaded), len(t.rows)), Number(median(norms)), len(norms)
	out.CI95["evaded"] = ClopperPearson(count(evaded), len(t.rows))
	if ad.WantsFlag() {
		alarms := out.Evaded
		out.FalseAlarms, out.CI95["false_alarms"] = &alarms, out.CI95["evaded"]
	}
	e.report.Adaptive = append(e.report.Adaptive, out)
	return nil
}

// evaded says which rows evade classifier and detector, and the perturbation
// norms of the rows that were right before, +Inf for those that do not evade.
func (t *attacked) evaded(wantsFlag bool) (evaded []bool, norms []float64) {
	evaded = make([]bool, len(t.rows))
	for k := range t.rows {
		y := t.adv.Y[k]
		wrong := t.result.Predicted[k] != y
		evaded[k] = wrong && !t.result.Adversarial[k]
		if wantsFlag {
			evaded[k] = !wrong && t.result.Adversarial[k]
		}
		if t.adv.Predicted[k] != y {
			continue
		}
		if evaded[k] {
			norms = append(norms, t.adv.Norm[k])
		} else {
			norms = append(norms, math.Inf(1))
		}
	}
	return evaded, norms
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if len(v) == 0 {
		return math.NaN()
	}
	m := len(v) / 2
	if len(v)%2 == 1 || math.IsInf(v[m], 1) {
		return v[m]
	}
	return (v[m-1] + v[m]) / 2
}

// summarise computes the figures of one attack.
func (e *evaluation) summarise(t *attacked) AttackReport {
	n := len(t.rows)
	right, zero := agree(t.adv.Predicted, t.adv.Y), int64(0)
	r := AttackReport{
		Norm: string(t.adv.Ball), Eps: Number(t.adv.Eps), N: n, NSuccess: count(t.success), NIllegal: count(t.adv.Illegal), Seconds: t.seconds,
		CI95: make(map[string]Interval),
	}
	r.SuccessRate = ratio(r.NSuccess, right)
	r.CI95["success_rate"] = ClopperPearson(r.NSuccess, right)
	accuracy := func(name string, predicted []int) float64 {
		k := agree(predicted, t.adv.Y)
		r.CI95[name] = ClopperPearson(k, n)
		return share(k, n)
	}
	r.Accuracy = accuracy("accuracy", t.result.Predicted)
	r.AccuracyReconstructed = accuracy("accuracy_reconstructed", t.result.Reconstructed)
	r.AccuracyCorrected = accuracy("accuracy_corrected", t.result.Corrected)
	var norms, won, all []float64
	var source []int // of those that won
	var flaggedWon, flaggedAll int
	for k := range t.rows {
		all = append(all, t.result.Score[k])
		if t.result.Adversarial[k] {
			flaggedAll++
		}
		if t.success[k] {
			won, norms, source = append(won, t.result.Score[k]), append(norms, t.adv.Norm[k]), append(source, t.rows[k])
			if t.result.Adversarial[k] {
				flaggedWon++
			}
		}
		r.Queries += float64(t.adv.Queries[k]) / float64(n)
		r.Gradients += float64(t.adv.Gradients[k]) / float64(n)
		zero += t.adv.ZeroGradients[k]
	}
	r.MedianNorm = Number(median(norms))
	r.ZeroShare = Number(float64(zero) / (r.Gradients * float64(n))) // NaN if none was asked for
	r.Detection = e.detection(won, source, flaggedWon, r.CI95)
	r.All = AllReport{N: n, CI95: make(map[string]Interval)}
	r.All.Detection = e.detection(all, t.rows, flaggedAll, r.All.CI95)
	return r
}

// detection judges positives, made from the clean rows source, against all clean rows.
func (e *evaluation) detection(pos []float64, source []int, flagged int, ci map[string]Interval) Detection {
	neg := e.result.Score
	f := Judge(neg, pos)
	d := Detection{
		Detected: ratio(flagged, len(pos)), AUC: Number(f.AUC), PRAUC: Number(f.PRAUC),
		TPRAtFPR: make(map[string]Number), FPRAtTPR5: Number(f.FPR95),
	}
	for k, key := range rateKeys {
		d.TPRAtFPR[key] = Number(f.TPR[k])
	}
	Bootstrap(neg, pos, source, e.o.Bootstrap, e.o.Seed).ci(ci)
	ci["detected"] = ClopperPearson(flagged, len(pos))
	return d
}
