package detect

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The least margins by hand: of 449 rows a loss of .01 lets ⌊450·.01⌋ − 1 = 3 be put
// wrong, of a class of 399 rows or 50 a loss of .1 lets 39 or 4.
func TestLearnCorrection(t *testing.T) {
	inf := math.Inf(-1)
	for name, c := range map[string]struct {
		harm   [2]int // rows of each class that are put wrong, of margins 1, 2, …
		losses Correct
		want   []float64
	}{
		"no harm":                       {[2]int{0, 0}, Correct{.01, .1}, []float64{inf, inf}},
		"as much as may be":             {[2]int{2, 1}, Correct{.01, .1}, []float64{inf, inf}},
		"one more":                      {[2]int{4, 0}, Correct{.01, .1}, []float64{1, 1}},
		"it is the frequent class":      {[2]int{9, 0}, Correct{.01, .1}, []float64{6, 6}},
		"margins of all go by all rows": {[2]int{9, 2}, Correct{.01, .1}, []float64{6, 6}},
		"no loss at all":                {[2]int{9, 2}, Correct{0, .1}, []float64{9, 9}},
		"the rare class has its share":  {[2]int{0, 9}, Correct{.1, .1}, []float64{inf, 5}},
		"and no row of it":              {[2]int{0, 9}, Correct{.1, .01}, []float64{inf, 9}},
	} {
		var j judged
		for class, n := range []int{399, 50} {
			for i := range n {
				j.predicted = append(j.predicted, class)
				j.margin = append(j.margin, float64(i+1))
				j.harm = append(j.harm, i < c.harm[class])
			}
		}
		got := j.learn(c.losses, true, 2)
		if !slices.Equal(got.Least, c.want) || got.N != 449 || got.Correct != c.losses || !got.Labelled {
			t.Errorf("%s: %+v, want margins %v", name, got, c.want)
		}
	}
}

// Over 2,000 simulated calibration sets the mean share of new rows that correction
// puts wrong is at most the loss, of all rows and of each class, by four standard
// errors; and that of all is not far below. Always correcting puts many times as
// many wrong.
func TestRiskOfCorrection(t *testing.T) {
	const draws, n = 2000, 600
	losses := Correct{Loss: .02, ClassLoss: .04}
	shares, harmful := []float64{.8, .2}, []float64{.08, .3} // of the rows of a class
	r := rand.New(rand.NewPCG(3, 4))
	draw := func(c int) (margin float64, harm bool) {
		if r.Float64() < harmful[c] {
			return 1 + r.ExpFloat64(), true
		}
		return 4 * r.ExpFloat64(), false
	}
	var risk, square [3]float64 // of each class, and of all
	for range draws {
		var j judged
		for range n {
			c := 0
			if r.Float64() > shares[0] {
				c = 1
			}
			m, h := draw(c)
			j.predicted, j.margin, j.harm = append(j.predicted, c), append(j.margin, m), append(j.harm, h)
		}
		got, all := j.learn(losses, true, 2), 0.0
		for c, least := range got.Least {
			rate := harmful[c] * min(1, math.Exp(1-least)) // exactly, for these margins
			risk[c], square[c] = risk[c]+rate/draws, square[c]+rate*rate/draws
			all += shares[c] * rate
		}
		risk[2], square[2] = risk[2]+all/draws, square[2]+all*all/draws
	}
	for c, limit := range []float64{losses.ClassLoss, losses.ClassLoss, losses.Loss} {
		e := math.Sqrt((square[c] - risk[c]*risk[c]) / draws)
		if risk[c] > limit+4*e {
			t.Errorf("class %d: %.4f of the rows are put wrong, more than %.2f (standard error %.5f)", c, risk[c], limit, e)
		}
	}
	if always := shares[0]*harmful[0] + shares[1]*harmful[1]; risk[2] < losses.Loss/2 || always < 5*losses.Loss {
		t.Errorf("%.4f of the rows are put wrong, %.4f if all are corrected: the simulation shows nothing", risk[2], always)
	}
}

