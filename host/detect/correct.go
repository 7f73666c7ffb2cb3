package detect

import (
	"fmt"
	"math"
	"slices"
)

// Correct is the spec's detector.correct: when a flagged row keeps the
// classifier's answer. Without it each gets that of the second opinion.
//
// A second opinion may be wrong of rare rows that the classifier knows well, and
// correction then takes right answers away. So its answer is taken only where it
// prefers its class to the predicted one by more than it did on nearly all the
// calibration rows that it would have put wrong: conformal risk control
// (Angelopoulos et al. 2022, arXiv:2208.02814) of the share of such rows, by one margin
// for all, and by one for those predicted as one class where that is higher. Attacked
// rows of whose reconstruction the classifier is sure are corrected as ever.
//
// The share of clean rows, like the calibration rows, that correction puts wrong is
// expected to be at most Loss, or 1/(n+1) where that is more, and of those predicted as
// one class at most ClassLoss, or 1/(m+1) for its m calibration rows. It is an expectation
// over calibration sets, for thresholds by rate or of a value.
type Correct struct {
	Loss      float64 `yaml:"loss" default:"0.0025" check:">= 0, < 1" doc:"expected share of clean rows whose right answer correction may take away; with n calibration rows it cannot be held below 1/(n+1)"`
	ClassLoss float64 `yaml:"class_loss" default:"0.05" check:">= 0, < 1" doc:"the same of the rows that are predicted as any one class"`
}

// Correction is what Correct learnt from calibration rows.
type Correction struct {
	Correct
	N        int  // calibration rows
	Labelled bool // false: each answer that correction would have changed counts as harm
	// Least, by predicted class: a flagged row is corrected if the second opinion's
	// margin is above, the log-odds of its class against the predicted one; −Inf:
	// always.
	Least []float64
}

// corrects reports whether a flagged row has the second opinion's answer.
func (c *Correction) corrects(predicted int, margin float64) bool {
	return c == nil || margin > c.Least[predicted]
}

// check holds a Correction from a file against the number of classes.
func (c *Correction) check(classes int) error {
	if c == nil {
		return nil
	}
	if len(c.Least) != classes || slices.ContainsFunc(c.Least, math.IsNaN) {
		return fmt.Errorf("correction has %d margins for %d classes", len(c.Least), classes)
	}
	return nil
}

// judged is what a Correction is learnt from, one of each a calibration row.
type judged struct {
	predicted []int
	margin    []float64
	harm      []bool // correction takes a right answer away
}

// learn finds the least margins. Of n rows, in descending order of the margins of
// those put wrong, ⌊(n+1)·loss⌋ − 1 may be corrected, at least 0: that goes for all
// rows, and with ClassLoss for those of each class; the larger margin counts. A class
// with no row put wrong below the margin of all has it as well: that it has none is
// known from the same rows, so that letting it go below would put wrong up to one row in
// n+1 more for each class.
func (j judged) learn(o Correct, labelled bool, classes int) *Correction {
	c := &Correction{Correct: o, N: len(j.predicted), Labelled: labelled}
	harmful := make([][]float64, classes)
	var all []float64
	count := make([]int, classes)
	for i, p := range j.predicted {
		count[p]++
		if j.harm[i] {
			harmful[p], all = append(harmful[p], j.margin[i]), append(all, j.margin[i])
		}
	}
	together := leastMargin(all, len(j.predicted), o.Loss)
	for p, own := range harmful {
		c.Least = append(c.Least, max(together, leastMargin(own, count[p], o.ClassLoss)))
	}
	return c
}

// learnCorrection learns from rows that were surveyed and flagged; rows are those
// that the threshold comes from, if they are not all.
//
// That the flags come from the same rows takes nothing from the promise. A further row
// that is flagged lies above its threshold, so among all n+1 rows the threshold of the
// same rank is the same number, and all flags are what that says. A class's rank goes by
// the number of its rows, and is one less in the other classes where one of the n+1 is left
// out: so rows at the threshold of their class count as flagged here.
func (s *state) learnCorrection(o Correct, classes int, r *Result, labels, rows []int) *Correction {
	var j judged
	add := func(i int) {
		right := labels == nil || r.Predicted[i] == labels[i]
		flagged := r.Adversarial[i] || s.Threshold.ByClass != nil && r.Score[i] >= s.Threshold.Value
		j.predicted, j.margin = append(j.predicted, r.Predicted[i]), append(j.margin, r.margin[i])
		j.harm = append(j.harm, flagged && right && r.Reconstructed[i] != r.Predicted[i])
	}
	for _, i := range rows {
		add(i)
	}
	if rows == nil {
		for i := range r.Predicted {
			add(i)
		}
	}
	return j.learn(o, labels != nil, classes)
}

// leastMargin is the margin above which at most the share loss of n rows is
// expected to be put wrong, where the margins of those that are are harmful.
func leastMargin(harmful []float64, n int, loss float64) float64 {
	may := max(0, int(math.Floor(float64(n+1)*loss+rounding))-1)
	if len(harmful) <= may {
		return math.Inf(-1)
	}
	slices.Sort(harmful)
	return harmful[len(harmful)-1-may]
}

// logOdds is ln Q(a)/Q(b) of the mean over samples of instance i's second opinion, but for
// void copies.
func (d *Detector) logOdds(v *view, i, a, b int) float64 {
	samples := v.outR.N() / v.x.N()
	row := make([]float64, d.info.NumClasses)
	var la, lb []float64
	for s := range samples {
		if v.void(i*samples + s) {
			continue
		}
		d.read.LogP(row, v.outR.Row(i*samples+s))
		la, lb = append(la, row[a]), append(lb, row[b])
	}
	return logSum(la) - logSum(lb)
}

// logSum is ln Σ exp v.
func logSum(v []float64) float64 {
	most, sum := slices.Max(v), 0.0
	if math.IsInf(most, -1) {
		return most
	}
	for _, x := range v {
		sum += math.Exp(x - most)
	}
	return most + math.Log(sum)
}
