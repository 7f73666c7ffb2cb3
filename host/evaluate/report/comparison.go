package report

import (
	_ "embed"
	"fmt"
	"io"
	"strings"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// comparisonHTML are the templates of the sections of a comparison, by name.
//
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
	Command              string // shell command that makes the page; "": not shown
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
	is := func(data any, shown bool) func(*Page) (any, bool) {
		return func(*Page) (any, bool) { return data, shown }
	}
	part := func(name string) string { return comparisonHTML + `{{template "compared-` + name + `" .}}` }
	list := []Section{
		{"verdict", "Which is better", part("verdict"), is(c.Verdicts, len(c.Verdicts) > 0)},
		{"figures", "Figures", part("figures"), is(c, true)},
	}
	for i, p := range c.Pairs {
		list = append(list, Section{fmt.Sprintf("pair-%d", i+1), p.A + " against " + p.B, part("pair"), is(p, true)})
	}
	list = append(list, Section{"spec", "Specs", part("spec"), is(c, true)})
	body, err := (&Page{}).render(list)
	if err != nil {
		return err
	}
	var names, about = []string{}, []Fact{}
	for _, r := range c.Runs {
		names = append(names, r.Name)
		about = append(about, Fact{r.Name, "started " + r.Date})
	}
	if c.Command != "" {
		about = append(about, Fact{"Command", c.Command})
	}
	return frame{fmt.Sprintf("comparison of %d runs", len(c.Runs)), strings.Join(names, " · "), about, body}.write(w)
}
