package detect

import (
	"cmp"
	"errors"
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
	N     int // calibration scores of the class
	Rank  int // Value is the Rank-th smallest of them, or of those of all Shared classes; 0 if not Own
	// Own is false if Value is that of all classes together: too few scores even with
	// those of other such classes or, by ClassFPR, no need of another.
	Own bool
	// Shared: too few scores, and Value is that of all Shared classes together.
	Shared bool
}

// NewClassThresholds applies a rule to calibration scores, sorted ascending, and,
// where it splits, the class predicted for each: class-conditional (Mondrian)
// conformal prediction (Vovk, Gammerman and Shafer 2005, ch. 4). Of a class with
// an own threshold an expected share of at most FPR is flagged by By, of ClassFPR
// by that, if its rows are exchangeable; Confidence makes it hold over calibration
// sets, class by class.
//
// Classes with fewer than MinRows scores, or fewer than the rule needs, share a
// threshold, whose promise is for their rows together; if these are too few as
// well, the smallest of the other classes joins them, until they are enough. So
// each row is in a group with the promise, and all rows have it together. The
// threshold of all scores would not do for the few: its promise counts on the rows
// of other classes, which no longer have it.
//
// By ClassFPR the threshold of all stands, and so does the promise of FPR for all rows
// together; a class has its own, or small ones have one together, only where ClassFPR
// asks for a higher one. Small ones that are too few together keep that of all, and nothing
// is promised of them alone.
//
// classes is the number of classes.
func NewClassThresholds(rule Rule, sorted []float64, predicted []int, classes int) (Threshold, error) {
	return newClassThresholds(rule, sorted, predicted, classes, true)
}

// newClassThresholds leaves small classes with the threshold of all, unless they share.
func newClassThresholds(rule Rule, sorted []float64, predicted []int, classes int, share bool) (Threshold, error) {
	t, err := NewThreshold(rule, sorted)
	if err != nil || !rule.Splits() {
		return t, err
	}
	if err := rule.Validate(); err != nil {
		return t, fmt.Errorf("threshold: %w", err)
	}
	if rule.By != "" && rule.By != ByPredictedClass {
		return t, fmt.Errorf("threshold: by %q, want %s", rule.By, ByPredictedClass)
	}
	of, err := splitByClass(sorted, predicted, classes)
	if err != nil {
		return t, fmt.Errorf("threshold: %w", err)
	}
	if rule.ClassFPR != nil {
		t.ByClass = rule.bounded(t.Value, sorted, predicted, of)
		return t, nil
	}
	var alone, small []int
	t.ByClass = make([]ClassThreshold, classes)
	for c, own := range of {
		t.ByClass[c] = ClassThreshold{Value: t.Value, N: len(own)}
		if one, ok := rule.enough(own); ok {
			t.ByClass[c] = ClassThreshold{Value: one.Value, N: len(own), Rank: one.Rank, Own: true}
			alone = append(alone, c)
		} else {
			small = append(small, c)
		}
	}
	if !share || len(small) == 0 {
		return t, nil
	}
	slices.SortStableFunc(alone, func(a, b int) int { return len(of[a]) - len(of[b]) })
	for ; len(alone) > 0; alone = alone[1:] {
		if one, ok := rule.enough(together(sorted, predicted, small)); ok {
			for _, c := range small {
				t.ByClass[c] = ClassThreshold{Value: one.Value, N: len(of[c]), Rank: one.Rank, Own: true, Shared: true}
			}
			return t, nil
		}
		small = append(small, alone[0])
	}
	for _, c := range small { // which are all
		t.ByClass[c] = ClassThreshold{Value: t.Value, N: len(of[c])}
	}
	return t, nil
}

// bounded are the thresholds by class under ClassFPR, none below all, that of all
// classes; of are the scores by class.
func (r Rule) bounded(all float64, sorted []float64, predicted []int, of [][]float64) []ClassThreshold {
	r.FPR = r.ClassFPR
	out := make([]ClassThreshold, len(of))
	var small []int
	for c, own := range of {
		out[c] = ClassThreshold{Value: all, N: len(own)}
		if one, ok := r.enough(own); !ok {
			small = append(small, c)
		} else if one.Value > all {
			out[c].Value, out[c].Rank, out[c].Own = one.Value, one.Rank, true
		}
	}
	if one, ok := r.enough(together(sorted, predicted, small)); ok && one.Value > all {
		for _, c := range small {
			out[c] = ClassThreshold{Value: one.Value, N: len(of[c]), Rank: one.Rank, Own: true, Shared: true}
		}
	}
	return out
}

