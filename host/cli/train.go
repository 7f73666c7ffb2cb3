package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
)

func (a *app) trainCommand() *cobra.Command {
	var s specFlags
	var o host.TrainOptions
	var base string
	var strict, lines bool
	c := &cobra.Command{
		Use:   "train SPEC --out DETECTOR",
		Short: "Train and calibrate a detector",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if o.Out == "" {
				return usagef("train needs --out DETECTOR")
			}
			if err := a.checkTrack(o.Track); err != nil {
				return err
			}
			options := a.options()
			if lines {
				options.Progress = a.reportJSON()
			}
			load := host.Load
			if base != "" {
				load = func(name string, set []string, c host.Components, o host.Options) (*host.Experiment, error) {
					return host.LoadAt(name, base, set, c, o)
				}
			}
			e, err := load(args[0], s.set, a.c, options)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, e.Close()) }()
			o.Command = commandLine(cmd, args, notAgain, "--resume")
			d, err := e.TrainTo(cmd.Context(), o)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if err := a.printDetector(cmd.Context(), d); err != nil {
				return err
			}
			return a.alarm(d.Saved.Meta.Health, unjudged(d.Saved.Meta.Threshold), strict)
		},
	}
	s.add(c, "set")
	c.Flags().StringVar(&o.Out, "out", "", "directory to write the detector to")
	c.Flags().BoolVar(&o.Resume, "resume", false, "continue an interrupted training; start one if there is none")
	c.Flags().BoolVar(&o.Force, "force", false, "move an existing directory aside")
	c.Flags().StringVar(&base, "base", "", "folder that relative paths of the spec start from (default: the spec's own)")
	a.trackFlag(c, &o.Track)
	c.Flags().BoolVar(&lines, "progress-json", false, "report progress on standard error as JSON, one object a line, for a program that shows it")
	addStrict(c, &strict)
	return c
}
