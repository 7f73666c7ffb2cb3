package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve"
	"github.com/vaeguard/vaeguard/host/spec"
)

func (a *app) lintCommand() *cobra.Command {
	var set []string
	var plugins bool
	c := &cobra.Command{
		Use:   "lint SPEC…",
		Short: "Check specs: every fault at once, with line and column",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all spec.Errors
			for _, file := range args {
				var e *host.Experiment
				var err error
				server := spec.KindOf(file) == serve.Kind
				if server {
					_, err = serve.Load(file, set, a.c)
				} else {
					e, err = host.LoadForLint(file, set, a.c, a.options())
				}
				var faults spec.Errors
				switch {
				case errors.As(err, &faults):
					all = append(all, faults...)
					continue
				case err != nil:
					all = append(all, spec.Error{File: file, Message: err.Error()})
					continue
				case server:
					continue
				}
				if err := e.LintClassifier(cmd.Context(), plugins); err != nil {
					if !errors.As(err, &faults) {
						return err
					}
					all = append(all, faults...)
				}
			}
			if a.json {
				type fault struct {
					File    string `json:"file"`
					Line    int    `json:"line"`
					Column  int    `json:"column"`
					Path    string `json:"path"`
					Message string `json:"message"`
				}
				out := []fault{}
				for _, f := range all {
					out = append(out, fault{f.File, f.Pos.Line, f.Pos.Column, f.Path, f.Message})
				}
				if err := json.NewEncoder(a.stdout).Encode(out); err != nil {
					return err
				}
			}
			if len(all) > 0 {
				return all
			}
			if !a.json && !a.quiet {
				specs := "specs"
				if len(args) == 1 {
					specs = "spec"
				}
				fmt.Fprintf(a.stderr, "%d %s OK\n", len(args), specs)
			}
			return nil
		},
	}
	c.Flags().StringArrayVar(&set, "set", nil, "override a value: train.epochs=3")
	c.Flags().BoolVar(&plugins, "plugins", false, "also start the classifier and check its config")
	return c
}
