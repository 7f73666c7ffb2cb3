package report

import (
	"fmt"
	"html/template"
	"math"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

func curvesData(p *Page) (any, bool) { return shown(security(p.Report)) }

// security are the curves over eps: accuracies, what is detected, and what
// evades classifier and detector.
func security(r *evaluate.Report) []template.HTML {
	var out []template.HTML
	for _, c := range r.Curves {
		p := chart{
			title: fmt.Sprintf("%s over growing eps (%s)", c.ID, c.Norm), x: axis{label: "eps (bound of the perturbation norm)"}, y: axis{hi: 1, share: true, label: "fraction of rows"},
		}
		figures := []struct {
			name string
			get  func(evaluate.CurvePoint) float64
		}{
			{"accuracy, classifier alone", func(p evaluate.CurvePoint) float64 { return p.Accuracy }},
			{"accuracy, corrected", func(p evaluate.CurvePoint) float64 { return p.AccuracyCorrected }},
			{"successful attacks detected", func(p evaluate.CurvePoint) float64 { return float64(p.Detected) }},
			{"evaded: misclassified, not flagged", func(p evaluate.CurvePoint) float64 { return float64(p.Evaded) }},
		}
		if c.FalseAlarm {
			figures[2], figures = figures[3], figures[:3]
			figures[2].name = "evaded: correctly classified, flagged"
		}
		for k, f := range figures {
			l := line{name: f.name, class: class(k), dots: true}
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
