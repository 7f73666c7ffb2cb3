package report

import (
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// At the detector's own threshold the points of the slider are the figures of the
// report; elsewhere rates are counted, and fall as the threshold rises.
func TestOperating(t *testing.T) {
	r, d := evaluation(t)
	o := operate(d, plotted(d))
	if o == nil || len(o.Points.At) < 100 {
		t.Fatalf("points %+v", o)
	}
	own := o.Points.At[o.Points.Own]
	if own.Threshold != d.Threshold || own.FPR != r.Clean.FPR {
		t.Errorf("the detector's point is %+v, want threshold %v, false alarms %v", own, d.Threshold, r.Clean.FPR)
	}
	for k, id := range o.Points.Attacks {
		i := slices.IndexFunc(r.Attacks, func(a evaluate.AttackReport) bool { return a.ID == id })
		if own.Detected[k] != float64(r.Attacks[i].Detected) {
			t.Errorf("%s: %v detected, the report says %v", id, own.Detected[k], r.Attacks[i].Detected)
		}
	}
	for i, p := range o.Points.At[1:] {
		if q := o.Points.At[i]; p.Threshold <= q.Threshold || p.FPR > q.FPR || p.Detected[0] > q.Detected[0] {
			t.Errorf("%+v after %+v", p, q)
		}
	}
	var rates []float64
	for _, row := range o.Rows {
		if !row.Own {
			rates = append(rates, row.FPR)
		}
	}
	// Of 300 rows with scores of their own, 1 per mille cannot be had.
	if want := []float64{.01, .02, .05, .1, .2}; !slices.Equal(rates, want) {
		t.Errorf("rates of the table: %v, want %v", rates, want)
	}
	data := regexp.MustCompile(`(?s)<script type="application/json" id="points">(.*?)</script>`).FindStringSubmatch(render(t, r, d))
	var points operatingPoints
	if err := json.Unmarshal([]byte(data[1]), &points); err != nil || points.Own != o.Points.Own || len(points.At) != len(o.Points.At) {
		t.Errorf("the page's points: %v", err)
	}
}

// Scores that are not finite are no thresholds, and infinite ones are flagged by any.
func TestOperatingNotFinite(t *testing.T) {
	d := &evaluate.Details{Threshold: 2, Clean: []float64{1, math.Inf(1), 3, math.NaN()}}
	o := operate(d, nil)
	if got := o.Points.At; len(got) != 3 || got[0].FPR != .5 || got[1].FPR != .5 || got[2].FPR != .25 || o.Points.Own != 1 {
		t.Errorf("points %+v", o.Points)
	}
	if operate(&evaluate.Details{Threshold: 2, Clean: []float64{math.Inf(1)}}, nil) != nil || operate(&evaluate.Details{Threshold: math.NaN(), Clean: []float64{1}}, nil) != nil {
		t.Error("points without a finite score or threshold")
	}
}

// The figures by class, by hand.
func TestClasses(t *testing.T) {
	d := &evaluate.Details{
		Labels: []int{0, 0, 1, 1}, ClassNames: []string{"cat"},
		CleanResult: &detect.Result{Predicted: []int{0, 1, 1, 1}, Corrected: []int{0, 0, 1, 0}, Adversarial: []bool{false, true, false, true}},
		Attacks: []*evaluate.AttackDetails{
			{ID: "mine", Rows: []int{0, 2, 3}, Success: []bool{true, true, true}, Result: &detect.Result{Adversarial: []bool{true, false, true}}},
			{ID: "control", Control: true},
		},
	}
	got, shown := classesData(&Page{Report: &evaluate.Report{Classifier: evaluate.ClassifierReport{Classes: 3}}, Details: d})
	table := got.(classTable)
	if !shown || !slices.Equal(table.Attacks, []string{"mine"}) || len(table.Rows) != 3 {
		t.Fatalf("%+v", table)
	}
	value := func(v *evaluate.Number) float64 {
		if v == nil {
			return -1
		}
		return float64(*v)
	}
	for y, want := range [][]float64{{2, .5, 1, .5, 1, 1}, {2, 1, .5, .5, 1, .5}, {0, -1, -1, -1, -1, -1}} {
		row := table.Rows[y]
		got := []float64{float64(row.N), value(row.Accuracy), value(row.Corrected), value(row.Flagged), value(row.Attacks[0].Success), value(row.Attacks[0].Detected)}
		if !slices.Equal(got, want) {
			t.Errorf("class %s: %v, want %v", row.Name, got, want)
		}
	}
	if table.Rows[0].Name != "cat" || table.Rows[2].Name != "class 2" {
		t.Errorf("names %s, %s", table.Rows[0].Name, table.Rows[2].Name)
	}
}

// tabular is one attacked row of three columns.
func tabular() *evaluate.Details {
	return &evaluate.Details{
		X: tensor.From([]float32{0, 0, 5, 2, 4, 5}, 2, 3), Shape: tensor.Shape{3}, Features: []string{"age", "<income>"},
		Attacks: []*evaluate.AttackDetails{{ID: "pgd", Examples: []evaluate.Example{{
			Row: 7, Original: []float32{0, 4, 5}, Adversarial: []float32{-1, 5, 5}, Label: 0, Predicted: 0, PredictedAdv: 1, FlaggedAdv: true,
		}}}},
	}
}

// What an attack moved is told by column, in the user's units, largest first.
func TestMoves(t *testing.T) {
	d := tabular()
	undo := func(x *tensor.Tensor) (*tensor.Tensor, error) {
		y := x.Clone()
		for i := range y.Data {
			y.Data[i] *= 10
		}
		return y, nil
	}
	got, shown := movesData(&Page{Report: &evaluate.Report{}, Details: d, Options: Options{Undo: undo}})
	page := got.(movesPage)
	if !shown || !page.Raw || len(page.Groups) != 1 || len(page.Groups[0].Rows) != 1 {
		t.Fatalf("%+v", page)
	}
	row := page.Groups[0].Rows[0]
	// The standard deviations are 1 and 2; the third column does not vary, nor move.
	want := []move{{"age", 0, -10, -1, 100}, {"<income>", 40, 50, .5, 50}}
	if !slices.Equal(row.Moves, want) || row.Row != 7 || row.Verdict != "detected and corrected" {
		t.Errorf("%+v, want %+v", row, want)
	}
	for _, broken := range []func(*tensor.Tensor) (*tensor.Tensor, error){
		func(*tensor.Tensor) (*tensor.Tensor, error) { return nil, errors.New("cannot be undone") },
		func(x *tensor.Tensor) (*tensor.Tensor, error) { return tensor.New(2, 9), nil },
	} {
		got, _ := movesData(&Page{Report: &evaluate.Report{}, Details: d, Options: Options{Undo: broken}})
		if page := got.(movesPage); page.Raw || page.Groups[0].Rows[0].Moves[1].To != 5 {
			t.Errorf("without a way back: %+v", page)
		}
	}
	d.Shape, d.X = tensor.Shape{1, 3, 1}, d.X.Clone()
	if _, shown := movesData(&Page{Report: &evaluate.Report{}, Details: d}); shown {
		t.Error("the features of an image are listed")
	}
}

// A false-alarm attack succeeds where a row is flagged: it is not said to be detected. Nor is an attack that
// failed, and none is said to be corrected whose answer the detector left.
func TestOutcome(t *testing.T) {
	for want, got := range map[string][2]any{
		"detected and corrected": {false, evaluate.Example{FlaggedAdv: true, PredictedAdv: 1}},
		"detected":               {false, evaluate.Example{FlaggedAdv: true, PredictedAdv: 1, CorrectedAdv: 1}},
		"attack failed, flagged": {false, evaluate.Example{FlaggedAdv: true, ReconstructedAdv: 1}},
		"false alarm":            {true, evaluate.Example{FlaggedAdv: true, ReconstructedAdv: 1}},
		"attack failed":          {true, evaluate.Example{}},
		"not detected":           {false, evaluate.Example{PredictedAdv: 1}},
	} {
		if words, _ := outcome(&evaluate.AttackDetails{FalseAlarm: got[0].(bool)}, got[1].(evaluate.Example)); words != want {
			t.Errorf("%q, want %q", words, want)
		}
	}
}

// What was not run is not said to have been, nor the other way round.
func TestVerdictSaysWhatWasRun(t *testing.T) {
	union := &evaluate.UnionReport{N: 10, Evaded: .1}
	tried := evaluate.AttackReport{ID: "pgd", N: 10}
	won := evaluate.AttackReport{ID: "pgd", N: 10, NSuccess: 5, Detection: evaluate.Detection{Detected: 1}}
	alarm := evaluate.AdaptiveReport{AttackReport: evaluate.AttackReport{ID: "false_alarm", N: 10}}
	for want, r := range map[string]*evaluate.Report{
		"No attack on the classifier alone was run.":           {AdaptiveUnion: union, Attacks: []evaluate.AttackReport{{Control: true}}},
		"No attack on the classifier alone succeeded.":         {AdaptiveUnion: union, Attacks: []evaluate.AttackReport{tried}},
		"No adaptive attack was run. Expect":                   {Attacks: []evaluate.AttackReport{won}},
		"No attack that is to evade the detector was run. Exp": {Attacks: []evaluate.AttackReport{won}, Adaptive: []evaluate.AdaptiveReport{alarm}},
	} {
		if said := strings.Join(judge(r).Sentences, " "); !strings.Contains(said, want) {
			t.Errorf("%q, want %q", said, want)
		}
	}
}

// Names that users chose are texts on the page, in data for the script too.
func TestNamesAreTexts(t *testing.T) {
	r, d := evaluation(t)
	const bad = `</script><script>alert(1)</script>`
	for k := range d.Attacks {
		d.Attacks[k].ID += bad
		r.Attacks[k].ID += bad
	}
	d.Features = []string{bad}
	d.ClassNames = []string{bad}
	if text := render(t, r, d); strings.Contains(text, "<script>alert") {
		t.Error("a name is a script")
	}
}
