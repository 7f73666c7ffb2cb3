package report

import (
	"html/template"
	"math"
	"strings"
)

func trainingData(p *Page) (any, bool) { return shown(training(p.Options.Training)) }

// training draws the series of a training run, those of one unit together:
// a validation metric beside its own.
func training(series []Series) []template.HTML {
	var order []string
	groups := make(map[string][]Series)
	for _, s := range series {
		base := strings.TrimPrefix(s.Name, "val_")
		if groups[base] == nil {
			order = append(order, base)
		}
		groups[base] = append(groups[base], s)
	}
	var out []template.HTML
	for _, base := range order {
		c := chart{title: base + " during training", x: axis{lo: math.Inf(1), hi: math.Inf(-1), label: "epoch", whole: true}, y: axis{lo: math.Inf(1), hi: math.Inf(-1), label: base}}
		for k, s := range groups[base] {
			c.lines = append(c.lines, line{name: s.Name, class: class(k), x: s.X, y: s.Y, dots: len(s.X) <= 40})
			for i := range s.X {
				c.x.lo, c.x.hi = min(c.x.lo, s.X[i]), max(c.x.hi, s.X[i])
				c.y.lo, c.y.hi = min(c.y.lo, s.Y[i]), max(c.y.hi, s.Y[i])
			}
		}
		if !(c.x.hi >= c.x.lo) || math.IsNaN(c.y.hi-c.y.lo) {
			continue
		}
		if c.x.hi == c.x.lo {
			c.x.lo, c.x.hi = c.x.lo-1, c.x.hi+1
		}
		pad := max((c.y.hi-c.y.lo)*0.05, math.Abs(c.y.hi)*1e-6, 1e-12)
		c.y.lo, c.y.hi = c.y.lo-pad, c.y.hi+pad
		out = append(out, c.figure())
	}
	return out
}
