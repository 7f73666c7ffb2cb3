package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/health"
)

// addStrict adds the flag of verbs that make a guard or look at one.
func addStrict(c *cobra.Command, strict *bool) {
	c.Flags().BoolVar(strict, "strict", false, "exit with code 1 if the guard's health has a severe finding, it is useless or does harm, or is not known")
}

// unjudged says why a guard of a threshold has no health.
func unjudged(t *artifact.Threshold) string {
	switch {
	case t == nil:
		return "it has no threshold: set one with vaeguard calibrate"
	case t.Given != nil:
		return "its threshold was given, and no clean rows were looked at: vaeguard calibrate --data judges it"
	case t.Percentile != nil:
		return "its threshold is a percentile of rows that may be a mixture: vaeguard calibrate --data with clean rows judges it"
	}
	return unlooked
}

// unlooked is why a guard has no health, where no more is known.
const unlooked = "no clean calibration rows were looked at: vaeguard calibrate --data judges it"

// printHealth prints what was looked at, a line each, in the format of one; of a guard
// without a health, why.
func (a *app) printHealth(r *health.Report, why, format string) {
	if r == nil {
		fmt.Fprintf(a.stdout, format, "not known: "+why)
		return
	}
	for _, f := range r.Findings {
		mark := ""
		if f.Severity != health.Note {
			mark = string(f.Severity) + ": "
		}
		fmt.Fprintf(a.stdout, format, mark+f.Message)
	}
}

// alarm writes what is wrong with a guard and what may cure it to standard error, last
// of all; --quiet with --json leaves it to the field health. With strict a severe
// finding is an error, and so is a health that is not known, for the reason why.
func (a *app) alarm(r *health.Report, why string, strict bool) error {
	if strict && r == nil {
		return fmt.Errorf("--strict does not accept a guard whose health is not known: %s", why)
	}
	if r.Worst() != health.Note && !(a.quiet && a.json) {
		a.writeAlarm(r)
	}
	if strict {
		return r.Check()
	}
	return nil
}

func (a *app) writeAlarm(r *health.Report) {
	head, rule := "The guard has weaknesses", strings.Repeat("-", 78)
	if r.Worst() == health.Severe {
		head, rule = "DO NOT RELY ON THIS GUARD: it is useless, or does harm", strings.Repeat("!", 78)
	}
	fmt.Fprintf(a.stderr, "\n%s\n%s (%d clean rows of data.%s)\n", rule, head, r.Rows, r.Source)
	for _, s := range []health.Severity{health.Severe, health.Warning} {
		for _, f := range r.Of(s) {
			fmt.Fprintf(a.stderr, "\n%s  %s: %s\n", s, f.Name, f.Message)
			for _, c := range f.Cures {
				fmt.Fprintf(a.stderr, "  try  %s\n", c)
			}
		}
	}
	fmt.Fprintf(a.stderr, "%s\n", rule)
}
