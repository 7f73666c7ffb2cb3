package report

import (
	"fmt"
	"html/template"
	"math"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

func curvesData(p *Page) (any, bool) { return shown(security(p.Report)) }

// security are the curves over eps: for attacks on the classifier what is
// detected and what accuracy is left, for attacks on the guard what evades.
func security(r *evaluate.Report) []template.HTML {
	var out []template.HTML
	for _, c := range r.Curves {
		p := chart{
			title: fmt.Sprintf("%s over growing eps (%s)", c.ID, c.Norm), x: axis{label: "eps (size of the perturbation)"}, y: axis{hi: 1, share: true, label: "share of rows"},
		}
		figures := []struct {
			name string
			get  func(evaluate.CurvePoint) float64
		}{
			{"accuracy of the classifier alone", func(p evaluate.CurvePoint) float64 { return p.Accuracy }},
			{"accuracy corrected by the guard", func(p evaluate.CurvePoint) float64 { return p.AccuracyCorrected }},
			{"successful attacks caught", func(p evaluate.CurvePoint) float64 { return float64(p.Detected) }},
			{"wrong and unnoticed", func(p evaluate.CurvePoint) float64 { return float64(p.Evaded) }},
		}
		if c.FalseAlarm {
			figures[2], figures = figures[3], figures[:3]
			figures[2].name = "right and flagged all the same"
		}
		for k, f := range figures {
			l := line{name: f.name, class: class(k), dots: true, dash: k == 0}
			for _, pt := range c.Points {
				p.x.hi = max(p.x.hi, pt.Eps)
				if v := f.get(pt); !math.IsNaN(v) {
					l.x, l.y = append(l.x, pt.Eps), append(l.y, v)
				}
			}
			p.lines = append(p.lines, l)
		}
		if len(c.Points) > 0 {
			p.note = fmt.Sprintf("%d rows at each eps.", c.Points[0].N)
		}
		out = append(out, p.figure())
	}
	return out
}
