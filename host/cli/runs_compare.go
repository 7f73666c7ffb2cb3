package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/spec"
)

// comparison is what runs compare says.
type comparison struct {
	Runs    []string     `json:"runs"`
	Started []*string    `json:"started"`
	Figures []figure     `json:"figures"`
	Spec    []difference `json:"spec"` // keys in which the specs differ
	Pairs   []pair       `json:"pairs"`
	// Paired and PairedNote are those of the only pair of two runs.
	Paired     []evaluate.Comparison `json:"paired"`
	PairedNote string                `json:"paired_note"`

	specNote string // why Spec is empty
}

// figure is one line of the figures; nil where a run does not have it. Best are
// the runs that have the best value; nil if none is better, or no direction is.
type figure struct {
	Name   string     `json:"figure"`
	Values []*float64 `json:"values"`
	Best   []int      `json:"best"`
	up     int        // 1: more is better; -1: less is
}

// difference is one key of the specs; nil where a run's does not have it.
type difference struct {
	Key    string    `json:"key"`
	Values []*string `json:"values"`
}

// pair is the first run against a later one, on the same rows.
type pair struct {
	A     string                `json:"a"`
	B     string                `json:"b"`
	Tests []evaluate.Comparison `json:"tests"`
	Note  string                `json:"note"` // why there are none, or what was left out
	evaluate.Judgement
}

func (a *app) runsCompareCommand() *cobra.Command {
	var page string
	c := &cobra.Command{
		Use:   "compare RUN RUN…",
		Short: "Compare runs: figures, specs, and which is better",
		Long: "compare prints the figures of runs side by side (* marks the best of a line), the keys in which their specs differ,\n" +
			"and paired tests of each later run against the first, which say whether a difference is more than chance.\n" +
			"They need the same rows: the same data, classifier and seed.",
		Args: cobra.MinimumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			x, err := compareRuns(args)
			if err != nil {
				return err
			}
			if page != "" {
				shown := x.page(filepath.Dir(page))
				shown.Command = compareLine(args, page)
				write := func(w *os.File) error { return report.WriteComparison(w, shown) }
				if err := atomicfile.Write(page, write); err != nil {
					return err
				}
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(x)
			}
			if err := a.printComparison(x); err != nil {
				return err
			}
			if page != "" {
				fmt.Fprintf(a.stdout, "page: %s\n", page)
			}
			return nil
		},
	}
	c.Flags().StringVar(&page, "html", "", "also write the comparison as a page")
	return c
}

// compareLine is the shell command that makes the page.
func compareLine(runs []string, page string) string {
	text := "vaeguard runs compare"
	for _, r := range runs {
		text += " " + quote(r)
	}
	return text + " --html " + quote(page)
}

// compareRuns reads runs and compares them.
func compareRuns(dirs []string) (*comparison, error) {
	x := &comparison{Runs: dirs, Paired: []evaluate.Comparison{}, Spec: []difference{}}
	var reports []*evaluate.Report
	for _, dir := range dirs {
		r, err := readReport(dir)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
		x.Started = append(x.Started, nil)
		if at := started(dir); at != "" {
			x.Started[len(x.Started)-1] = &at
		}
	}
	x.Figures = figuresOf(reports)
	if err := x.specs(); err != nil {
		return nil, err
	}
	for _, dir := range dirs[1:] {
		p := pair{A: dirs[0], B: dir, Tests: []evaluate.Comparison{}}
		p.Tests, p.Note = paired(p.A, p.B)
		p.Judgement = evaluate.JudgePairs(p.Tests, p.A, p.B)
		x.Pairs = append(x.Pairs, p)
	}
	if len(x.Pairs) == 1 {
		x.Paired, x.PairedNote = x.Pairs[0].Tests, x.Pairs[0].Note
	} else {
		x.PairedNote = "there are several pairs: see pairs"
	}
	return x, nil
}

