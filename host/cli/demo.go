package cli

import (
	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
)

func (a *app) demoCommand() *cobra.Command {
	o := host.RunOptions{Out: "vaeguard-demo"}
	var strict bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run the whole experiment on embedded data, in under a minute",
		Long: "demo trains a small CNN as a plugin, trains a detector for it, calibrates the detector's threshold, attacks the\n" +
			"classifier, and reports what is detected and corrected, on images embedded in this program.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := host.Load("demo", nil, a.c, a.options())
			if err != nil {
				return err
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
	c.Flags().StringVar(&o.Out, "out", o.Out, "run directory")
	c.Flags().BoolVar(&o.Resume, "resume", false, "continue an interrupted demo")
	c.Flags().BoolVar(&o.Force, "force", false, "move an existing directory aside")
	addStrict(c, &strict)
	return c
}
