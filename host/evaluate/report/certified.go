package report

import (
	_ "embed"
	"html/template"
	"math"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed certified.html
var certifiedHTML string

// certifiedPage is what the template of the section shows.
type certifiedPage struct {
	*evaluate.CertifiedReport
	Charts []template.HTML
	Rows   []evaluate.CertifiedPoint // of the table: a few of the curve
}

// tableMultiples are the radii of the table, in sigmas.
var tableMultiples = []float64{0, .4, 1, 2, 3}

// certifiedData is the curve of what is proved, and its price.
func certifiedData(p *Page) (any, bool) {
	c := p.Report.Certified
	if c == nil {
		return nil, false
	}
	page := certifiedPage{CertifiedReport: c, Charts: []template.HTML{proved(c)}}
	for _, m := range tableMultiples {
		if pt := c.At(m * c.Sigma); pt != nil {
			page.Rows = append(page.Rows, *pt)
		}
	}
	return page, true
}

// proved is the chart of the shares over the radius.
func proved(c *evaluate.CertifiedReport) template.HTML {
	out := chart{title: "Proved share of clean rows over the radius", x: axis{label: "L2 radius"}, y: axis{hi: 1, share: true, label: "fraction of rows"}}
	for k, f := range []struct {
		name string
		get  func(evaluate.CertifiedPoint) float64
	}{
		{"right or flagged", func(p evaluate.CertifiedPoint) float64 { return p.RightOrFlagged }},
		{"corrected answer right", func(p evaluate.CertifiedPoint) float64 { return p.Corrected }},
		{"majority of all votes right", func(p evaluate.CertifiedPoint) float64 { return p.Smoothed }},
		{"classifier alone, smoothed", func(p evaluate.CertifiedPoint) float64 { return float64(p.Alone) }},
	} {
		l := line{name: f.name, class: class(k)}
		for _, pt := range c.Curve {
			out.x.hi = max(out.x.hi, pt.Radius)
			if v := f.get(pt); !math.IsNaN(v) {
				l.x, l.y = append(l.x, pt.Radius), append(l.y, v)
			}
		}
		if len(l.x) > 0 {
			out.lines = append(out.lines, l)
		}
	}
	return out.figure()
}
