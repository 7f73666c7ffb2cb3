package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
)

// detectFlags are the flags of detect.
type detectFlags struct {
	rows                   dataFlags
	open                   openFlags
	format, out, onError   string
	include, keep          []string
	noScore, anyClassifier bool
	batch                  int
}

func (a *app) detectCommand() *cobra.Command {
	var f detectFlags
	c := &cobra.Command{
		Use:   "detect DETECTOR --data X",
		Short: "Score, flag and correct inputs",
		Long:  detectLong(),
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.rows.data == "" {
				return usagef("detect needs --data: a file, a folder of images, or - for standard input")
			}
			if f.onError != "skip" && f.onError != "fail" {
				return usagef("--on-error %q: want skip or fail", f.onError)
			}
			if f.batch < 1 || f.batch > maxBatch {
				return usagef("--batch %d: want 1 to %d", f.batch, maxBatch)
			}
			include, err := parseInclude(f.include)
			if err != nil {
				return err
			}
			if f.format == "" {
				f.format = results.Default(f.rows.data == "-")
			}
			format, err := results.Lookup(f.format)
			if err != nil {
				return UsageError{err}
			}
			if _, err := f.rows.options(a); err != nil {
				return err
			}
			if err := format.Check(results.Options{Meta: results.Meta{Keep: f.keep}, Include: include}); err != nil {
				return UsageError{err}
			}
			if f.out == "" {
				if err := a.stdout.open(); err != nil {
					return err
				}
			}
			open := f.open.options(a)
			open.AnyClassifier = f.anyClassifier
			d, err := host.OpenContext(cmd.Context(), args[0], a.c, open)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.Close()) }()
			if d.State().Threshold == nil {
				return fmt.Errorf("detector %s has no threshold: set one with vaeguard calibrate %s --data CLEAN", args[0], args[0])
			}
			s := &scoring{d: d, f: f, include: include, example: d.InputShape()}
			if f.out == "" {
				return s.run(cmd.Context(), a, format, a.stdout)
			}
			return atomicfile.Write(f.out, func(w *os.File) error { return s.run(cmd.Context(), a, format, w) })
		},
	}
	f.rows.add(c.Flags(), a.c.Formats, "rows to score", "")
	c.Flags().StringVar(&f.format, "format", "", "format of the results: "+strings.Join(results.Names(false), ", ")+" (default "+results.Default(false)+"; "+results.Default(true)+" for -)")
	c.Flags().StringVar(&f.out, "out", "", "file to write, instead of standard output")
	c.Flags().StringVar(&f.onError, "on-error", "fail", "on a bad row: fail, or skip it and report its index")
	c.Flags().StringSliceVar(&f.include, "include", nil, "further results: probabilities, probabilities_reconstructed, reconstruction, latent")
	c.Flags().StringSliceVar(&f.keep, "keep", nil, "columns of the table to hand through to the results")
	c.Flags().BoolVar(&f.noScore, "no-instance-score", false, "omit instance_score")
	c.Flags().BoolVar(&f.anyClassifier, "any-classifier", false, "accept a classifier other than the one that the detector was made for")
	c.Flags().IntVar(&f.batch, "batch", 64, "instances scored together; the results do not depend on it")
	f.open.add(c)
	return c
}

// maxBatch bounds --batch: what is scored together is in memory together.
const maxBatch = 1 << 16

func parseInclude(names []string) (detect.Include, error) {
	var i detect.Include
	parts := map[string]*bool{
		"probabilities": &i.Probabilities, "probabilities_reconstructed": &i.ProbabilitiesReconstructed,
		"reconstruction": &i.Reconstruction, "latent": &i.Latent,
	}
	for _, n := range names {
		p, ok := parts[n]
		if !ok {
			return i, usagef("--include %q: known: probabilities, probabilities_reconstructed, reconstruction, latent", n)
		}
		*p = true
	}
	return i, nil
}

// detectLong says what results hold, and lists their formats.
func detectLong() string {
	var b strings.Builder
	b.WriteString("Every result carries the row's index, the verdict, and the class that the input, its reconstruction and the correction have.\n" +
		"Where they exist it carries the row's id, its file (of a folder: the path below it), the names of the classes, and the columns\n" +
		"that --keep names. A row that cannot be scored has an error instead.\n\nFormats of results:\n")
	for _, f := range results.Formats() {
		fmt.Fprintf(&b, "  %-8s %s\n", f.Name, f.Doc)
	}
	b.WriteString("\nOf --data - with --input-format arrow each record batch is answered as soon as it is scored, and with --format arrow by\n" +
		"one batch of as many rows.")
	return b.String()
}
