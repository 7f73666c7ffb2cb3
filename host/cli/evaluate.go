package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

func (a *app) evaluateCommand() *cobra.Command {
	var attacks, transfer, out string
	var rows dataFlags
	var gates []string
	var anyClassifier, unconstrained bool
	var limit int
	var flags openFlags
	c := &cobra.Command{
		Use:   "evaluate DETECTOR --out DIR",
		Short: "Attack the classifier, with and without the detector; write report.json and report.html",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if out == "" {
				return usagef("evaluate needs --out DIR")
			}
			if rows.data == "" && rows.labels != "" {
				return usagef("--labels needs --data")
			}
			if limit < 0 {
				return usagef("--limit %d: want 0 or more", limit)
			}
			read, err := rows.options(a)
			if err != nil {
				return err
			}
			var parsed []evaluate.Gate
			for _, text := range gates {
				g, err := evaluate.ParseGate(text)
				if err != nil {
					return usagef("--fail-if %q: %w", text, err)
				}
				parsed = append(parsed, g)
			}
			o := host.EvaluateOptions{Unconstrained: unconstrained, Limit: limit}
			if attacks != "" {
				if o.Attacks, err = host.ReadAttacks(attacks, a.c); err != nil {
					return err
				}
			}
			if len(parsed) > 0 { // before anything is started
				s, err := host.Inspect(args[0], a.c)
				if err != nil {
					return err
				}
				if err := s.Experiment.ExpectGates(parsed, o.Attacks); err != nil {
					return UsageError{err}
				}
			}
			open := flags.options(a)
			open.AnyClassifier = anyClassifier
			d, err := host.OpenContext(cmd.Context(), args[0], a.c, open)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if rows.data != "" {
				if o.Rows, err = d.Read(rows.data, read); err != nil {
					return err
				}
				if o.Rows.Labels == nil {
					return usagef("%s has no labels, without which accuracy cannot be measured: give --labels, or --label for a column", rows.data)
				}
			}
			if transfer != "" {
				if o.Transfer, err = host.OpenContext(cmd.Context(), transfer, a.c, open); err != nil {
					return err
				}
				defer func() { err = errors.Join(err, o.Transfer.Close()) }()
			}
			report, details, err := d.Evaluate(cmd.Context(), o)
			if err != nil {
				return err
			}
			command := commandLine(cmd, args, reported)
			if err := d.WriteReport(out, report, details, host.ReportOptions{Command: command, Data: rows.data}); err != nil {
				return err
			}
			if err := a.printReport(report, out); err != nil {
				return err
			}
			if err := a.alarm(report.Health, unjudged(d.Saved.Meta.Threshold), false); err != nil {
				return err
			}
			failed, err := report.Check(parsed)
			if err != nil {
				return UsageError{err}
			}
			if len(failed) > 0 {
				lines := make([]string, len(failed))
				for i, f := range failed {
					lines[i] = "gate failed: " + f.String()
				}
				return GateError{errors.New(strings.Join(lines, "\n"))}
			}
			return nil
		},
	}
	c.Flags().StringVar(&attacks, "attacks", "", "YAML file with a list of attacks (default: the spec's)")
	rows.add(c.Flags(), a.c.Formats, "clean rows (default: the spec's data.test)", "labels of --data, where it has none itself: a file")
	c.Flags().StringVar(&transfer, "transfer-from", "", "detector of another seed, on which transfer attacks are made")
	c.Flags().StringArrayVar(&gates, "fail-if", nil, "exit with code 3 if the condition holds: 'attacks.pgd.auc<0.95'")
	c.Flags().IntVar(&limit, "limit", 0, "class-balanced number of rows to attack, and of clean rows to score where evaluate.clean_limit is not more (default: the spec's evaluate.limit)")
	c.Flags().BoolVar(&unconstrained, "unconstrained", false, "let attacks make rows that the data's constraints call impossible, for comparison")
	c.Flags().StringVar(&out, "out", "", "directory to write the report to")
	c.Flags().BoolVar(&anyClassifier, "any-classifier", false, "accept a classifier other than the one that the detector was made for")
	flags.add(c)
	return c
}
