// Package report shows an evaluation to people: one HTML file that opens
// offline, with its plots and pictures inside. It is made of sections, whose
// table is in sections.go.
package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed page.html
var pageHTML string

//go:embed style.css
var style string

// Series is one metric of a training run.
type Series struct {
	Name string // as in metrics.csv: loss, val_loss, …
	X, Y []float64
}

// Options are what a report shows beside the evaluation. All of it may be
// left out.
type Options struct {
	Training   []Series
	Spec       string    // text of the resolved spec
	Summary    string    // layers and shapes, as lines of text
	Provenance []Fact    // beside what the report itself says: machine, versions
	Command    []string  // shell commands that reproduce it, one each
	Sections   []Section // further ones, in order, shown before the provenance
}

// Fact is one line of the provenance.
type Fact struct{ Name, Value string }

// WriteHTML writes the report of an evaluation. It fails if w does, or if a
// section of Options.Sections is wrong.
func WriteHTML(w io.Writer, r *evaluate.Report, d *evaluate.Details, o Options) error {
	p := &Page{Report: r, Details: d, Options: o}
	list := sections()
	list = slices.Insert(list, len(list)-1, o.Sections...)
	body, err := p.render(list)
	if err != nil {
		return err
	}
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return fmt.Errorf("report template: %w", err)
	}
	return t.Execute(w, struct {
		Name     string
		Style    template.CSS
		Sections []rendered
	}{r.Name, template.CSS(style), body}) //nolint:gosec // embedded at build time
}