// specs finds the keys in which the resolved specs differ, in their order.
func (x *comparison) specs() error {
	at := map[string]int{}
	var all []difference
	for i, dir := range x.Runs {
		text, err := runFile(dir, rundir.SpecFile)
		if errors.Is(err, fs.ErrNotExist) {
			x.specNote = dir + " has no spec to compare."
			return nil
		}
		var list []spec.Leaf
		if err == nil {
			list, err = spec.Leaves(text)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, rundir.SpecFile), err)
		}
		for _, l := range list {
			k, ok := at[l.Path]
			if !ok {
				k = len(all)
				at[l.Path] = k
				all = append(all, difference{l.Path, make([]*string, len(x.Runs))})
			}
			all[k].Values[i] = &l.Value
		}
	}
	for _, d := range all {
		if slices.ContainsFunc(d.Values, func(v *string) bool { return v == nil || d.Values[0] == nil || *v != *d.Values[0] }) {
			x.Spec = append(x.Spec, d)
		}
	}
	x.specNote = "The specs are the same."
	return nil
}

// paired tests two runs against each other, if they judged their detectors on
// the same rows; note says why not, or what was left out.
func paired(a, b string) (tests []evaluate.Comparison, note string) {
	tests = []evaluate.Comparison{}
	var scores [2]evaluate.Scores
	for i, dir := range []string{a, b} {
		data, err := runFile(dir, "scores.json")
		if err != nil {
			return tests, "no paired tests: " + err.Error()
		}
		if err := json.Unmarshal(data, &scores[i]); err != nil {
			return tests, fmt.Sprintf("no paired tests: %s: %v", filepath.Join(dir, "scores.json"), err)
		}
	}
	got, skipped, ok := evaluate.Compare(&scores[0], &scores[1])
	switch {
	case !ok:
		return tests, "no paired tests: the clean test rows of the runs differ"
	case len(skipped) > 0:
		note = "left out of the paired tests: " + strings.Join(skipped, ", ") + ", whose adversarial rows differ between the runs (another classifier or seed)"
	}
	return append(tests, got...), note
}

