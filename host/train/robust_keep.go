package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// prepareProof has validation after an epoch look at what the robust share needs, if it is
// measured then.
func (r *loop) prepareProof(epoch int) {
	if p, ok := r.l.(prover); ok {
		p.prepare(p.due(epoch))
	}
}

// prove adds the robust share to the record of an epoch that is measured, and says what
// there is to warn of.
func (r *loop) prove(ctx context.Context, record *Record) (warning string, err error) {
	p, ok := r.l.(prover)
	if !ok || !p.due(record.Epoch) {
		return "", nil
	}
	v, err := p.robust(ctx)
	if errors.Is(err, errRebuilt) {
		return "", fmt.Errorf("epoch %d, attacked validation rows: %w: lower the learning rate or set train.clip_norm", record.Epoch, err)
	} else if err != nil {
		return "", fmt.Errorf("epoch %d, attacked validation rows: %w", record.Epoch, err)
	}
	record.Metrics = append(record.Metrics, Value{NameRobust, v})
	history := append(slices.Clone(r.p.History), *record)
	before, now := parted(history, p.proves())
	if before == nil || now.Epoch != record.Epoch {
		return "", nil
	}
	if b, _ := parted(r.p.History, p.proves()); b != nil && b.Epoch == before.Epoch {
		return "", nil // it was told
	}
	return partedText(*before, *now), nil
}

// robustError is the standard error of a share of n rows, at least that of one row.
func robustError(share float64, n int) float64 {
	return math.Sqrt(max(share*(1-share), 1/float64(n)) / float64(n))
}

// parted finds the last measured epoch that, as the one before it, is less robust than the best until
// then, by more than chance explains and by a tenth: before is that one. Of few rows the
// threshold moves too, and a single epoch says little. nil: there is none.
func parted(history []Record, rows int) (before, after *Record) {
	best, behind := -1, 0
	for i := range history {
		v, ok := history[i].Get(NameRobust)
		if !ok {
			continue
		}
		if best < 0 {
			best = i
			continue
		}
		was, _ := history[best].Get(NameRobust)
		if was-v > max(.1, 3*math.Hypot(robustError(was, rows), robustError(v, rows))) {
			if behind++; behind > 1 {
				before, after = &history[best], &history[i]
			}
			continue
		}
		if behind = 0; v > was {
			best = i
		}
	}
	return before, after
}

// ownHolds reports whether the training's own figures show nothing of the fall: its loss,
// or the clean rows whose reconstructions keep the class.
func ownHolds(before, after Record) bool {
	l0, _ := before.Get("loss")
	l1, _ := after.Get("loss")
	a0, ok := before.Get("val_" + NameAccuracy)
	a1, _ := after.Get("val_" + NameAccuracy)
	return l1 <= l0 || ok && a1 >= a0-.01
}

func partedText(before, after Record) string {
	v0, _ := before.Get(NameRobust)
	v1, _ := after.Get(NameRobust)
	text := fmt.Sprintf("%s fell from %.2f in epoch %d to %.2f in epoch %d", NameRobust, v0, before.Epoch, v1, after.Epoch)
	if ownHolds(before, after) {
		l0, _ := before.Get("loss")
		l1, _ := after.Get("loss")
		text += fmt.Sprintf(" while the training's own figures hold (loss %.3g, then %.3g): clean and robust figures part ways, its attack no longer finds what a stronger one does (catastrophic overfitting)", l0, l1)
	}
	return text + ": more train.harden.steps, a smaller train.harden.eps or a lower learning rate"
}

// keep decides, without early stopping, whether the weights of an epoch that was measured
// are those to keep: of the last such epoch whose robust share is not behind the best one's by more than its
// standard error (the rule of Breiman et al. 1984). Later epochs have had the lower
// learning rate, and between shares that chance explains nothing should be chosen.
func (r *loop) keep(v float64, rows int) bool {
	if r.p.BestEpoch == 0 || v > r.p.Best {
		r.p.Best = v
	}
	return v >= r.p.Best-robustError(r.p.Best, rows)
}

// keeps reports whether the epoch to keep is chosen by its robust share.
func (r *loop) keeps() bool {
	p, ok := r.l.(prover)
	return ok && p.proves() > 0 && r.o.EarlyStopping == nil && r.o.Harden.Keep == "robust"
}

// watch says what early stopping watches where the options do not.
func (r *loop) watch() {
	if e := r.o.EarlyStopping; e != nil && e.Monitor == "" {
		chosen := *e
		chosen.Monitor = "val_loss"
		if p, ok := r.l.(prover); ok && p.proves() > 0 {
			chosen.Monitor = NameRobust
		}
		r.o.EarlyStopping = &chosen
	}
}

// watched are the metrics that there will be.
func (r *loop) watched() []string {
	known := slices.Clone(r.names)
	if r.o.Validation != nil {
		for _, n := range r.names {
			known = append(known, "val_"+n)
		}
	}
	if p, ok := r.l.(prover); ok && p.proves() > 0 {
		known = append(known, NameRobust)
	}
	return known
}

// Robustness is what a hardened training says of itself.
type Robustness struct {
	Rows, Steps int     // of the attack
	Share       float64 // val_robust of the weights that were kept
	Epoch       int     // whose weights they are
	Epochs      int     // that were made
	Last        float64 // val_robust of the last epoch that was measured: the last of all, unless early stopping ended the training by another metric
	// Best and BestEpoch are the largest share.
	Best      float64
	BestEpoch int
	// Parted says that the last epoch is far behind: clean and robust figures parted ways.
	Parted bool
}

// robustness sums a history up, with the kept weights in place; nil: nothing was measured.
func (r *loop) robustness(ctx context.Context, kept int) (*Robustness, error) {
	p, ok := r.l.(prover)
	if !ok || p.proves() == 0 || len(r.p.History) == 0 {
		return nil, nil
	}
	out := &Robustness{Rows: p.proves(), Steps: r.o.Harden.Robust.Steps, Epoch: kept, Epochs: len(r.p.History)}
	if kept == 0 {
		out.Epoch = out.Epochs
	}
	out.Best = -1
	known, last := false, 0
	for _, rec := range r.p.History {
		v, ok := rec.Get(NameRobust)
		if !ok {
			continue
		}
		if rec.Epoch == out.Epoch {
			out.Share, known = v, true
		}
		if v > out.Best {
			out.Best, out.BestEpoch = v, rec.Epoch
		}
		out.Last, last = v, rec.Epoch
	}
	before, after := parted(r.p.History, out.Rows)
	out.Parted = before != nil && after.Epoch == last
	if !known { // another metric chose an epoch in between
		p.prepare(true)
		if err := r.l.validate(ctx, r.values); err != nil {
			return nil, fmt.Errorf("validation of the weights of epoch %d: %w", out.Epoch, err)
		}
		v, err := p.robust(ctx)
		if err != nil {
			return nil, fmt.Errorf("attacked validation rows, weights of epoch %d: %w", out.Epoch, err)
		}
		if out.Share = v; v > out.Best {
			out.Best, out.BestEpoch = v, out.Epoch
		}
	}
	return out, nil
}
