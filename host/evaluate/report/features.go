package report

import (
	"cmp"
	_ "embed"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed features.html
var featuresHTML string

func featuresData(p *Page) (any, bool) {
	groups := features(p.Details)
	return groups, len(groups) > 0
}

// featureBar is one feature's mean change under an attack.
type featureBar struct {
	Name  string
	Value float64 // mean |change| in standard deviations of the clean rows
	Width float64 // of the longest, in per cent
}

// featureGroup are the features that one attack changes most.
type featureGroup struct {
	ID   string
	Bars []featureBar
}

// features shows where tabular inputs are changed: nothing for images.
func features(d *evaluate.Details) []featureGroup {
	const most = 12
	if drawable(d.Shape) || len(d.Attacks) == 0 {
		return nil
	}
	dim, std := d.X.Stride(), attack.Deviations(d.X)
	var out []featureGroup
	for _, a := range d.Attacks {
		change := make([]float64, dim)
		for k := range a.Rows {
			for j, v := range a.Adversarial.X.Row(k) {
				change[j] += math.Abs(float64(a.Adversarial.XAdv.Row(k)[j])-float64(v)) / float64(len(a.Rows)) / max(std[j], 1e-12)
			}
		}
		g := featureGroup{ID: a.ID}
		for j, v := range change {
			if std[j] > 0 {
				g.Bars = append(g.Bars, featureBar{Name: featureName(d, j), Value: v})
			}
		}
		slices.SortStableFunc(g.Bars, func(a, b featureBar) int { return cmp.Compare(b.Value, a.Value) })
		g.Bars = g.Bars[:min(most, len(g.Bars))]
		for j := range g.Bars {
			g.Bars[j].Width = 100 * g.Bars[j].Value / max(g.Bars[0].Value, 1e-12)
		}
		out = append(out, g)
	}
	return out
}
