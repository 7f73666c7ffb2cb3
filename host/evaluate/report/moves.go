package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

//go:embed moves.html
var movesHTML string

// movesPage are attacked rows that are no images, feature by feature.
type movesPage struct {
	Groups []movesGroup
	Raw    bool // values are in the units of the user's files
}

// movesGroup are the examples of one attack.
type movesGroup struct {
	ID   string
	Rows []movedRow
}

// movedRow is one example.
type movedRow struct {
	Row                            int
	Label, Predicted, PredictedAdv string
	Score, ScoreAdv                float64
	Verdict, Class                 string
	Moves                          []move
	Rest                           int // features that moved less
}

// move is one feature.
type move struct {
	Name     string
	From, To float64
	Change   float64 // in standard deviations of the clean rows, with its sign
	Width    float64 // of the largest, in per cent
}

// mostMoves is how many features of an example are shown.
const mostMoves = 8

// movesData shows the examples of rows that are no images.
func movesData(p *Page) (any, bool) {
	d := p.Details
	if drawable(d.Shape) || d.X == nil {
		return nil, false
	}
	std := attack.Deviations(d.X)
	page := movesPage{Raw: p.Options.Undo != nil}
	for _, a := range d.Attacks {
		g := movesGroup{ID: a.ID}
		for _, e := range a.Examples {
			from, to := e.Original, e.Adversarial
			if page.Raw {
				if from, to, page.Raw = undone(p.Options.Undo, e, d.Shape); !page.Raw {
					return movesData(&Page{p.Report, d, Options{}})
				}
			}
			g.Rows = append(g.Rows, movedOf(a, e, d, std, from, to))
		}
		if len(g.Rows) > 0 {
			page.Groups = append(page.Groups, g)
		}
	}
	return page, len(page.Groups) > 0
}

// undone are the two rows of an example in the units of the user's files, if they
// have as many features there.
func undone(undo func(*tensor.Tensor) (*tensor.Tensor, error), e evaluate.Example, shape tensor.Shape) (from, to []float32, ok bool) {
	x := tensor.Batch(2, shape)
	copy(x.Row(0), e.Original)
	copy(x.Row(1), e.Adversarial)
	raw, err := undo(x)
	if err != nil || raw.Stride() != x.Stride() {
		return nil, nil, false
	}
	return raw.Row(0), raw.Row(1), true
}

func movedOf(a *evaluate.AttackDetails, e evaluate.Example, d *evaluate.Details, std []float64, from, to []float32) movedRow {
	r := movedRow{Row: e.Row, Label: className(d, e.Label), Predicted: className(d, e.Predicted), PredictedAdv: className(d, e.PredictedAdv), Score: e.Score, ScoreAdv: e.ScoreAdv}
	r.Verdict, r.Class = outcome(a, e)
	for j, v := range e.Original {
		if change := float64(e.Adversarial[j]) - float64(v); change != 0 {
			m := move{Name: featureName(d, j), From: float64(from[j]), To: float64(to[j]), Change: math.NaN()}
			if std[j] > 0 {
				m.Change = change / std[j]
			}
			r.Moves = append(r.Moves, m)
		}
	}
	size := func(m move) float64 {
		if math.IsNaN(m.Change) { // of a column that never varies, any change is a large one
			return math.Inf(1)
		}
		return math.Abs(m.Change)
	}
	slices.SortStableFunc(r.Moves, func(a, b move) int { return cmp.Compare(size(b), size(a)) })
	r.Rest = max(0, len(r.Moves)-mostMoves)
	r.Moves = r.Moves[:len(r.Moves)-r.Rest]
	largest := 1e-12
	for _, m := range r.Moves {
		if !math.IsNaN(m.Change) {
			largest = max(largest, math.Abs(m.Change))
		}
	}
	for j, m := range r.Moves {
		if r.Moves[j].Width = 100; !math.IsNaN(m.Change) {
			r.Moves[j].Width *= math.Abs(m.Change) / largest
		}
	}
	return r
}

// featureName is what a feature is called.
func featureName(d *evaluate.Details, j int) string {
	if j < len(d.Features) {
		return d.Features[j]
	}
	return fmt.Sprintf("feature %d", j)
}
