package artifact

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/health"
)

// CardFile is a page for people, which Save and Recalibrate write from meta.json. It
// is no part of the detector: nothing reads it, and nothing verifies it.
const CardFile = "card.md"

// writeCard writes the card of the detector in dir; meta are the bytes of its
// meta.json.
func writeCard(dir string, m Meta, meta []byte) error {
	text := []byte(card(m, "sha256:"+digest(meta)))
	return atomicfile.Write(filepath.Join(dir, CardFile), func(f *os.File) error { _, err := f.Write(text); return err })
}

// card says in Markdown what a detector guards, what it was made of, its figures, and
// what it does not do.
func card(m Meta, identity string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	row := func(what, value string) {
		if value != "" {
			line("| %s | %s |", what, strings.NewReplacer("|", `\|`, "\n", " ").Replace(value))
		}
	}
	line("# %s\n", cmp.Or(strings.Join(strings.Fields(m.Name), " "), "A detector"))
	line("A detector of adversarial inputs of one classifier. vaeguard writes this page from meta.json, also at each calibration; notes of yours belong elsewhere.\n")
	line("| what it guards | |\n|---|---|")
	c := m.Classifier
	row("classifier", strings.TrimSpace(c.Name+" "+c.Version))
	row("its digest", cmp.Or(c.Digest, "not declared: it is known by name and version alone"))
	row("lent by", c.Lent)
	row("classes", classNames(c))
	row("answers", c.Output)
	if m.Signature != nil {
		row("a row", fmt.Sprintf("%s, %v", m.Signature.Kind, m.Signature.Shape))
	}
	line("\n| what it is | |\n|---|---|")
	row("method", m.Method)
	if t := m.Training; t != nil {
		row("trained", fmt.Sprintf("%d epochs of %d rows a step, loss %s, optimizer %s", t.Epochs, t.BatchSize, t.Loss, t.Optimizer))
	}
	if p := m.Precision; p != nil {
		row("precision of scoring", p.Scoring)
		row("precision of training", p.Training)
	}
	if m.Gradient != nil {
		row("gradients", string(m.Gradient.Kind))
	}
	for _, purpose := range sortedNames(m.Seeds) {
		row("seed of "+purpose, fmt.Sprint(m.Seeds[purpose]))
	}
	for _, name := range sortedNames(m.Versions) {
		row("version of "+name, m.Versions[name])
	}
	row("identity", identity)
	if len(m.Data) > 0 {
		line("\n| rows it was made from | sha256 |\n|---|---|")
		for _, role := range sortedNames(m.Data) {
			row(role, m.Data[role])
		}
	}
	line("\n## Figures\n")
	line("%s", m.Threshold.text())
	if h := m.Health; h != nil {
		line("\nOn %d clean rows (%s):\n", h.Rows, h.Source)
		for _, f := range h.Findings {
			mark := ""
			if f.Severity != health.Note {
				mark = "**" + string(f.Severity) + "**: "
			}
			line("- %s%s", mark, f.Message)
		}
	} else {
		line("\nNothing was measured on clean rows when it was made.")
	}
	line("\nWhat attacks do to it is no part of it: `vaeguard evaluate`, or the report of its run.")
	line("\n## Limits\n")
	for _, l := range limits(m) {
		line("- %s", l)
	}
	return b.String()
}

func classNames(c Classifier) string {
	const most = 20
	if n := len(c.Labels); n > 0 && n <= most {
		return fmt.Sprintf("%d: %s", c.Classes, strings.Join(c.Labels, ", "))
	}
	return fmt.Sprint(c.Classes)
}

// text is a sentence on the threshold; nil: there is none.
func (t *Threshold) text() string {
	switch {
	case t == nil:
		return "It has no threshold yet: `vaeguard calibrate` sets one."
	case t.FPR != nil && t.Confidence != nil:
		return fmt.Sprintf("Threshold %.6g, of %d clean scores: with probability %g at most %g of clean rows are flagged.", t.Value, t.N, *t.Confidence, *t.FPR)
	case t.FPR != nil:
		return fmt.Sprintf("Threshold %.6g, of %d clean scores: at most %g of clean rows are expected to be flagged.", t.Value, t.N, *t.FPR)
	case t.Percentile != nil:
		return fmt.Sprintf("Threshold %.6g: percentile %g of %d scores. It promises no rate of false alarms.", t.Value, *t.Percentile, t.N)
	}
	return fmt.Sprintf("Threshold %.6g, as given. It promises no rate of false alarms.", t.Value)
}

// limits are what its users must not expect of a detector.
func limits(m Meta) []string {
	out := []string{
		"An attacker who knows it and optimises against it can evade it: it is monitoring, not a proof of robustness.",
		"It is for the classifier above, and for no other.",
	}
	if t := m.Threshold; t != nil && t.FPR != nil {
		out = append(out, "The rate holds for rows drawn like those of the calibration, and only then.")
	}
	if m.Classifier.Lent != "" {
		out = append(out, "The classifier is not in the folder: whoever opens it needs that program's model.")
	}
	if m.Health.Worst() != health.Note {
		out = slices.Insert(out, 0, "Its health has findings, in bold above.")
	}
	return out
}