// enough is the threshold of the scores of a class, or of some, if they are not too few.
func (r Rule) enough(sorted []float64) (Threshold, bool) {
	least := r.MinRows
	if least == 0 {
		least = defaultMinRows
	}
	if len(sorted) < least {
		return Threshold{}, false
	}
	t, err := NewThreshold(r, sorted)
	return t, err == nil
}

// together are the scores of some classes, in the order of sorted.
func together(sorted []float64, predicted, classes []int) []float64 {
	var out []float64
	for i, s := range sorted {
		if slices.Contains(classes, predicted[i]) {
			out = append(out, s)
		}
	}
	return out
}

// Follows reports by an error that t is not what its rule makes of calibration
// scores, sorted ascending, and, with By, the classes predicted for them. Small
// classes may have the threshold of all, as they had before they shared one.
func (t Threshold) Follows(sorted []float64, predicted []int, classes int) error {
	again, err := NewClassThresholds(t.Rule, sorted, predicted, classes)
	if err != nil {
		return err
	}
	if again.Value != t.Value {
		return fmt.Errorf("the threshold %g does not follow from the calibration, which gives %g", t.Value, again.Value)
	}
	if slices.Equal(again.ByClass, t.ByClass) {
		return nil
	}
	if again, err = newClassThresholds(t.Rule, sorted, predicted, classes, false); err == nil && slices.Equal(again.ByClass, t.ByClass) {
		return nil
	}
	return errors.New("the thresholds by class do not follow from the calibration")
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

// splitScores keeps the calibration scores that each class's threshold comes from,
// where thresholds are by class.
func (s *state) splitScores(classes int) (err error) {
	if s.Threshold == nil || s.Threshold.ByClass == nil {
		return nil
	}
	if len(s.Threshold.ByClass) != classes {
		return fmt.Errorf("%d thresholds for %d classes", len(s.Threshold.ByClass), classes)
	}
	if s.byClass, err = splitByClass(s.Scores, s.Classes, classes); err != nil {
		return err
	}
	var shared []int
	for c, t := range s.Threshold.ByClass {
		if t.Shared {
			shared = append(shared, c)
		}
	}
	all := together(s.Scores, s.Classes, shared)
	for _, c := range shared {
		s.byClass[c] = all
	}
	return nil
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
// the calibration scores that its threshold comes from. By ClassFPR it is the
// larger of that among all scores and that among the class's, scaled so that
// ClassFPR becomes FPR: at most FPR if and only if the row is flagged.
func (s *state) pValue(score float64, class int) float64 {
	if s.byClass == nil || !s.Threshold.ByClass[class].Own {
		return PValue(s.Scores, score)
	}
	p, rule := PValue(s.byClass[class], score), s.Threshold.Rule
	if rule.ClassFPR != nil {
		p = max(PValue(s.Scores, score), *rule.FPR*(p / *rule.ClassFPR))
	}
	return p
}

// sortWith sorts scores ascending, equal ones by class, then by first, and along with
// them the classes and first, each of which may be nil.
func sortWith(scores []float64, classes []int, first []float64) {
	type one struct {
		score, first float64
		class        int
	}
	all := make([]one, len(scores))
	for i := range all {
		all[i].score = scores[i]
		if classes != nil {
			all[i].class = classes[i]
		}
		if first != nil {
			all[i].first = first[i]
		}
	}
	slices.SortFunc(all, func(a, b one) int {
		return cmp.Or(cmp.Compare(a.score, b.score), cmp.Compare(a.class, b.class), cmp.Compare(a.first, b.first))
	})
	for i, o := range all {
		scores[i] = o.score
		if classes != nil {
			classes[i] = o.class
		}
		if first != nil {
			first[i] = o.first
		}
	}
}