func (a *app) printComparison(x *comparison) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\t%s\n", strings.Join(x.Runs, "\t"))
	fmt.Fprint(w, "started")
	for _, at := range x.Started {
		fmt.Fprint(w, "\t"+day(text(at)))
	}
	fmt.Fprintln(w)
	for _, f := range x.Figures {
		fmt.Fprint(w, f.Name)
		for i, v := range f.Values {
			fmt.Fprint(w, "\t"+rate(v))
			if slices.Contains(f.Best, i) {
				fmt.Fprint(w, " *")
			}
		}
		fmt.Fprintln(w)
	}
	if len(x.Spec) > 0 {
		fmt.Fprintf(w, "\nspec\t%s\n", strings.Join(x.Runs, "\t"))
	}
	for _, d := range x.Spec {
		fmt.Fprint(w, d.Key)
		for _, v := range d.Values {
			fmt.Fprint(w, "\t"+leaf(v))
		}
		fmt.Fprintln(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(x.Spec) == 0 {
		fmt.Fprintln(a.stdout, "\n"+x.specNote)
	}
	for _, p := range x.Pairs {
		if len(p.Tests) > 0 {
			fmt.Fprintf(a.stdout, "\nPaired tests, A = %s, B = %s, on the same successful attacks (p adjusted by Holm):\n", p.A, p.B)
		}
		for _, t := range p.Tests {
			fmt.Fprintf(a.stdout, "%-16s AUC A − B %+.4f, DeLong p %.3g; detected by A alone %d, by B alone %d of %d, McNemar p %.3g\n",
				t.ID, float64(t.AUCDifference), float64(t.DeLongHolm), t.CaughtOnlyA, t.CaughtOnlyB, t.NSuccess, float64(t.McNemarHolm))
		}
		if p.Note != "" {
			fmt.Fprintln(a.stdout, p.Note)
		}
		if len(p.Tests) > 0 {
			fmt.Fprintln(a.stdout, p.Text)
		}
	}
	return nil
}

// mostLeaf is how many columns a spec's value has on the terminal.
const mostLeaf = 40

// leaf is a spec's value on a line, a dash where there is none.
func leaf(v *string) string {
	if v == nil {
		return "–"
	}
	return cutColumns(printable(*v), mostLeaf)
}

// page is the comparison as a page in a folder.
func (x *comparison) page(folder string) report.Comparison {
	c := report.Comparison{SpecNote: x.specNote}
	for i, dir := range x.Runs {
		r := report.ComparedRun{Name: dir, Date: day(text(x.Started[i]))}
		if _, err := os.Stat(filepath.Join(dir, "report.html")); err == nil {
			if rel, err := filepath.Rel(folder, filepath.Join(dir, "report.html")); err == nil {
				r.Report = filepath.ToSlash(rel)
			}
		}
		c.Runs = append(c.Runs, r)
	}
	for _, f := range x.Figures {
		line := report.ComparedLine{Name: f.Name}
		for i, v := range f.Values {
			line.Cells = append(line.Cells, report.ComparedCell{Text: rate(v), Best: slices.Contains(f.Best, i)})
		}
		c.Figures = append(c.Figures, line)
	}
	for _, d := range x.Spec {
		line := report.ComparedLine{Name: d.Key}
		for _, v := range d.Values {
			line.Cells = append(line.Cells, report.ComparedCell{Text: leaf(v)})
		}
		c.Differences = append(c.Differences, line)
	}
	for _, p := range x.Pairs {
		c.Pairs = append(c.Pairs, report.ComparedPair{A: p.A, B: p.B, Tests: p.Tests, Note: p.Note})
		if len(p.Tests) > 0 {
			c.Verdicts = append(c.Verdicts, p.A+" against "+p.B+": "+p.Text+".")
		}
	}
	return c
}

// pointsApart is how many points of a certified curve are passed over, less one: every
// fifth one is a multiple of sigma where no radii were named.
const pointsApart = 5

// figuresOf are the figures of reports side by side.
func figuresOf(reports []*evaluate.Report) []figure {
	var rows []figure
	at := map[string]int{}
	put := func(i int, name string, v float64, up int) {
		if v != v {
			return
		}
		k, ok := at[name]
		if !ok {
			k = len(rows)
			at[name] = k
			rows = append(rows, figure{Name: name, Values: make([]*float64, len(reports)), up: up})
		}
		rows[k].Values[i] = &v
	}
	for i, r := range reports {
		put(i, "classifier.accuracy", r.Classifier.Accuracy, 1)
		put(i, "clean.fpr", r.Clean.FPR, -1)
		put(i, "clean.accuracy_corrected", r.Clean.AccuracyCorrected, 1)
		for _, t := range r.Attacks {
			put(i, "attacks."+t.ID+".success_rate", float64(t.SuccessRate), 0) // the classifier's
			put(i, "attacks."+t.ID+".auc", float64(t.AUC), 1)
			put(i, "attacks."+t.ID+".detected", float64(t.Detected), 1)
			put(i, "attacks."+t.ID+".accuracy_corrected", t.AccuracyCorrected, 1)
		}
		for _, t := range r.Adaptive {
			if t.FalseAlarms != nil {
				put(i, "adaptive."+t.ID+".false_alarms", float64(*t.FalseAlarms), -1)
			} else {
				put(i, "adaptive."+t.ID+".evaded", float64(t.Evaded), -1)
			}
		}
		if u := r.AdaptiveUnion; u != nil {
			put(i, "adaptive_union.evaded", float64(u.Evaded), -1)
		}
		for _, c := range r.Corruptions {
			put(i, "corruptions."+c.ID+".flagged_harmless", float64(c.FlaggedHarmless), -1)
			put(i, "corruptions."+c.ID+".accuracy_corrected", c.AccuracyCorrected, 1)
		}
		if c := r.Certified; c != nil {
			put(i, "certified.clean_cost", c.CleanCost, -1)
			for k, at := range c.Curve {
				if k%pointsApart == 0 {
					put(i, fmt.Sprintf("certified.right_or_flagged at %.4g", at.Radius), at.RightOrFlagged, 1)
				}
			}
		}
	}
	for k := range rows {
		rows[k].Best = best(rows[k].Values, rows[k].up)
	}
	return rows
}

// best are the places of the best value, if all are there and not all alike.
func best(values []*float64, up int) []int {
	if up == 0 || slices.Contains(values, nil) {
		return nil
	}
	var out []int
	for i, v := range values {
		ahead := 0.0
		if len(out) > 0 {
			ahead = float64(up) * (*v - *values[out[0]])
		}
		if ahead > 0 {
			out = out[:0]
		}
		if ahead >= 0 {
			out = append(out, i)
		}
	}
	if len(out) == len(values) {
		return nil
	}
	return out
}