// Over 2,000 simulated calibrations on many small classes the mean share of new rows that
// correction puts wrong is at most the loss, or 1/(n+1), of all rows and of each class, by
// four standard errors: thresholds for all and by class, flags and margins are those of the
// same rows. Margins that let go of a class without harm of its own would put wrong several
// times as many.
func TestRiskOfCorrectionOfManyClasses(t *testing.T) {
	const draws, classes = 2000, 40
	const wrong = .5 // of the flagged rows, by correction
	for _, c := range []struct {
		name   string
		n      int
		losses Correct
		rule   Rule
	}{
		{"one threshold", 300, Correct{Loss: .02, ClassLoss: .9}, Rule{FPR: ptr(.2)}},
		{"fewer rows than the loss wants", 120, Correct{Loss: .0025, ClassLoss: .9}, Rule{FPR: ptr(.2)}},
		{"class by class", 300, Correct{Loss: .9, ClassLoss: .15}, Rule{FPR: ptr(.9)}},
		{"thresholds by class", 400, Correct{Loss: .02, ClassLoss: .9}, Rule{FPR: ptr(.2), By: ByPredictedClass, MinRows: 4}},
		{"class_fpr", 400, Correct{Loss: .02, ClassLoss: .9}, Rule{FPR: ptr(.2), ClassFPR: ptr(.25), MinRows: 4}},
	} {
		r := rand.New(rand.NewPCG(7, 8))
		all, square, ofClass, limitOfClass := 0., 0., 0., 0.
		for range draws {
			res := &Result{Predicted: make([]int, c.n), Reconstructed: make([]int, c.n), Corrected: make([]int, c.n), Adversarial: make([]bool, c.n), margin: make([]float64, c.n)}
			raw := make([]float64, c.n)
			for i := range raw { // a class is predicted and right, and its second opinion the next
				k := r.IntN(classes)
				res.Predicted[i], res.Reconstructed[i] = k, k
				if r.Float64() < wrong {
					res.Reconstructed[i] = (k + 1) % classes
				}
				raw[i], res.margin[i] = r.Float64(), r.ExpFloat64()
			}
			st := &state{State: State{Scores: slices.Clone(raw)}}
			if c.rule.Splits() {
				st.Classes = slices.Clone(res.Predicted)
			}
			sortWith(st.Scores, st.Classes, nil)
			threshold, err := NewClassThresholds(c.rule, st.Scores, st.Classes, classes)
			if err != nil {
				t.Fatal(err)
			}
			st.Threshold = &threshold
			if err := st.splitScores(classes); err != nil {
				t.Fatal(err)
			}
			st.conclude(res, [][]float64{raw}, nil, Include{})
			learnt := st.learnCorrection(c.losses, classes, res, nil, nil)
			sum, one, members := 0., 0., 0
			for _, k := range res.Predicted {
				if k == 0 {
					members++
				}
			}
			limitOfClass += max(c.losses.ClassLoss, 1/float64(members+1)) / draws
			for k, least := range learnt.Least { // exactly, for these scores and margins
				value := threshold.Value
				if threshold.ByClass != nil && threshold.ByClass[k].Own {
					value = threshold.ByClass[k].Value
				}
				rate := (1 - value) * wrong * min(1, math.Exp(-least))
				if sum += rate / classes; k == 0 {
					one = rate
				}
			}
			all, square, ofClass = all+sum/draws, square+sum*sum/draws, ofClass+one/draws
		}
		limit := max(c.losses.Loss, 1/float64(c.n+1))
		e := math.Sqrt((square - all*all) / draws)
		t.Logf("%s: %.5f of the rows are put wrong (standard error %.5f), %.5f may be", c.name, all, e, limit)
		if all > limit+4*e {
			t.Errorf("%s: %.5f of the rows are put wrong, more than %.5f (standard error %.5f)", c.name, all, limit, e)
		}
		if c.name != "class by class" && all < limit/3 {
			t.Errorf("%s: %.5f of the rows are put wrong of %.5f that may be: the simulation shows nothing", c.name, all, limit)
		}
		if ofClass > limitOfClass {
			t.Errorf("%s: %.5f of the rows of a class are put wrong, more than %.5f", c.name, ofClass, limitOfClass)
		}
	}
}

