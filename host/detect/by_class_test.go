package detect

import (
	"context"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gonum.org/v1/gonum/stat/distuv"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// drawClasses are n scores with their classes: class c has uniform scores on
// [c, c + 1 + c), so that a threshold t of it has a known rate, and no threshold
// suits two classes.
func drawClasses(r *rand.Rand, n int, shares []float64) (scores []float64, classes []int) {
	for range n {
		c, u := 0, r.Float64()
		for u > shares[c] && c < len(shares)-1 {
			u -= shares[c]
			c++
		}
		scores, classes = append(scores, drawOf(r, c)), append(classes, c)
	}
	sortWith(scores, classes, nil)
	return scores, classes
}

func drawOf(r *rand.Rand, c int) float64 { return float64(c) + float64(1+c)*r.Float64() }

// rateOf is the share of class c above t.
func rateOf(c int, t float64) float64 {
	return min(1, max(0, 1-(t-float64(c))/float64(1+c)))
}

// Over 2,000 simulated calibration sets neither guarantee of a class with a
// threshold of its own is broken more often than chance allows, class by class
// (one-sided exact binomial test at 1 %), and the rate is not far below: a
// threshold that flagged nothing would pass the first. With one threshold for
// all, the last class is flagged many times as often as promised.
func TestCoverageByClass(t *testing.T) {
	const draws, alpha, delta = 2000, 0.1, 0.1
	shares := []float64{.7, .2, .1}
	r := rand.New(rand.NewPCG(20, 27))
	tail := func(p float64, least bool) int {
		b := distuv.Binomial{N: draws, P: p}
		k := 0
		if least { // the most that chance leaves below
			for b.CDF(float64(k)) < 0.01 {
				k++
			}
			return k
		}
		for b.Survival(float64(k)) > 0.01 {
			k++
		}
		return k
	}
	const n, minRows = 400, 15
	flagged, broken, own, pooled := make([]int, 3), make([]int, 3), make([]int, 3), make([]int, 3)
	expected := make([]float64, 3)
	for range draws {
		scores, classes := drawClasses(r, n, shares)
		marginal, err := NewClassThresholds(Rule{FPR: ptr(alpha), By: ByPredictedClass, MinRows: minRows}, scores, classes, 3)
		if err != nil {
			t.Fatal(err)
		}
		pac, err := NewClassThresholds(Rule{FPR: ptr(alpha), Confidence: ptr(1 - delta), By: ByPredictedClass, MinRows: minRows}, scores, classes, 3)
		if err != nil {
			t.Fatal(err)
		}
		for c, th := range marginal.ByClass {
			s := drawOf(r, c)
			if marginal.Align(s, c) > marginal.Value {
				flagged[c]++
			}
			if s > marginal.Value {
				pooled[c]++
			}
			if th.Own {
				own[c]++
				expected[c] += float64(th.N+1-th.Rank) / float64(th.N+1)
			}
			if pac.ByClass[c].Own && rateOf(c, pac.ByClass[c].Value) > alpha {
				broken[c]++
			}
		}
	}
	for c := range shares {
		if own[c] != draws {
			t.Fatalf("class %d has a threshold of its own in %d of %d draws", c, own[c], draws)
		}
		if limit := tail(alpha, false); flagged[c] > limit {
			t.Errorf("class %d: %d of %d clean scores flagged, more than %d", c, flagged[c], draws, limit)
		}
		if limit := tail(expected[c]/draws, true); flagged[c] < limit {
			t.Errorf("class %d: %d of %d clean scores flagged, fewer than %d", c, flagged[c], draws, limit)
		}
		if limit := tail(delta, false); broken[c] > limit {
			t.Errorf("class %d: %d of %d thresholds exceed the rate, more than %d", c, broken[c], draws, limit)
		}
	}
	if limit := tail(3*alpha, true); pooled[2] < limit {
		t.Errorf("one threshold flags %d of %d of the last class: the simulation shows nothing", pooled[2], draws)
	}
}

// Rare classes, none of which has rows enough, keep the promise together, and so
// does the whole, over 2,000 simulated calibration sets (one-sided exact binomial
// test at 1 %). With the threshold of all for the rare ones neither does: they
// score high, and all of them are flagged.
func TestCoverageOfSharedThreshold(t *testing.T) {
	const draws, alpha, n = 2000, 0.1, 400
	shares := []float64{.88, .04, .04, .04}
	r := rand.New(rand.NewPCG(31, 4))
	limit, b := 0, distuv.Binomial{N: draws, P: alpha}
	for b.Survival(float64(limit)) > 0.01 {
		limit++
	}
	test := func(share bool) (rare, all int) {
		for range draws {
			scores, classes := drawClasses(r, n, shares)
			th, err := newClassThresholds(Rule{FPR: ptr(alpha), By: ByPredictedClass}, scores, classes, 4, share)
			if err != nil {
				t.Fatal(err)
			}
			flags := func(c int) bool { return th.Align(drawOf(r, c), c) > th.Value }
			if flags(1 + r.IntN(3)) {
				rare++
			}
			if _, c := drawClasses(r, 1, shares); flags(c[0]) {
				all++
			}
		}
		return rare, all
	}
	if rare, all := test(true); rare > limit || all > limit {
		t.Errorf("%d rows of rare classes and %d of all flagged in %d draws, more than %d", rare, all, draws, limit)
	}
	if rare, all := test(false); rare <= limit || all <= limit {
		t.Errorf("with the threshold of all %d and %d are flagged: the simulation shows nothing", rare, all)
	}
}

// Classes with too few rows, fewer than min_rows or fewer than the rate needs,
// share a threshold: that of their own rows and, if these are too few as well, of
// the smallest others; in the end that of all.
func TestClassFallback(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var scores []float64
	var classes []int
	for c, n := range []int{300, 29, 30, 0, 18} {
		for range n {
			scores, classes = append(scores, drawOf(r, c)), append(classes, c)
		}
	}
	sortWith(scores, classes, nil)
	type of = string // a: alone, s: shared, p: of all
	for _, c := range []struct {
		rule Rule
		want of
	}{
		{Rule{FPR: ptr(.05), By: ByPredictedClass}, "asass"},             // 29 + 18
		{Rule{FPR: ptr(.05), By: ByPredictedClass, MinRows: 1}, "asass"}, // 18 are fewer than 19, and 29 the next
		{Rule{FPR: ptr(.05), By: ByPredictedClass, MinRows: 30}, "asass"},
		{Rule{FPR: ptr(.05), By: ByPredictedClass, MinRows: 19}, "asass"},
		{Rule{FPR: ptr(.05), By: ByPredictedClass, MinRows: 100}, "ppppp"}, // 77 are too few, and with the 300 there is no other
		{Rule{FPR: ptr(.05), By: ByPredictedClass, MinRows: 70}, "assss"},
		{Rule{FPR: ptr(.05), By: ByPredictedClass, MinRows: 301}, "ppppp"},
		{Rule{FPR: ptr(.05), Confidence: ptr(.95), By: ByPredictedClass}, "assss"}, // wants 59
	} {
		th, err := NewClassThresholds(c.rule, scores, classes, 5)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := NewThreshold(c.rule, scores)
		if err != nil || th.Value != plain.Value {
			t.Fatalf("pooled threshold %g, alone %g (%v)", th.Value, plain.Value, err)
		}
		var shared []float64
		for i, s := range scores {
			if c.want[classes[i]] == 's' {
				shared = append(shared, s)
			}
		}
		for k, got := range th.ByClass {
			want := ClassThreshold{Value: th.Value, N: got.N}
			switch c.want[k] {
			case 'a':
				one, err := NewThreshold(c.rule, together(scores, classes, []int{k}))
				if err != nil {
					t.Fatal(err)
				}
				want.Value, want.Rank, want.Own = one.Value, one.Rank, true
			case 's':
				one, err := NewThreshold(c.rule, shared)
				if err != nil {
					t.Fatal(err)
				}
				want.Value, want.Rank, want.Own, want.Shared = one.Value, one.Rank, true, true
			}
			if got != want {
				t.Errorf("%+v: class %d is %+v, want %+v", c.rule, k, got, want)
			}
		}
		if err := th.Follows(scores, classes, 5); err != nil {
			t.Errorf("%+v: %v", c.rule, err)
		}
		old, err := newClassThresholds(c.rule, scores, classes, 5, false)
		if err != nil {
			t.Fatal(err)
		}
		if err := old.Follows(scores, classes, 5); err != nil {
			t.Errorf("%+v, of before: %v", c.rule, err)
		}
	}
	if _, err := NewClassThresholds(Rule{FPR: ptr(.05), By: ByPredictedClass}, scores, classes, 4); err == nil || !strings.Contains(err.Error(), "predicted class 4 of 4") {
		t.Errorf("a class too many: %v", err)
	}
	if _, err := NewClassThresholds(Rule{FPR: ptr(.05), By: ByPredictedClass}, scores, nil, 5); err == nil || !strings.Contains(err.Error(), "with 0 predicted") {
		t.Errorf("no classes: %v", err)
	}
	if _, err := NewClassThresholds(Rule{Percentile: ptr(95), By: ByPredictedClass}, scores, classes, 5); err == nil {
		t.Error("a percentile by class is no error")
	}
}

// Over 2,000 simulated calibration sets a bound of classes keeps both promises, of all
// rows and of each class, small ones together (one-sided exact binomial test at 1 %);
// classes that need no threshold of their own have none. Without the bound the last
// classes are flagged many times as often.
func TestCoverageOfBoundedClasses(t *testing.T) {
	const draws, alpha, bound, delta, n = 2000, 0.05, 0.15, 0.1, 600
	shares := []float64{.75, .17, .04, .04} // 24 rows each of the last two, fewer than 30
	r := rand.New(rand.NewPCG(12, 30))
	limit := func(n int, p float64) int {
		k, b := 0, distuv.Binomial{N: float64(n), P: p}
		for b.Survival(float64(k)) > 0.01 {
			k++
		}
		return k
	}
	var all, second, rare, unbound, lower, broken, drawn int
	for range draws {
		scores, classes := drawClasses(r, n, shares)
		th, err := NewClassThresholds(Rule{FPR: ptr(alpha), ClassFPR: ptr(bound)}, scores, classes, 4)
		if err != nil {
			t.Fatal(err)
		}
		flags := func(c int) bool { return th.Align(drawOf(r, c), c) > th.Value }
		if _, c := drawClasses(r, 1, shares); flags(c[0]) {
			all++
		}
		if flags(1) {
			second++
		}
		c, n2, n3 := 2+r.IntN(2), th.ByClass[2].N, th.ByClass[3].N
		if n2 >= defaultMinRows != (n3 >= defaultMinRows) {
			continue // one of the two is small, and alone, so that nothing is promised of it
		}
		drawn++
		if flags(c) {
			rare++
		}
		if drawOf(r, c) > th.Value {
			unbound++
		}
		for _, one := range th.ByClass {
			if one.Value < th.Value {
				lower++
			}
		}
		if th.ByClass[0].Own {
			t.Fatalf("the class with the lowest scores has a threshold of its own: %+v", th)
		}
		pac, err := NewClassThresholds(Rule{FPR: ptr(alpha), ClassFPR: ptr(bound), Confidence: ptr(1 - delta)}, scores, classes, 4)
		if err != nil {
			t.Fatal(err)
		}
		if a, b := float64(n2), float64(n3); (a*rateOf(2, pac.ByClass[2].Value)+b*rateOf(3, pac.ByClass[3].Value))/(a+b) > bound {
			broken++
		}
	}
	for _, c := range []struct {
		what    string
		got     int
		of      int
		promise float64
	}{{"all rows", all, draws, alpha}, {"the second class", second, draws, bound}, {"the rare classes", rare, drawn, bound}, {"rates of the rare classes", broken, drawn, delta}} {
		if most := limit(c.of, c.promise); c.got > most {
			t.Errorf("%s: %d of %d, more than %d", c.what, c.got, c.of, most)
		}
	}
	if most := limit(drawn, bound); rare < most/2 || unbound < 3*most {
		t.Errorf("of rare rows %d of %d are flagged, and %d without the bound: the simulation shows nothing", rare, draws, unbound)
	}
	if lower > 0 {
		t.Errorf("%d thresholds are below that of all", lower)
	}
}

// Rules that contradict themselves are refused, by the place.
func TestBoundOfClassesIsChecked(t *testing.T) {
	for want, rule := range map[string]Rule{
		"goes with fpr only":  {Percentile: ptr(95), ClassFPR: ptr(.1)},
		"does not go with by": {FPR: ptr(.05), By: ByPredictedClass, ClassFPR: ptr(.1)},
		"is less than fpr":    {FPR: ptr(.05), ClassFPR: ptr(.01)},
	} {
		if err := rule.Validate(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "class_fpr") {
			t.Errorf("%+v: %v, want %s", rule, err, want)
		}
	}
}

// An aligned score is above the pooled threshold if and only if the score is
// above its class's, ties and rounding included, and p ≤ α says the same.
func TestAlignedScoresFlagAlike(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for trial := range 200 {
		scores, classes := drawClasses(r, 200, []float64{.5, .3, .2})
		if trial%2 == 0 {
			for i := range scores {
				scores[i] = math.Exp(math.Round(4*scores[i])) / 3 // ties, of very different size
			}
			sortWith(scores, classes, nil)
		}
		alpha := 0.02 + 0.3*r.Float64()
		rule := Rule{FPR: ptr(alpha), By: ByPredictedClass, MinRows: 40 * (trial % 3)}
		if trial%5 > 2 {
			rule.By, rule.ClassFPR = "", ptr(alpha*(1+1.5*r.Float64()))
		}
		th, err := NewClassThresholds(rule, scores, classes, 3)
		if err != nil {
			t.Fatal(err)
		}
		st := &state{State: State{Threshold: &th, Scores: scores, Classes: classes}}
		if err := st.splitScores(3); err != nil {
			t.Fatal(err)
		}
		for i, s := range scores {
			for _, s := range []float64{s, math.Nextafter(s, math.Inf(1)), math.Nextafter(s, math.Inf(-1))} {
				c := classes[i]
				flag := s > th.ByClass[c].Value
				if got := th.Align(s, c) > th.Value; got != flag {
					t.Fatalf("score %g of class %d: flagged %v by %g, aligned %v", s, c, flag, th.ByClass[c].Value, got)
				}
				n := float64(len(scores))
				if th.ByClass[c].Own {
					n = float64(len(st.byClass[c]))
				}
				if rule.ClassFPR != nil && math.Abs(st.pValue(s, c)-alpha) < rounding {
					continue // on either side, by the rounding of the scale
				}
				if small := st.pValue(s, c)*(n+1) <= alpha*(n+1)+rounding; small != flag {
					t.Fatalf("score %g of class %d: flagged %v, p %g, alpha %g", s, c, flag, st.pValue(s, c), alpha)
				}
			}
		}
	}
}

// Sorting keeps scores and classes together, in one order for equal scores.
func TestSortWith(t *testing.T) {
	s, c := []float64{3, 1, 2, 1}, []int{0, 2, 1, 1}
	sortWith(s, c, nil)
	if !slices.Equal(s, []float64{1, 1, 2, 3}) || !slices.Equal(c, []int{1, 2, 1, 0}) {
		t.Errorf("%v %v", s, c)
	}
}

// A detector with thresholds by class flags by that of the predicted class; its
// guard, for adaptive attacks, has the same scores and the same gradients as one
// with a single threshold; a state that was saved gives the same answers.
func TestDetectByClass(t *testing.T) {
	ctx := context.Background()
	for name, o := range variants() {
		d := build(t, o)
		rule := Rule{FPR: ptr(0.2), By: ByPredictedClass, MinRows: 10}
		th, err := d.Calibrate(ctx, inputs(1, 300), rule)
		if err != nil {
			t.Fatal(err)
		}
		own := 0
		for _, c := range th.ByClass {
			if c.Own {
				own++
			}
		}
		if len(th.ByClass) != testClasses || own < 2 {
			t.Fatalf("%s: %+v", name, th.ByClass)
		}
		plain := build(t, o)
		if _, err := plain.Calibrate(ctx, inputs(1, 300), Rule{FPR: ptr(0.2)}); err != nil {
			t.Fatal(err)
		}
		x := inputs(31, 60)
		r, err := d.Detect(ctx, x, everything)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := plain.Detect(ctx, x, everything)
		if err != nil {
			t.Fatal(err)
		}
		scores, err := d.Scores(ctx, x)
		if err != nil || !slices.Equal(scores, r.Score) {
			t.Errorf("%s: Scores are not those of Detect (%v)", name, err)
		}
		for i, s := range raw.Score {
			c := th.ByClass[r.Predicted[i]]
			if r.Adversarial[i] != (s > c.Value) || r.Adversarial[i] != (r.Score[i] > th.Value) {
				t.Errorf("%s, row %d: score %g, aligned %g, flagged %v, threshold of the class %+v, of all %g", name, i, s, r.Score[i], r.Adversarial[i], c, th.Value)
			}
		}
		g := d.Guard(GuardOptions{})
		outs, pull, err := g.Forward(ctx, x, OutputScore)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range r.Score {
			if outs[OutputScore].Data[i] != float32(s) {
				t.Errorf("%s, row %d: guard's score %g, detector's %g", name, i, outs[OutputScore].Data[i], s)
			}
		}
		_, pullPlain, err := plain.Guard(GuardOptions{}).Forward(ctx, x, OutputScore)
		if err != nil {
			t.Fatal(err)
		}
		if pull != nil {
			cot := map[string]*tensor.Tensor{OutputScore: tensor.New(x.N(), 1)}
			for i := range cot[OutputScore].Data {
				cot[OutputScore].Data[i] = 1
			}
			a, errA := pull(ctx, cot)
			b, errB := pullPlain(ctx, cot)
			if errA != nil || errB != nil || !slices.Equal(a.Data, b.Data) {
				t.Errorf("%s: other gradients by class (%v, %v)", name, errA, errB)
			}
		}
		o.State = d.State()
		again, err := build(t, o).Detect(ctx, x, everything)
		if err != nil || !slices.Equal(again.Score, r.Score) || !slices.Equal(again.PValue, r.PValue) || !slices.Equal(again.Adversarial, r.Adversarial) {
			t.Errorf("%s: a restored detector answers otherwise (%v)", name, err)
		}
		o.State.Classes = o.State.Classes[1:]
		if _, err := New(ctx, o); err == nil {
			t.Errorf("%s: a state with a class too few is no error", name)
		}
	}
}

// CalibrateDetect says of its rows what Detect says of them afterwards.
func TestCalibrateDetect(t *testing.T) {
	ctx := context.Background()
	for name, o := range variants() {
		for _, rule := range []Rule{{FPR: ptr(0.2)}, {FPR: ptr(0.2), By: ByPredictedClass, MinRows: 10}} {
			d := build(t, o)
			x := inputs(1, 200)
			_, got, err := d.CalibrateDetect(ctx, x, nil, rule, everything)
			if err != nil {
				t.Fatal(err)
			}
			want, err := d.Detect(ctx, x, everything)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %+v: the result of calibrating is not that of Detect", name, rule)
			}
		}
	}
	d := build(t, options())
	if _, r, err := d.CalibrateDetect(ctx, nil, nil, Rule{Value: ptr(1)}, everything); err != nil || r != nil {
		t.Errorf("without rows: %v, %v", r, err)
	}
}

