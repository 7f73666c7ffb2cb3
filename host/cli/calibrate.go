package cli

import (
	"errors"
	"fmt"
	"math"
	"os"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/spec"
)

func (a *app) calibrateCommand() *cobra.Command {
	var out string
	var rows dataFlags
	var by string
	var minRows int
	var fpr, classFPR, confidence, percentile, value float64
	var open openFlags
	var strict bool
	c := &cobra.Command{
		Use:   "calibrate DETECTOR --data X",
		Short: "Set a new threshold from clean rows",
		Long: "calibrate scores rows and sets the threshold: by a false-alarm rate (the default, 0.05), by a percentile of the\n" +
			"scores, or as given; --value as the detector has it, without --data and with --out, is a copy. The rows should be clean, held out, and from the same distribution as the data to come;\n" +
			"with --percentile Q they may be a mixture of which about Q percent is clean.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var rule detect.Rule
			set := 0
			for name, field := range map[string]struct {
				to   **float64
				from *float64
			}{"fpr": {&rule.FPR, &fpr}, "percentile": {&rule.Percentile, &percentile}, "value": {&rule.Value, &value}} {
				if cmd.Flags().Changed(name) {
					*field.to = field.from
					set++
				}
			}
			if set == 0 {
				rule.FPR = &fpr
			}
			if set > 1 {
				return usagef("calibrate takes one of --fpr, --percentile and --value")
			}
			if cmd.Flags().Changed("confidence") {
				if rule.FPR == nil {
					return usagef("--confidence needs --fpr")
				}
				rule.Confidence = &confidence
			}
			if cmd.Flags().Changed("class-fpr") {
				rule.ClassFPR = &classFPR
			}
			if rule.By, rule.MinRows = by, minRows; by != "" && by != detect.ByPredictedClass || rule.Validate() != nil {
				return usagef("--by takes %s, --class-fpr at least --fpr; one of the two goes with --fpr, and --min-rows with one of them", detect.ByPredictedClass)
			}
			if err := spec.Bounds(&rule); err != nil {
				return usagef("--%v", err)
			}
			if rule.Value != nil && (math.IsNaN(value) || math.IsInf(value, 0)) {
				return usagef("--value %v: want a finite number", value)
			}
			if rows.data == "" && rule.Value == nil {
				return usagef("calibrate needs --data, rows to score")
			}
			if rows.data == "" && rows.labels != "" {
				return usagef("--labels needs --data")
			}
			if _, err := os.Lstat(out); out != "" && err == nil {
				return fmt.Errorf("%s exists: choose another --out", out)
			}
			if rows.data == "" && out != "" {
				if done, err := a.copied(args[0], *rule.Value, out); done || err != nil {
					return err
				}
			}
			o, err := rows.options(a)
			if err != nil {
				return err
			}
			d, err := host.OpenContext(cmd.Context(), args[0], a.c, open.options(a))
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if t := d.Saved.Meta.Threshold; t != nil && rule.FPR != nil && !cmd.Flags().Changed("by") && !cmd.Flags().Changed("class-fpr") {
				rule.By, rule.ClassFPR, rule.MinRows = t.By, t.ClassFPR, t.MinRows
				if rule.ClassFPR != nil && *rule.ClassFPR < *rule.FPR {
					rule.ClassFPR = rule.FPR
				}
			}
			var x *dataset.Data
			if rows.data != "" {
				if x, err = d.Read(rows.data, o); err != nil {
					return err
				}
			}
			if err := d.Recalibrate(cmd.Context(), x, rule, out); err != nil {
				return err
			}
			if err := a.printDetector(cmd.Context(), d); err != nil {
				return err
			}
			if c := d.Saved.Meta.Correction; c != nil && !c.Labelled && x != nil {
				a.progress().Note("warning: these rows have no labels, so that correction was learnt anew with each answer that it would change counted as harm: it may nearly stop; --labels or --label names them")
			}
			return a.alarm(d.Saved.Meta.Health, unjudged(d.Saved.Meta.Threshold), strict)
		},
	}
	rows.add(c.Flags(), a.c.Formats, "rows to score", "labels of --data, where it has none itself: a file; correction and health are judged by them")
	addStrict(c, &strict)
	c.Flags().Float64Var(&fpr, "fpr", 0.05, "false-alarm rate")
	c.Flags().Float64Var(&classFPR, "class-fpr", 0.15, "with --fpr: a class of which more than this would be flagged has a higher threshold of its own (default: as before)")
	c.Flags().Float64Var(&confidence, "confidence", 0.95, "with --fpr: probability with which the rate holds")
	c.Flags().Float64Var(&percentile, "percentile", 95, "percentile of the scores")
	c.Flags().Float64Var(&value, "value", 0, "the threshold itself")
	c.Flags().StringVar(&by, "by", "", "with --fpr: predicted_class gives each predicted class its own threshold (default: as before)")
	c.Flags().IntVar(&minRows, "min-rows", 0, "with --by or --class-fpr: rows below which a class shares a threshold with all such classes (default 30)")
	c.Flags().StringVar(&out, "out", "", "write a new detector instead of changing this one; of a pack, another pack: X.vg or X/")
	open.add(c)
	return c
}

// copied writes a copy of a detector that has this threshold already; otherwise, and of
// a pack, it does nothing.
func (a *app) copied(path string, value float64, out string) (bool, error) {
	s, err := host.Inspect(path, a.c)
	if err != nil {
		return false, err
	}
	if t := s.Saved.Meta.Threshold; s.Pack != nil || t == nil || t.Value != value {
		return false, nil
	}
	if err := s.Copy(out); err != nil {
		return false, err
	}
	return true, a.printSaved(s.Experiment, s.Saved)
}
