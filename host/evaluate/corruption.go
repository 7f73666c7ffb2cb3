package evaluate

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Choosy is a Corruption that not every input can have, such as one of images
// alone. lint asks it before anything is started.
type Choosy interface {
	Corruption
	// Fits is an error that says why examples of a shape, NHWC, cannot have it.
	Fits(example tensor.Shape) error
}

// Fits is what a Choosy corruption says of an example's shape; nil of others.
func Fits(c Corruption, example tensor.Shape) error {
	if choosy, ok := c.(Choosy); ok {
		return choosy.Fits(example)
	}
	return nil
}

// corrupt measures flags on one natural corruption at each of its levels.
// Flags on rows whose prediction stays are false alarms; those on rows whose
// prediction changes may be welcome.
func (e *evaluation) corrupt(ctx context.Context, c NamedCorruption) error {
	rows := e.rows(e.o.Limit)
	box, err := e.box()
	if err != nil {
		return err
	}
	shape := e.details.Shape
	x := e.o.X.Gather(rows)
	for _, level := range c.Corruption.Levels() {
		y := x.Clone()
		for k, i := range rows {
			r := rand.New(rand.NewPCG(e.o.Seed^0xc0441907, uint64(e.number(i))))
			if err := c.Corruption.Corrupt(y.Row(k), x.Row(k), shape, box, level, r); err != nil {
				return err
			}
			box.Clip(y.Row(k))
		}
		id := fmt.Sprintf("%s-%d", c.Name, level)
		res, err := e.detect(ctx, "corruption "+id, y)
		if err != nil {
			return err
		}
		e.lost(res, "rows corrupted by "+id)
		var right, corrected, flagged, quiet, loud, flips int
		for k, i := range rows {
			if res.Predicted[k] == e.o.Labels[i] {
				right++
			}
			if res.Corrected[k] == e.o.Labels[i] {
				corrected++
			}
			flip := res.Predicted[k] != e.result.Predicted[i]
			if flip {
				flips++
			}
			if res.Adversarial[k] {
				flagged++
				if flip {
					loud++
				} else {
					quiet++
				}
			}
		}
		n := len(rows)
		e.report.Corruptions = append(e.report.Corruptions, CorruptionReport{
			ID: id, Name: c.Name, Severity: level, N: n, Accuracy: share(right, n), AccuracyCorrected: share(corrected, n),
			Flagged: share(flagged, n), NHarmful: flips,
			FlaggedHarmless: ratio(quiet, n-flips), FlaggedHarmful: ratio(loud, flips),
			CI95: map[string]Interval{
				"flagged": ClopperPearson(flagged, n), "accuracy": ClopperPearson(right, n),
				"flagged_harmless": ClopperPearson(quiet, n-flips), "flagged_harmful": ClopperPearson(loud, flips),
			},
		})
	}
	return nil
}

// box is the legal range: the options', the classifier's, or that of the rows.
func (e *evaluation) box() (attack.Box, error) {
	return attack.BoxOf(e.o.Box, e.info, e.o.X)
}