// A single class with too few rows shares the threshold of the next smallest, and
// takes nothing from the others: over 2,000 simulated calibration sets the most
// frequent class keeps its promise (one-sided exact binomial test at 1 %), and the
// rows of the two theirs together.
func TestCoverageBesideASmallClass(t *testing.T) {
	const draws, alpha, n = 2000, 0.1, 400
	shares := []float64{.7, .28, .02}
	r := rand.New(rand.NewPCG(21, 28))
	limit := 0
	for b := (distuv.Binomial{N: draws, P: alpha}); b.Survival(float64(limit)) > 0.01; {
		limit++
	}
	first, two, small := 0, 0, 0
	for range draws {
		scores, classes := drawClasses(r, n, shares)
		th, err := NewClassThresholds(Rule{FPR: ptr(alpha), By: ByPredictedClass}, scores, classes, 3)
		if err != nil {
			t.Fatal(err)
		}
		if th.ByClass[0].Shared || !th.ByClass[1].Shared || !th.ByClass[2].Shared {
			t.Fatalf("%+v", th.ByClass)
		}
		flags := func(c int) int {
			if th.Align(drawOf(r, c), c) > th.Value {
				return 1
			}
			return 0
		}
		c := 1
		if r.Float64() < shares[2]/(shares[1]+shares[2]) {
			c = 2
		}
		first, two, small = first+flags(0), two+flags(c), small+flags(2)
	}
	if first > limit || two > limit {
		t.Errorf("%d of %d clean scores of the first class flagged, and %d of the two others; want at most %d", first, draws, two, limit)
	}
	if small <= limit {
		t.Errorf("%d of %d clean scores of the small class flagged: it has more than it was promised, and the simulation shows nothing", small, draws)
	}
}
