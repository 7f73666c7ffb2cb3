package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/track"
)

// specFlags are the flags of every verb that takes a spec.
type specFlags struct{ set []string }

func (f *specFlags) add(c *cobra.Command, name string) {
	c.Flags().StringArrayVar(&f.set, name, nil, "override a value of the spec: train.epochs=3")
}

// trackFlag adds --track to a verb.
func (a *app) trackFlag(c *cobra.Command, o *host.TrackOptions) {
	c.Flags().StringArrayVar(&o.To, "track", nil, "also tell the figures to "+strings.Join(a.c.Trackers.Names(), " or ")+", NAME or NAME:WHERE (explain NAME); repeatable")
}

// checkTrack refuses trackers that there are not, and targets that are none.
func (a *app) checkTrack(o host.TrackOptions) error {
	if _, err := track.Parse(a.c.Trackers, o.To); err != nil {
		return usagef("--track %w", err)
	}
	return nil
}

// quote makes one word of a shell.
func quote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (a *app) runCommand() *cobra.Command {
	var s specFlags
	var o host.RunOptions
	var dry, strict bool
	c := &cobra.Command{
		Use:   "run SPEC",
		Short: "Run the whole experiment: train, calibrate, attack, report",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := a.checkTrack(o.Track); err != nil {
				return err
			}
			e, err := host.Load(args[0], s.set, a.c, a.options())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, e.Close()) }()
			if dry {
				return a.printSummary(cmd.Context(), e, func() ([]price, error) { return a.prices(e, args[0], s.set, 0) })
			}
			if o.Out == "" {
				o.Out = rundir.Next(e.Spec.Name)
			}
			if err := cmd.Flags().Set("out", o.Out); err != nil {
				return err
			}
			o.Command, o.Reproduce = commandLine(cmd, args, notAgain, "--resume"), commandLine(cmd, args, reported)
			report, err := e.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.printReport(report, o.Out); err != nil {
				return err
			}
			return a.alarm(report.Health, unlooked, strict)
		},
	}
	s.add(c, "set")
	c.Flags().StringVar(&o.Out, "out", "", "run directory (default runs/NAME-N)")
	c.Flags().BoolVar(&o.Resume, "resume", false, "continue an interrupted run; start one if there is none")
	c.Flags().BoolVar(&o.Force, "force", false, "move an existing run aside")
	c.Flags().BoolVar(&dry, "dry-run", false, "print layers, parameters and estimates; write nothing")
	a.trackFlag(c, &o.Track)
	addStrict(c, &strict)
	return c
}

// printReport prints the figures of a report, and where its page is.
func (a *app) printReport(r *evaluate.Report, dir string) error {
	a.progress().Wait()
	if a.json {
		return json.NewEncoder(a.stdout).Encode(r)
	}
	fmt.Fprintf(a.stdout, "classifier accuracy %.4f, corrected %.4f\n", r.Classifier.Accuracy, r.Clean.AccuracyCorrected)
	fmt.Fprintf(a.stdout, "false-alarm rate %.2f %% on %d clean test rows\n", 100*r.Clean.FPR, r.Clean.N)
	if r.Constraints != nil {
		fmt.Fprintf(a.stdout, "attacks keep rows possible: %s\n", r.Constraints)
	}
	for _, t := range r.Attacks {
		fmt.Fprintf(a.stdout, "%-16s %-5s eps %-6s success rate %s  detected %s  AUC %s  accuracy %.3f, corrected %.3f\n",
			t.ID, t.Norm, eps(float64(t.Eps)), percent(float64(t.SuccessRate)), percent(float64(t.Detected)), fixed(float64(t.AUC)), t.Accuracy, t.AccuracyCorrected)
	}
	for _, t := range r.Adaptive {
		aim := "evaded " + percent(float64(t.Evaded))
		if t.FalseAlarms != nil {
			aim = "false alarms " + percent(float64(*t.FalseAlarms))
		}
		fmt.Fprintf(a.stdout, "%-16s %-5s eps %-6s success rate %s  detected %s  AUC %s  %s (adaptive)\n",
			t.ID, t.Norm, eps(float64(t.Eps)), percent(float64(t.SuccessRate)), percent(float64(t.Detected)), fixed(float64(t.AUC)), aim)
	}
	if c := r.Certified; c != nil {
		if p := c.At(c.Sigma); p != nil {
			fmt.Fprintf(a.stdout, "proved within L2 %g: right or flagged %s, corrected answer right %s of %d rows (certified, alpha %g)\n",
				p.Radius, strings.TrimSpace(percent(p.RightOrFlagged)), strings.TrimSpace(percent(p.Corrected)), c.N, c.Alpha)
		}
	}
	if u := r.AdaptiveUnion; u != nil {
		fmt.Fprintf(a.stdout, "evaded by at least one adaptive attack: %s of %d rows\n", strings.TrimSpace(percent(float64(u.Evaded))), u.N)
	}
	a.printHealth(r.Health, unlooked, "health: %s\n")
	for _, w := range r.Warnings {
		fmt.Fprintf(a.stdout, "warning: %s\n", w)
	}
	if dir != "" {
		fmt.Fprintf(a.stdout, "report: %s\n", filepath.Join(dir, "report.html"))
	}
	return nil
}

// percent is a share, or a dash where there was nothing to measure.
func percent(v float64) string {
	if v != v {
		return "  –"
	}
	return fmt.Sprintf("%3.0f %%", 100*v)
}

// eps is the bound of an attack, or a dash for one without.
func eps(v float64) string {
	if v != v || math.IsInf(v, 1) {
		return "–"
	}
	return fmt.Sprintf("%.4g", v)
}

func fixed(v float64) string {
	if v != v {
		return "–"
	}
	return fmt.Sprintf("%.3f", v)
}
