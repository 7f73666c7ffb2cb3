package detect

import (
	"context"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Calibrate sets the threshold from clean rows that were not used for anything
// else. With several scores one half of them, chosen by a permutation, gives
// each score's distribution and the other calibrates the fused statistic.
// x may be nil for a given value and a single score. After an error the
// former calibration stays.
func (d *Detector) Calibrate(ctx context.Context, x *tensor.Tensor, rule Rule) (Threshold, error) {
	t, _, err := d.CalibrateDetect(ctx, x, nil, rule, Include{})
	return t, err
}

// CalibrateDetect is Calibrate and, with the threshold that it sets, Detect of
// the same rows, which the classifier is asked about only once. The result is nil
// without rows. Options.Correct learns from their labels what correction costs;
// nil: it takes all of the classifier's answers for right.
func (d *Detector) CalibrateDetect(ctx context.Context, x *tensor.Tensor, labels []int, rule Rule, include Include) (t Threshold, r *Result, err error) {
	st := &state{}
	var order []int // of the rows; nil: as they are
	var seen [][]float64
	if x != nil && x.N() > 0 {
		if seen, r, err = d.survey(ctx, x, nil, d.o.Noise, nil, include); err != nil {
			return t, nil, fmt.Errorf("calibrate: %w", err)
		}
		raw, predicted := seen, slices.Clone(r.Predicted)
		if d.o.Fusion != NoFusion {
			order = stream(d.o.Seed, "fusion").Perm(len(predicted))
			reference, rest := halves(raw, order)
			all := predicted
			predicted = nil
			for _, row := range order[len(order)/2:] {
				predicted = append(predicted, all[row])
			}
			if st.fusion, err = NewFusion(d.o.Fusion, reference); err != nil {
				return t, nil, fmt.Errorf("calibrate: %w", err)
			}
			st.Reference, raw = st.fusion.Reference, rest
		}
		st.Scores, st.First = slices.Clone(st.fuse(raw)), slices.Clone(r.first)
		if rule.Splits() {
			st.Classes = predicted
		}
		sortWith(st.Scores, st.Classes, st.First)
	} else if d.o.Fusion != NoFusion {
		return t, nil, fmt.Errorf("calibrate: fusion %s needs calibration data", d.o.Fusion)
	}
	if t, err = NewClassThresholds(rule, st.Scores, st.Classes, d.info.NumClasses); err != nil {
		return t, nil, fmt.Errorf("calibrate: %w", err)
	}
	st.Threshold = &t
	if err := st.splitScores(d.info.NumClasses); err != nil {
		return t, nil, fmt.Errorf("calibrate: %w", err)
	}
	if r != nil {
		st.conclude(r, seen, nil, include)
	}
	switch {
	case d.o.Correct == nil || !d.rebuilds():
	case r == nil:
		return t, nil, fmt.Errorf("calibrate: detector.correct needs calibration data")
	default:
		st.Correction = st.learnCorrection(*d.o.Correct, d.info.NumClasses, r, labels, order[len(order)/2:])
		st.correct(r)
	}
	st.quorum = d.quorums(st)
	d.state.Store(st)
	return t, r, nil
}

// halves splits rows of scores by a permutation.
func halves(raw [][]float64, order []int) (a, b [][]float64) {
	half := len(order) / 2
	for _, column := range raw {
		shuffled := make([]float64, len(order))
		for i, row := range order {
			shuffled[i] = column[row]
		}
		a, b = append(a, shuffled[:half]), append(b, shuffled[half:])
	}
	return a, b
}
