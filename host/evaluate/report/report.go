// Package report shows an evaluation to people: one HTML file that opens
// offline, with its plots and pictures inside. It is made of sections, whose
// table is in sections.go.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Series is one metric of a training run.
type Series struct {
	Name string // as in metrics.csv: loss, val_loss, …
	X, Y []float64
}

// Options are what a report shows beside the evaluation. All of it may be
// left out.
type Options struct {
	Date       time.Time // of the evaluation; the zero time: not shown
	Data       string    // where the clean test rows come from
	Training   []Series
	Spec       string    // text of the resolved spec
	Summary    string    // layers and shapes, as lines of text
	Provenance []Fact    // beside what the report itself says: machine, versions
	Command    []string  // shell commands that reproduce it, one each
	Sections   []Section // further ones, in order, shown before the provenance
	// Undo brings prepared rows back to those of the user's files, the features in
	// the same order, for the examples of tables; nil: they are shown as prepared.
	Undo func(*tensor.Tensor) (*tensor.Tensor, error)
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
	return frame{"evaluation of a guarded classifier", r.Name, p.about(), body}.write(w)
}

// about is what stands under the name of the page: when, on what, and how to make
// it again.
func (p *Page) about() []Fact {
	var out []Fact
	if t := p.Options.Date; !t.IsZero() {
		out = append(out, Fact{"Date", t.UTC().Format("2006-01-02 15:04 UTC")})
	}
	rows := fmt.Sprintf("%d clean test rows", p.Report.Clean.N)
	switch shape := p.Details.Shape; len(shape) {
	case 0:
	case 1:
		rows += fmt.Sprintf(" of %d features", shape[0])
	default:
		rows += fmt.Sprintf(" of shape %v", shape)
	}
	if p.Report.Classifier.Classes > 0 {
		rows += fmt.Sprintf(", %d classes", p.Report.Classifier.Classes)
	}
	if p.Options.Data != "" {
		rows += ": " + p.Options.Data
	}
	out = append(out, Fact{"Data", rows})
	if len(p.Options.Command) > 0 {
		out = append(out, Fact{"Command", strings.Join(p.Options.Command, "; ")})
	}
	return out
}
