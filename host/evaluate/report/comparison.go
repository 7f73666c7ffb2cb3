package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

//go:embed comparison.html
var comparisonHTML string

// Comparison is several runs side by side, as WriteComparison shows them.
type Comparison struct {
	Runs     []ComparedRun
	Verdicts []string // which is better, a sentence each
	// Figures and Differences have a cell for each run. Differences are the keys
	// of the specs that differ; SpecNote is shown if there are none.
	Figures, Differences []ComparedLine
	Pairs                []ComparedPair
	SpecNote             string
}

// ComparedRun is one run: Report is where its page is, from the comparison's;
// "": it is not linked.
type ComparedRun struct{ Name, Date, Report string }

// ComparedLine is one line of a table.
type ComparedLine struct {
	Name  string
	Cells []ComparedCell
}

// ComparedCell is one value; Best is set on the best of a line.
type ComparedCell struct {
	Text string
	Best bool
}

// ComparedPair is what evaluate.Compare says of two runs; Note says what was not
// tested.
type ComparedPair struct {
	A, B  string
	Tests []evaluate.Comparison
	Note  string
}

// WriteComparison writes one HTML page that opens offline. It fails if w does.
func WriteComparison(w io.Writer, c Comparison) error {
	t, err := template.New("comparison").Funcs(functions).Parse(comparisonHTML)
	if err != nil {
		return fmt.Errorf("report template: %w", err)
	}
	return t.Execute(w, struct {
		Comparison
		Style template.CSS
	}{c, template.CSS(style)}) //nolint:gosec // embedded at build time
}
