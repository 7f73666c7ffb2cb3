package grid

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/vaeguard/vaeguard/host/evaluate"
)

// page writes Markdown; the first error of its writer is kept for Flush.
type page struct{ w *bufio.Writer }

func (p page) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// row writes a line of a table; bars inside cells would split them.
func (p page) row(cells ...string) {
	for i, c := range cells {
		cells[i] = strings.ReplaceAll(c, "|", "\\|")
	}
	p.line("| %s |", strings.Join(cells, " | "))
}

func (p page) head(cells ...string) {
	p.row(cells...)
	p.line("|%s", strings.Repeat("---|", len(cells)))
}

// WriteMarkdown writes the results page: tables for every set.
func (r *Results) WriteMarkdown(w io.Writer) error {
	p := page{bufio.NewWriter(w)}
	title := r.Title
	if title == "" {
		title = r.Name
	}
	p.line("# %s\n", title)
	p.line("%d of %d cells are done; the others are marked *not run*. Rows of role %s, seeds %s. Command:\n", r.Done, r.Cells, r.Role, seeds(r.Seeds))
	p.line("```sh\n%s\n```\n", r.Command)
	p.line("AUC, TPR and detected count the successful attacks (right before, wrong after) against all clean rows. Success rate: of the rows that were right before. Figures are means over seeds, with 95 %% intervals in brackets, whose unit is the image (bootstrap over images of the mean over seeds; for rates at the threshold of one seed, Clopper–Pearson).")
	for _, s := range r.Sets {
		s.write(p, r)
	}
	if err := p.w.Flush(); err != nil {
		return fmt.Errorf("write the results page: %w", err)
	}
	return nil
}

func (s *SetResults) write(p page, r *Results) {
	p.line("\n## %s\n\n### Detectors on clean rows\n", s.Set)
	p.head("detector", "seeds", "false-alarm rate", "promised", "accuracy", "corrected", "clean cost", "steps", "training", "processor", "scoring")
	for _, d := range s.Detectors {
		if len(d.Seeds) == 0 {
			p.row(name(d), "*not run*", "", "", "", "", "", "", "", "", "")
			continue
		}
		c := r.cost(s.Set, d.Name)
		promised := ""
		if !math.IsNaN(float64(d.Promised)) {
			promised = fmt.Sprintf("%s ± %s", percent(d.Promised), percent(d.Tolerance))
		}
		p.row(name(d), ran(d.Entry), span(d.Entry, "fpr", percent), promised, decimal(d.Mean["accuracy"]), span(d.Entry, "accuracy_corrected", decimal),
			percent(d.Mean["clean_cost"]), meanOf(c.Steps), seconds(c.Seconds), seconds(c.CPUSeconds), seconds(c.Scoring))
	}
	p.line("\nThe promised false-alarm rate is an expectation; ± is how far one seed may deviate from it by chance. Clean cost is the accuracy lost by correction. Training, processor time and scoring (of all clean rows) are in seconds, means over seeds.")
	s.oblivious(p)
	s.tests(p, r)
	s.adaptive(p)
	s.corruptions(p)
	s.provenance(p)
}

func (s *SetResults) oblivious(p page) {
	p.line("\n### Attacks on the classifier")
	for _, a := range s.Attacks {
		if a.Adaptive {
			continue
		}
		p.line("\n**%s**: `%s`%s\n", a.ID, inline(a.Attack), control(a.Control))
		p.head("detector", "seeds", "rows", "success rate", "AUC", "TPR at 1 %", "TPR at 5 %", "detected", "accuracy", "corrected")
		for _, e := range a.Entries {
			if len(e.Seeds) == 0 {
				p.row(e.Detector, "*not run*", "", "", "", "", "", "", "", "")
				continue
			}
			p.row(e.Detector, ran(e), fmt.Sprint(e.N), percent(e.Mean["success_rate"]), span(e, "auc", four), span(e, tprKeys[1], decimal), span(e, tprKeys[2], decimal),
				span(e, "detected", decimal), decimal(e.Mean["accuracy"]), span(e, "accuracy_corrected", decimal))
		}
	}
}

func control(yes bool) string {
	if yes {
		return " (the control)"
	}
	return ""
}

func (s *SetResults) tests(p page, r *Results) {
	if len(s.Tests) == 0 {
		return
	}
	p.line("\n### Paired tests: %s minus the other detector\n", r.Default)
	p.line("DeLong's test of AUC and McNemar's test of successful attacks detected at the thresholds, each adjusted by Holm over the attacks of one comparison; the seeds of an image form a cluster (Obuchowski).\n")
	p.head("other", "attack", "seeds", "AUC", "p (DeLong, Holm)", "TPR at 1 %", "TPR at 5 %", "corrected", "detected by one alone", "p (McNemar, Holm)")
	for _, t := range s.Tests {
		for _, a := range t.Attacks {
			delta := func(key string, f func(evaluate.Number) string) string {
				return signed(a.Difference[key], f) + interval(a.CI95[key], f)
			}
			p.row(t.Detector, a.ID, seeds(a.Seeds), delta("auc", four), pValue(a.DeLongHolm), delta(tprKeys[1], decimal), delta(tprKeys[2], decimal),
				delta("accuracy_corrected", decimal), fmt.Sprintf("%d : %d", a.OnlyDefault, a.OnlyOther), pValue(a.McNemarHolm))
		}
	}
}

