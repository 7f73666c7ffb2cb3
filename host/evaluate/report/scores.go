package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed scores.html
var scoresHTML string

// scoresPage are the plots of scores, and what other thresholds would do.
type scoresPage struct {
	Charts    []template.HTML
	Operating *operating // nil: the detector has no threshold to vary
}

func scoresData(p *Page) (any, bool) {
	list := plotted(p.Details)
	if len(list) == 0 {
		return nil, false
	}
	charts := []template.HTML{histogram(p.Details, list), roc(p.Details, list), ecdf(p.Details, list)}
	return scoresPage{charts, operate(p.Details, list)}, true
}

// mostPlotted is how many attacks one plot can show and still be read.
const mostPlotted = 6

// plotted are the attacks for score plots: those on the classifier alone that
// succeeded on some row, then adaptive ones.
func plotted(d *evaluate.Details) []*evaluate.AttackDetails {
	var out []*evaluate.AttackDetails
	for _, adaptive := range []bool{false, true} {
		for _, a := range d.Attacks {
			if a.Adaptive == adaptive && !a.Control && !a.FalseAlarm && len(a.Scores(true)) > 0 && len(out) < mostPlotted {
				out = append(out, a)
			}
		}
	}
	return out
}

// finite are the scores that are finite.
func finite(scores []float64) []float64 {
	return slices.DeleteFunc(slices.Clone(scores), func(s float64) bool { return math.IsInf(s, 0) || math.IsNaN(s) })
}

// infinite is what a chart of scores says of those that are not finite; "" if all are.
func infinite(d *evaluate.Details, list []*evaluate.AttackDetails) string {
	n := len(d.Clean) - len(finite(d.Clean))
	for _, a := range list {
		s := a.Scores(true)
		n += len(s) - len(finite(s))
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" At the right edge stand the infinite scores of %d rows, whose reconstruction is not finite.", n)
}

// scoreAxis spans all scores that are finite, logarithmic where they are positive and
// spread over orders of magnitude.
func scoreAxis(d *evaluate.Details, list []*evaluate.AttackDetails) axis {
	all := finite(d.Clean)
	for _, a := range list {
		all = append(all, finite(a.Scores(true))...)
	}
	if len(all) == 0 {
		all = []float64{0}
	}
	slices.Sort(all)
	x := axis{lo: all[0], hi: all[len(all)-1], label: "score (higher: more suspicious)"}
	if x.lo >= 0 && x.hi > 0 {
		var positive []float64
		for _, v := range all {
			if v > 0 {
				positive = append(positive, v)
			}
		}
		small := positive[len(positive)/50]
		if x.hi/small > 100 {
			x.log = true
			x.lo = max(small, x.hi*1e-9)
			x.lo = math.Pow10(int(math.Floor(math.Log10(x.lo))))
			x.label += ", logarithmic"
		}
	}
	if x.hi <= x.lo {
		x.hi = x.lo + 1
	}
	return x
}

// histogram shows the scores of clean and of successfully attacked rows.
func histogram(d *evaluate.Details, list []*evaluate.AttackDetails) template.HTML {
	const bins = 36
	list = list[:min(len(list), 4)] // more outlines than that cannot be told apart
	c := chart{
		title: "Distribution of scores", x: scoreAxis(d, list),
		y:     axis{label: "fraction of rows", share: true},
		marks: []mark{{d.Threshold, "threshold"}},
		note:  "Inputs to the right of the threshold are flagged. Of attacks, the successful rows are shown." + infinite(d, list),
	}
	c.x.from, c.x.to = 0, bins
	edges := make([]float64, bins+1)
	for k := range edges {
		t := float64(k) / bins
		if c.x.log {
			edges[k] = math.Pow(10, math.Log10(c.x.lo)+t*(math.Log10(c.x.hi)-math.Log10(c.x.lo)))
		} else {
			edges[k] = c.x.lo + t*(c.x.hi-c.x.lo)
		}
	}
	add := func(l line, scores []float64) {
		l.x, l.y, l.step = edges, make([]float64, bins+1), true
		for _, s := range scores {
			k := min(int(c.x.at(s)), bins-1)
			l.y[k] += 1 / float64(len(scores))
		}
		for _, v := range l.y {
			c.y.hi = max(c.y.hi, v)
		}
		c.lines = append(c.lines, l)
	}
	add(line{name: "clean", class: "clean", fill: true}, d.Clean)
	for k, a := range list {
		add(line{name: a.ID, class: class(k)}, a.Scores(true))
	}
	c.y.hi *= 1.05
	return c.figure()
}

// ecdf shows the fraction of rows at or below each score.
func ecdf(d *evaluate.Details, list []*evaluate.AttackDetails) template.HTML {
	c := chart{
		title: "Fraction of rows at or below a score", x: scoreAxis(d, list), y: axis{hi: 1, share: true, label: "fraction of rows"},
		marks: []mark{{d.Threshold, "threshold"}},
		note:  "At the threshold, the part above the clean curve is false alarms; the part below the curve of an attack is not detected." + infinite(d, list),
	}
	add := func(l line, scores []float64) {
		s := slices.Sorted(slices.Values(scores))
		l.step = true
		l.x, l.y = []float64{c.x.lo}, []float64{0}
		for _, i := range thin(len(s)) {
			l.x, l.y = append(l.x, s[i]), append(l.y, float64(i+1)/float64(len(s)))
		}
		l.x, l.y = append(l.x, c.x.hi), append(l.y, 1)
		c.lines = append(c.lines, l)
	}
	add(line{name: "clean", class: "clean"}, d.Clean)
	for k, a := range list {
		add(line{name: a.ID, class: class(k)}, a.Scores(true))
	}
	return c.figure()
}

// thin are at most 300 indices of n, first and last among them.
func thin(n int) []int {
	step := max(1, n/300)
	var out []int
	for i := 0; i < n; i += step {
		out = append(out, i)
	}
	if n > 0 && out[len(out)-1] != n-1 {
		out = append(out, n-1)
	}
	return out
}

// roc shows detection against false alarms, the latter logarithmic: what
// matters happens at the rates that people can live with.
func roc(d *evaluate.Details, list []*evaluate.AttackDetails) template.HTML {
	lo := math.Pow10(int(math.Floor(math.Log10(1 / float64(len(d.Clean))))))
	lo = min(max(lo, 1e-4), 1e-2)
	c := chart{
		title: "Detection against false alarms (ROC)", x: axis{lo: lo, hi: 1, log: true, share: true, label: "false-alarm rate on clean rows, logarithmic"},
		y:    axis{hi: 1, share: true, label: "attacks detected"},
		note: "Successful attacks against all clean test rows.",
	}
	for k, a := range list {
		l := line{name: a.ID, class: class(k), step: true}
		points := evaluate.ROC(d.Clean, a.Scores(true))
		for _, i := range thin(len(points)) {
			l.x, l.y = append(l.x, max(points[i].FPR, lo)), append(l.y, points[i].TPR)
		}
		c.lines = append(c.lines, l)
	}
	chance := line{name: "chance", class: "clean", dash: true}
	for e := 0.; e <= 40; e++ {
		v := math.Pow(10, math.Log10(lo)*(1-e/40))
		chance.x, chance.y = append(chance.x, v), append(chance.y, v)
	}
	c.lines = append(c.lines, chance)
	return c.figure()
}
