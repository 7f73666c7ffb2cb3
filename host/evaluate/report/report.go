// Package report shows an evaluation to people: one HTML file that opens
// offline, with its plots and pictures inside.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed page.html
var page string

//go:embed style.css
var style string

// Series is one metric of a training run.
type Series struct {
	Name string // as in metrics.csv: loss, val_loss, …
	X, Y []float64
}

// Options are what a report shows beside the evaluation.
type Options struct {
	Training   []Series
	Spec       string   // text of the resolved spec
	Summary    string   // layers and shapes
	Provenance []Fact   // hashes, versions, machine
	Command    []string // that reproduces it
}

// Fact is one line of the provenance.
type Fact struct{ Name, Value string }

type content struct {
	*evaluate.Report
	Options
	Style    template.CSS
	Verdict  verdict
	Cards    []card
	Scores   []template.HTML
	Security []template.HTML
	Training []template.HTML
	Gallery  []exampleGroup
	Features []featureGroup
	Grid     []corruptionRow
	Levels   []int
	Facts    []Fact
}

// corruptionRow is one corruption over its severities.
type corruptionRow struct {
	Name  string
	Cells []evaluate.CorruptionReport
}

// WriteHTML writes the report of an evaluation.
func WriteHTML(w io.Writer, r *evaluate.Report, d *evaluate.Details, o Options) error {
	c := content{
		Report: r, Options: o, Style: template.CSS(style), //nolint:gosec // embedded at build time
		Verdict: judge(r), Cards: cards(r), Security: security(r), Training: training(o.Training), Gallery: gallery(d), Features: features(d),
	}
	if list := plotted(d); len(list) > 0 {
		c.Scores = []template.HTML{histogram(d, list), roc(d, list), ecdf(d, list)}
	}
	for _, k := range r.Corruptions {
		if !slices.Contains(c.Levels, k.Severity) {
			c.Levels = append(c.Levels, k.Severity)
		}
		if n := len(c.Grid); n == 0 || c.Grid[n-1].Name != k.Name {
			c.Grid = append(c.Grid, corruptionRow{Name: k.Name})
		}
		row := &c.Grid[len(c.Grid)-1]
		row.Cells = append(row.Cells, k)
	}
	slices.Sort(c.Levels)
	c.Facts = append([]Fact{
		{"classifier", r.Classifier.Name + " " + r.Classifier.Digest}, {"detector", r.Detector.Method + " " + r.Detector.Digest},
		{"threshold", fmt.Sprintf("%.6g", float64(r.Detector.Threshold))}, {"calibration rows", fmt.Sprint(r.Detector.Calibration)},
		{"seed", fmt.Sprint(r.Seed)}, {"spec sha256", r.SpecSHA256}, {"version", r.Version}, {"evaluation took", fmt.Sprintf("%.1f s", r.Seconds)},
	}, o.Provenance...)
	c.Facts = distinct(c.Facts)
	t, err := template.New("page").Funcs(template.FuncMap{
		"percent": func(v any) string { return percent(number(v)) },
		"figure":  func(v any) string { return figure(number(v)) },
		"between": func(m map[string]evaluate.Interval, key string) string { return between(m[key]) },
		"span":    between,
		"range3":  func(m map[string]evaluate.Interval, key string) string { return range3(m[key]) },
		"shade":   func(v any) string { return shade(number(v)) },
		"cell":    cell,
		"unit":    unit,
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("report template: %w", err)
	}
	return t.Execute(w, c)
}

// distinct leaves out what is said already.
func distinct(facts []Fact) []Fact {
	var out []Fact
	for _, f := range facts {
		if f.Value = strings.TrimSpace(f.Value); !slices.ContainsFunc(out, func(g Fact) bool { return strings.HasSuffix(g.Value, f.Value) }) {
			out = append(out, f)
		}
	}
	return out
}

// unit marks an eps in standard deviations.
func unit(params map[string]any) string {
	if params["eps_unit"] == "std" {
		return " sd"
	}
	return ""
}

// cell finds a corruption's severity.
func cell(row corruptionRow, level int) *evaluate.CorruptionReport {
	for i := range row.Cells {
		if row.Cells[i].Severity == level {
			return &row.Cells[i]
		}
	}
	return nil
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case evaluate.Number:
		return float64(v)
	}
	return math.NaN()
}

func figure(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	return fmt.Sprintf("%.3g", v)
}

func range3(i evaluate.Interval) string {
	if math.IsNaN(i.Lo) || math.IsNaN(i.Hi) {
		return ""
	}
	return fmt.Sprintf("[%.3f, %.3f]", i.Lo, i.Hi)
}

// shade is the strength of a cell's background.
func shade(v float64) string {
	if math.IsNaN(v) {
		return "0"
	}
	return fmt.Sprintf("%.0f", 70*min(max(v, 0), 1))
}