// Correct changes answers alone, those of flagged rows to the classifier's; what
// calibrating says of its rows is what Detect says of them, and so does a detector
// that is made of the state again, in any batch.
func TestCorrectAbstains(t *testing.T) {
	ctx := context.Background()
	x, other := inputs(1, 300), inputs(2, 200)
	kept := 0
	for name, o := range variants() {
		plain := build(t, o)
		rule := Rule{FPR: ptr(0.3)}
		if _, err := plain.Calibrate(ctx, x, rule); err != nil {
			t.Fatal(err)
		}
		o.Correct = &Correct{Loss: 0.02, ClassLoss: 0.1}
		d := build(t, o)
		_, got, err := d.CalibrateDetect(ctx, x, nil, rule, everything)
		if err != nil {
			t.Fatal(err)
		}
		want, err := d.Detect(ctx, x, everything)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the result of calibrating is not that of Detect (%v)", name, err)
		}
		a, err := plain.Detect(ctx, other, everything)
		if err != nil {
			t.Fatal(err)
		}
		b, err := d.Detect(ctx, other, everything)
		if err != nil {
			t.Fatal(err)
		}
		learnt := d.State().Correction
		if (learnt != nil) != plain.rebuilds() {
			t.Fatalf("%s: learnt %+v", name, learnt)
		}
		for i := range a.Corrected {
			if b.Corrected[i] == a.Corrected[i] {
				continue
			}
			kept++
			if b.Corrected[i] != b.Predicted[i] || !b.Adversarial[i] || b.margin[i] > learnt.Least[b.Predicted[i]] {
				t.Errorf("%s, row %d: flagged %v, predicted %d, second opinion %d by %g of %g, answer %d", name, i, b.Adversarial[i], b.Predicted[i], b.Reconstructed[i], b.margin[i], learnt.Least[b.Predicted[i]], b.Corrected[i])
			}
		}
		a.Corrected = b.Corrected
		if !reflect.DeepEqual(a, b) {
			t.Errorf("%s: correct changes more than answers", name)
		}
		o.State, o.Correct = d.State(), nil
		again := build(t, o)
		for lo := 0; lo < other.N(); lo += 7 {
			hi := min(lo+7, other.N())
			r, err := again.Detect(ctx, other.Rows(lo, hi), Include{})
			if err != nil || !slices.Equal(r.Corrected, b.Corrected[lo:hi]) {
				t.Errorf("%s: restored, rows %d to %d have other answers (%v)", name, lo, hi-1, err)
			}
		}
		if learnt != nil {
			broken := *learnt
			broken.Least = broken.Least[1:]
			o.State.Correction = &broken
			if _, err := New(ctx, o); err == nil || !strings.Contains(err.Error(), "margins for") {
				t.Errorf("%s: a class too few: %v", name, err)
			}
		}
	}
	if kept == 0 {
		t.Error("no answer was kept: the test shows nothing")
	}
	o := options()
	o.Correct = &Correct{Loss: 0.02, ClassLoss: 0.1}
	if _, err := build(t, o).Calibrate(ctx, nil, Rule{Value: ptr(1)}); err == nil || !strings.Contains(err.Error(), "needs calibration data") {
		t.Errorf("without rows: %v", err)
	}
}

// Labels tell harm from the rest: where the classifier is wrong anyway, nothing is
// lost by correcting, and more rows are.
func TestCorrectGoesByLabels(t *testing.T) {
	ctx := context.Background()
	x := inputs(1, 300)
	learn := func(labels func(r *Result) []int) *Correction {
		o := options()
		o.Correct = &Correct{}
		d := build(t, o)
		if _, err := d.Calibrate(ctx, x, Rule{FPR: ptr(0.3)}); err != nil {
			t.Fatal(err)
		}
		r, err := d.Detect(ctx, x, Include{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.CalibrateDetect(ctx, x, labels(r), Rule{FPR: ptr(0.3)}, Include{}); err != nil {
			t.Fatal(err)
		}
		return d.State().Correction
	}
	without := learn(func(*Result) []int { return nil })
	right := learn(func(r *Result) []int { return r.Predicted })
	wrong := learn(func(r *Result) []int { return r.Reconstructed })
	if !slices.Equal(without.Least, right.Least) || without.Labelled || !right.Labelled {
		t.Errorf("without labels %+v, where the classifier is always right %+v", without, right)
	}
	some := false
	for c, v := range wrong.Least {
		if !math.IsInf(v, -1) {
			t.Errorf("class %d: correction that only ever helps is held back below %g", c, v)
		}
		some = some || !math.IsInf(without.Least[c], -1)
	}
	if !some {
		t.Error("nothing is held back without labels: the test shows nothing")
	}
}

// The margin is that of the mean probability over samples, also where one class
// has none to speak of in any of them.
func TestLogOdds(t *testing.T) {
	if got, want := logSum([]float64{-1000, -1001})-logSum([]float64{-2000, -3000}), 1000+math.Log1p(math.Exp(-1)); math.Abs(got-want) > 1e-9 {
		t.Errorf("log-odds %g, want %g", got, want)
	}
	if got := logSum([]float64{math.Inf(-1)}); !math.IsInf(got, -1) {
		t.Errorf("ln of no probability is %g", got)
	}
	d := build(t, options())
	if _, err := d.Calibrate(context.Background(), inputs(1, 100), Rule{FPR: ptr(0.1)}); err != nil {
		t.Fatal(err)
	}
	r, err := d.Detect(context.Background(), inputs(2, 100), Include{ProbabilitiesReconstructed: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range r.margin {
		q := r.ProbabilitiesReconstructed
		want := math.Log(float64(q.Row(i)[r.Reconstructed[i]]) / float64(q.Row(i)[r.Predicted[i]]))
		if math.Abs(m-want) > 1e-5*(1+math.Abs(want)) {
			t.Errorf("row %d: margin %g, want %g", i, m, want)
		}
	}
}
