package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/scoring"
	"github.com/vaeguard/vaeguard/host/vae"
)

func (a *app) inspectCommand() *cobra.Command {
	var strict bool
	c := &cobra.Command{
		Use:   "inspect DETECTOR",
		Short: "Verify a detector and describe it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s, err := host.Inspect(args[0], a.c)
			if err != nil {
				return err
			}
			held, unknown := s.Experiment.Confinement()
			if a.json {
				more := map[string]any{}
				if unknown == nil {
					more["confinement"] = held.String()
				}
				if s.Pack != nil {
					more["needs"] = append([]string{}, s.Pack.Needs...)
				}
				if err := a.encodeSaved(s.Experiment, s.Saved, more); err != nil {
					return err
				}
				return a.alarm(s.Saved.Meta.Health, unjudged(s.Saved.Meta.Threshold), strict)
			}
			if err := a.printSaved(s.Experiment, s.Saved); err != nil {
				return err
			}
			if unknown == nil {
				fmt.Fprintf(a.stdout, "its plugin  %v\n", held)
			}
			if s.Pack != nil {
				printNeeds(a.stdout, s.Pack)
			}
			return a.alarm(s.Saved.Meta.Health, unjudged(s.Saved.Meta.Threshold), strict)
		},
	}
	addStrict(c, &strict)
	return c
}

// printDetector prints what a detector is, after training or calibration.
func (a *app) printDetector(_ context.Context, d *host.Detector) error {
	a.progress().Wait()
	return a.printSaved(d.Experiment, d.Saved)
}

func (a *app) printSaved(e *host.Experiment, saved *artifact.Detector) error {
	if a.json {
		return a.encodeSaved(e, saved, nil)
	}
	layers, err := e.DescribeSaved(saved)
	if err != nil {
		return err
	}
	m := saved.Meta
	fmt.Fprintf(a.stdout, "detector    %s  %s\n", saved.Dir, saved.Digest)
	fmt.Fprintf(a.stdout, "spec        %s, method %s\n", m.Name, m.Method)
	fmt.Fprintf(a.stdout, "classifier  %s %s, %d classes, %s  %s\n", m.Classifier.Name, m.Classifier.Version, m.Classifier.Classes, m.Classifier.Output, m.Classifier.Digest+lentText(m.Classifier.Lent))
	if t := m.Training; t != nil {
		fmt.Fprintf(a.stdout, "training    %d epochs of %d rows a step, loss %s, optimizer %s\n", t.Epochs, t.BatchSize, t.Loss, t.Optimizer)
	}
	fmt.Fprintf(a.stdout, "input       %v\n", m.InputShape)
	if p := m.Precision; p != nil {
		fmt.Fprintf(a.stdout, "precision   %s in scoring, %s in training\n", p.Scoring, cmp.Or(p.Training, "none"))
	}
	if m.Samples > 0 {
		fmt.Fprintf(a.stdout, "samples     %d stored noise draws of width %d\n", m.Samples, m.LatentDim)
	}
	if m.Gradient != nil {
		for i, line := range gradientLines(*m.Gradient) {
			head := ""
			if i == 0 {
				head = "gradient"
			}
			fmt.Fprintf(a.stdout, "%-12s%s\n", head, line)
		}
	}
	if t := m.Threshold; t != nil {
		fmt.Fprintf(a.stdout, "threshold   %.6g%s\n", t.Value, thresholdText(t))
		for c, one := range t.Classes {
			if one.Pooled && t.ClassFPR != nil {
				continue // most are
			}
			fmt.Fprintf(a.stdout, "            %s\n", classThresholdText(m.Classifier.Labels, c, one))
		}
	} else {
		fmt.Fprintln(a.stdout, "threshold   none: set one with vaeguard calibrate")
	}
	if m.Correction != nil {
		fmt.Fprintf(a.stdout, "correction  %s\n", correctionText(m.Correction, m.Classifier.Labels))
	}
	a.printHealth(m.Health, unjudged(m.Threshold), "health      %s\n")
	if len(layers) > 0 {
		return vae.WriteTable(a.stdout, layers)
	}
	return nil
}

// encodeSaved is printSaved as JSON, with further keys.
func (a *app) encodeSaved(e *host.Experiment, saved *artifact.Detector, more map[string]any) error {
	layers, err := e.DescribeSaved(saved)
	if err != nil {
		return err
	}
	out := map[string]any{"meta": scoring.SavedMeta(e, saved), "detector": saved.Meta, "layers": layerRows(layers)}
	maps.Copy(out, more)
	return json.NewEncoder(a.stdout).Encode(out)
}