func (s *SetResults) adaptive(p page) {
	first := true
	for _, a := range s.Attacks {
		if !a.Adaptive {
			continue
		}
		if first {
			p.line("\n### Adaptive attacks\n")
			p.line("Evaded: misclassified and not flagged, of all attacked rows (of a false-alarm attack: right and flagged).\n")
			p.head("attack", "detector", "seeds", "rows", "success rate", "TPR at 1 %", "TPR at 5 %", "detected", "evaded")
			first = false
		}
		for _, e := range a.Entries {
			if len(e.Seeds) == 0 {
				p.row(a.ID, e.Detector, "*not run*", "", "", "", "", "", "")
				continue
			}
			p.row(a.ID, e.Detector, ran(e), fmt.Sprint(e.N), percent(e.Mean["success_rate"]), span(e, tprKeys[1], decimal), span(e, tprKeys[2], decimal),
				span(e, "detected", decimal), span(e, "evaded", decimal))
		}
	}
	if len(s.Adaptive) == 0 {
		return
	}
	p.line("\nUnion: an attacker who tries all of them.\n")
	p.head("detector", "ball", "seeds", "rows", "evaded", "attacks")
	for _, d := range s.Adaptive {
		for _, u := range d.Unions {
			text := strings.Join(u.Attacks, ", ")
			if len(u.Missing) > 0 {
				text += "; *not run for all seeds:* " + strings.Join(u.Missing, ", ")
			}
			p.row(d.Detector, fmt.Sprintf("%s %g", u.Norm, float64(u.Eps)), seeds(u.Seeds), fmt.Sprint(u.N), decimal(u.Evaded)+interval(u.CI95, decimal), text)
		}
	}
	p.line("\nMedian, over rows that were right before, of the smallest perturbation norm seen; — where the attacks fail on most rows.\n")
	p.head("detector", "norm", "seeds", "rows", "fools the classifier", "evades the detector too", "ratio")
	for _, d := range s.Adaptive {
		for _, e := range d.Evasion {
			ratio := decimal(e.Ratio)
			if !math.IsNaN(float64(e.AtLeast)) {
				ratio = "> " + decimal(e.AtLeast)
			}
			p.row(d.Detector, e.Norm, seeds(e.Seeds), fmt.Sprint(e.N), four(e.Fools), four(e.Evades), ratio)
		}
	}
}

func (s *SetResults) provenance(p page) {
	p.line("\n### Provenance\n")
	p.head("what", "seed", "digest")
	for _, role := range []string{"train", "validation", "calibration", "test"} {
		if d := s.Data[role]; d != "" {
			p.row("data."+role, "", "`"+d+"`")
		}
	}
	for _, c := range s.Classifiers {
		d := "*not run*"
		if c.Digest != "" {
			d = "`" + c.Digest + "`"
		}
		p.row("classifier", fmt.Sprint(c.Seed), d)
	}
	for _, d := range s.Detectors {
		for i, key := range d.Keys {
			if i < len(s.Classifiers) {
				p.row("cell of "+d.Name, fmt.Sprint(s.Classifiers[i].Seed), "`"+key+"`")
			}
		}
	}
}

func (r *Results) cost(set, detector string) Cost {
	for _, c := range r.costs {
		if c.Set == set && c.Detector == detector {
			return c
		}
	}
	return Cost{}
}

func name(d DetectorResult) string {
	if d.Title == "" {
		return d.Name
	}
	return d.Name + ": " + d.Title
}

// inline is a component on one line.
func inline(yaml string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(yaml, "\n", " ")), " ")
}

// ran are the seeds of a figure, and those that are missing.
func ran(e Entry) string {
	text := seeds(e.Seeds)
	if len(e.NotRun) > 0 {
		text += " (*not run:* " + seeds(e.NotRun) + ")"
	}
	return text
}

func seeds(v []uint64) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(v), " ", ", "), "[]")
}

// span is a mean with its interval.
func span(e Entry, key string, f func(evaluate.Number) string) string {
	return f(e.Mean[key]) + interval(e.CI95[key], f)
}

func interval(i evaluate.Interval, f func(evaluate.Number) string) string {
	if math.IsNaN(i.Lo) || math.IsNaN(i.Hi) {
		return ""
	}
	return " [" + f(evaluate.Number(i.Lo)) + ", " + f(evaluate.Number(i.Hi)) + "]"
}

func number(v evaluate.Number, format string, factor float64) string {
	if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
		return "—"
	}
	return fmt.Sprintf(format, float64(v)*factor)
}

func percent(v evaluate.Number) string { return number(v, "%.2f %%", 100) }
func decimal(v evaluate.Number) string { return number(v, "%.3f", 1) }
func four(v evaluate.Number) string    { return number(v, "%.4f", 1) }
func pValue(v evaluate.Number) string  { return number(v, "%.2g", 1) }

func signed(v evaluate.Number, f func(evaluate.Number) string) string {
	if v > 0 {
		return "+" + f(v)
	}
	return f(v)
}

func meanOf(v []int) string {
	if len(v) == 0 {
		return "—"
	}
	sum := 0
	for _, x := range v {
		sum += x
	}
	return fmt.Sprint(sum / len(v))
}

func seconds(v []float64) string {
	if len(v) == 0 {
		return "—"
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return fmt.Sprintf("%.0f", sum/float64(len(v)))
}
