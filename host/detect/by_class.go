package detect

import (
	"fmt"
	"math"
	"slices"
)

// ByPredictedClass is Rule.By for a threshold of each class that the classifier
// predicts.
const ByPredictedClass = "predicted_class"

// defaultMinRows is Rule.MinRows for 0.
const defaultMinRows = 30

// ClassThreshold is that of the rows which the classifier predicts as one class.
type ClassThreshold struct {
	Value float64
	N     int  // calibration scores of the class
	Rank  int  // Value is the Rank-th smallest of them; 0 if Pooled
	Own   bool // false: too few scores, and Value is that of all classes together
}

// NewClassThresholds applies a rule with By to calibration scores, sorted
// ascending, and the class predicted for each: class-conditional (Mondrian)
// conformal prediction (Vovk, Gammerman and Shafer 2005, ch. 4). Of a class with
// an own threshold an expected share of at most FPR is flagged, if its rows are
// exchangeable; Confidence makes it hold over calibration sets, class by class.
// A class with fewer than MinRows scores, or fewer than the rule needs, gets the
// threshold of all scores, whose promise is for all rows together. classes is
// the number of classes.
func NewClassThresholds(rule Rule, sorted []float64, predicted []int, classes int) (Threshold, error) {
	t, err := NewThreshold(rule, sorted)
	if err != nil || rule.By == "" {
		return t, err
	}
	if rule.By != ByPredictedClass || rule.FPR == nil {
		return t, fmt.Errorf("threshold: by %q, want %s, with fpr", rule.By, ByPredictedClass)
	}
	of, err := splitByClass(sorted, predicted, classes)
	if err != nil {
		return t, fmt.Errorf("threshold: %w", err)
	}
	least := rule.MinRows
	if least == 0 {
		least = defaultMinRows
	}
	for _, own := range of {
		c := ClassThreshold{Value: t.Value, N: len(own)}
		if len(own) >= least {
			if one, err := NewThreshold(rule, own); err == nil {
				c.Value, c.Rank, c.Own = one.Value, one.Rank, true
			}
		}
		t.ByClass = append(t.ByClass, c)
	}
	return t, nil
}

// splitByClass are the scores of each class, in the order of sorted.
func splitByClass(sorted []float64, predicted []int, classes int) ([][]float64, error) {
	if len(predicted) != len(sorted) {
		return nil, fmt.Errorf("%d calibration scores with %d predicted classes", len(sorted), len(predicted))
	}
	of := make([][]float64, classes)
	for i, c := range predicted {
		if c < 0 || c >= classes {
			return nil, fmt.Errorf("predicted class %d of %d", c, classes)
		}
		of[c] = append(of[c], sorted[i])
	}
	return of, nil
}

// Align is the score of a row predicted as class, moved so that Value is the
// threshold for every class: less the class's own threshold, plus Value. It is
// above Value if and only if score is above that of the class. Without
// thresholds by class it is score.
func (t Threshold) Align(score float64, class int) float64 {
	if t.ByClass == nil || !t.ByClass[class].Own {
		return score
	}
	own := t.ByClass[class].Value
	moved := score - own + t.Value
	if score > own { // whatever the rounding
		return max(moved, math.Nextafter(t.Value, math.Inf(1)))
	}
	return min(moved, t.Value)
}

// splitScores keeps the calibration scores by class, where thresholds are.
func (s *state) splitScores(classes int) (err error) {
	if s.Threshold == nil || s.Threshold.ByClass == nil {
		return nil
	}
	if len(s.Threshold.ByClass) != classes {
		return fmt.Errorf("%d thresholds for %d classes", len(s.Threshold.ByClass), classes)
	}
	s.byClass, err = splitByClass(s.Scores, s.Classes, classes)
	return err
}

// align are the scores moved, for the predicted classes; scores itself if there
// is nothing to move.
func (s *state) align(scores []float64, predicted []int) []float64 {
	if s.Threshold == nil || s.Threshold.ByClass == nil {
		return scores
	}
	out := make([]float64, len(scores))
	for i, v := range scores {
		out[i] = s.Threshold.Align(v, predicted[i])
	}
	return out
}

// pValue is that of a score, before Align, of a row predicted as class: among
// the calibration scores that its threshold comes from.
func (s *state) pValue(score float64, class int) float64 {
	if s.byClass != nil && s.Threshold.ByClass[class].Own {
		return PValue(s.byClass[class], score)
	}
	return PValue(s.Scores, score)
}

// sortWith sorts scores ascending, equal ones by class, and the classes along.
func sortWith(scores []float64, classes []int) {
	type one struct {
		score float64
		class int
	}
	all := make([]one, len(scores))
	for i := range all {
		all[i] = one{scores[i], classes[i]}
	}
	slices.SortFunc(all, func(a, b one) int {
		switch {
		case a.score < b.score:
			return -1
		case a.score > b.score:
			return 1
		}
		return a.class - b.class
	})
	for i, o := range all {
		scores[i], classes[i] = o.score, o.class
	}
}