// gradientLines say where gradients came from while the detector was trained:
// how good they are, what they cost, and what was not used.
func gradientLines(r gradient.Report) []string {
	var first string
	switch r.Kind {
	case gradient.Surrogate:
		first = "from a surrogate"
		if f := r.HeldOut; f != nil {
			first += fmt.Sprintf(" that agrees with the classifier on %.3f of %d held-out rows (mean KL %.3g)", f.Agreement, f.N, f.KL)
			if f.Balanced > 0 {
				first += fmt.Sprintf(", %.3f in the mean over classes where a constant has %.3f of the rows", f.Balanced, f.Majority)
			}
		}
		if f := r.Noisy; f != nil {
			first += fmt.Sprintf(", on %.3f with noise", f.Agreement)
		}
		if f := r.Rebuilt; f != nil {
			first += fmt.Sprintf(", on %.3f of reconstructions", f.Agreement)
		}
		if r.Refits > 0 {
			first += fmt.Sprintf("; refits: %d", r.Refits)
		}
	case gradient.Difference:
		first = fmt.Sprintf("by central differences, steps of %.3g of a feature's range", r.Step)
	case gradient.NES:
		first = fmt.Sprintf("estimated from %d random pairs, deviations of %.3g of a feature's range, expected cosine %.2f", r.Pairs, r.Step, r.Cosine)
	default:
		first = string(r.Kind)
	}
	asked := fmt.Sprintf("%d rows were sent to the classifier in training: %d for predictions, %d only for gradients",
		r.Queries.Total(), r.Queries.Predictions, r.Queries.Gradients)
	if n := r.Queries.Health; n > 0 {
		asked += fmt.Sprintf("; %d more to judge the guard's health", n)
	}
	lines := []string{first, asked}
	for _, reason := range r.PassedOver {
		lines = append(lines, "not used: "+reason)
	}
	return lines
}

// classThresholdText is a line of a threshold by class.
func classThresholdText(names []string, class int, t artifact.ClassThreshold) string {
	name := fmt.Sprint(class)
	if class < len(names) {
		name = names[class]
	}
	if t.Pooled {
		return fmt.Sprintf("predicted %s: that of all (calibration scores: %d)", name, t.N)
	}
	if t.Shared {
		return fmt.Sprintf("predicted %s: %.6g, that of all classes with few rows (calibration scores: %d)", name, t.Value, t.N)
	}
	return fmt.Sprintf("predicted %s: %.6g (rank %d of %d calibration scores)", name, t.Value, t.Rank, t.N)
}

// lentText says who lent the classifier; "" for one that nobody did.
func lentText(by string) string {
	if by == "" {
		return ""
	}
	return ", lent by a program: " + by
}

// correctionText says which flagged rows keep the classifier's answer.
func correctionText(c *artifact.Correction, names []string) string {
	var kept []string
	for class, margin := range c.Margin {
		if margin == nil {
			continue
		}
		name := fmt.Sprint(class)
		if class < len(names) {
			name = names[class]
		}
		kept = append(kept, fmt.Sprintf("%s %.3g", name, *margin))
	}
	blind := ""
	if !c.Labelled {
		blind = "; learnt without labels: each answer that it would have changed counted as harm"
	}
	if len(kept) == 0 {
		return fmt.Sprintf("of each flagged row: it did no harm on %d calibration rows%s", c.N, blind)
	}
	return fmt.Sprintf("of flagged rows whose second opinion has log-odds above (by predicted class): %s; expected to put at most %.2g %% of clean rows wrong, %.2g %% of a class (%d calibration rows)%s", strings.Join(kept, ", "), 100*c.Loss, 100*c.ClassLoss, c.N, blind)
}

func thresholdText(t *artifact.Threshold) string {
	switch {
	case t.FPR != nil && t.Confidence != nil:
		of := ""
		if t.ClassFPR != nil {
			of = fmt.Sprintf(", of each predicted class at most %g,", *t.ClassFPR)
		}
		return fmt.Sprintf("  false-alarm rate at most %g%s with probability %g (rank %d of %d calibration scores)", *t.FPR, of, *t.Confidence, t.Rank, t.N)
	case t.ClassFPR != nil:
		return fmt.Sprintf("  expected false-alarm rate at most %g, of each predicted class at most %g (rank %d of %d calibration scores)", *t.FPR, *t.ClassFPR, t.Rank, t.N)
	case t.FPR != nil:
		return fmt.Sprintf("  expected false-alarm rate at most %g (rank %d of %d calibration scores)", *t.FPR, t.Rank, t.N)
	case t.Percentile != nil:
		return fmt.Sprintf("  percentile %g of %d calibration scores", *t.Percentile, t.N)
	}
	return "  set by value"
}
