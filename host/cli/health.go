package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host/health"
)

// addStrict adds the flag of verbs that train.
func addStrict(c *cobra.Command, strict *bool) {
	c.Flags().BoolVar(strict, "strict", false, "exit with code 1 if the guard's health has a severe finding: it is useless or does harm")
}

// printHealth prints what was looked at, a line each, in the format of one.
func (a *app) printHealth(r *health.Report, format string) {
	if r == nil {
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

// alarm writes what is wrong with a guard and what may cure it to standard
// error, last of all; --quiet with --json leaves it to the field health. With
// strict a severe finding is an error.
func (a *app) alarm(r *health.Report, strict bool) error {
	if r.Worst() == health.Note {
		return nil
	}
	if !a.quiet || !a.json {
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
