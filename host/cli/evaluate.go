package cli

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/evaluate"
)

func (a *app) evaluateCommand() *cobra.Command {
	var attacks, data, labels, transfer, out string
	var gates []string
	var anyClassifier bool
	var flags openFlags
	c := &cobra.Command{
		Use:   "evaluate DETECTOR --out DIR",
		Short: "Attack the classifier, with and without the detector; write report.json and report.html",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if out == "" {
				return usagef("evaluate needs --out DIR")
			}
			if (data == "") != (labels == "") {
				return usagef("evaluate needs --data and --labels together: accuracy cannot be measured without labels")
			}
			var parsed []evaluate.Gate
			for _, text := range gates {
				g, err := evaluate.ParseGate(text)
				if err != nil {
					return usagef("--fail-if %q: %w", text, err)
				}
				parsed = append(parsed, g)
			}
			var o host.EvaluateOptions
			if data != "" {
				if o.X, err = a.readRows(data, nil); err != nil {
					return err
				}
			}
			if attacks != "" {
				if o.Attacks, err = host.ReadAttacks(attacks, a.c); err != nil {
					return err
				}
			}
			open := flags.options(a)
			open.AnyClassifier = anyClassifier
			d, err := host.OpenContext(cmd.Context(), args[0], a.c, open)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if labels != "" {
				if o.Labels, err = a.readLabels(labels, o.X.N(), d.ClassNames()); err != nil {
					return err
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
			command := evaluateLine(args[0], anyClassifier, flags, [2]string{"attacks", attacks}, [2]string{"data", data}, [2]string{"labels", labels},
				[2]string{"transfer-from", transfer}, [2]string{"out", out})
			if err := d.WriteReport(out, report, details, host.ReportOptions{Command: command}); err != nil {
				return err
			}
			if err := a.printReport(report, out); err != nil {
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
	c.Flags().StringVar(&data, "data", "", "clean rows (default: the spec's data.test)")
	c.Flags().StringVar(&labels, "labels", "", "labels of --data")
	c.Flags().StringVar(&transfer, "transfer-from", "", "detector of another seed, on which transfer attacks are made")
	c.Flags().StringArrayVar(&gates, "fail-if", nil, "exit with code 3 if the condition holds: 'attacks.pgd.auc<0.95'")
	c.Flags().StringVar(&out, "out", "", "directory to write the report to")
	c.Flags().BoolVar(&anyClassifier, "any-classifier", false, "accept a classifier other than the one that the detector was made for")
	flags.add(c)
	return c
}

// evaluateLine is the shell command of an evaluation. flags are the names and
// values of those that decide what the report says; empty ones are left out.
func evaluateLine(detector string, anyClassifier bool, open openFlags, flags ...[2]string) string {
	text := "vaeguard evaluate " + quote(detector)
	for _, f := range flags {
		if f[1] != "" {
			text += " --" + f[0] + " " + quote(f[1])
		}
	}
	if anyClassifier {
		text += " --any-classifier"
	}
	return text + open.line()
}
