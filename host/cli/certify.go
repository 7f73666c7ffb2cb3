package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
)

func (a *app) certifyCommand() *cobra.Command {
	var out string
	var rows dataFlags
	var radii []string
	var o host.CertifyOptions
	var anyClassifier bool
	var flags openFlags
	c := &cobra.Command{
		Use:   "certify DETECTOR [--data X --labels Y]",
		Short: "Prove within which distance of clean rows any single misclassified row is flagged, but for a chance of alpha",
		Long: "certify asks for noisy copies of each row and proves within which L2 distance any single row, whoever makes it, is both\n" +
			"misclassified and unflagged with a chance of at most --alpha, over the noise, and within which the corrected answer is wrong\n" +
			"with no more than that. Who tries t rows has up to t times the chance that one passes. It is for detectors that flag by votes\n" +
			"(detector.method: smoothed). What is proved stands beside the false alarms and the clean accuracy that it costs. The statement\n" +
			"and all that it rests on: host/detect/CERTIFICATES.md.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if rows.data == "" && rows.labels != "" {
				return usagef("--labels needs --data")
			}
			if o.Limit < 0 {
				return usagef("--limit %d: want 0 or more", o.Limit)
			}
			if cmd.Flags().Changed("proof-votes") && o.Votes < 1 {
				return usagef("--proof-votes %d: want 1 or more", o.Votes)
			}
			if cmd.Flags().Changed("alpha") && !(o.Alpha > 0 && o.Alpha < 1) {
				return usagef("--alpha %v: want between 0 and 1", o.Alpha)
			}
			for _, text := range radii {
				r, err := strconv.ParseFloat(text, 64)
				if err != nil || !(r >= 0) || math.IsInf(r, 0) {
					return usagef("--radii %q: want numbers from 0", text)
				}
				o.Radii = append(o.Radii, r)
			}
			if _, err := os.Lstat(out); out != "" && err == nil {
				return fmt.Errorf("%s exists: choose another --out", out)
			}
			read, err := rows.options(a)
			if err != nil {
				return err
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
					return usagef("%s has no labels, and what is proved is that of a row's true class: give --labels, or --label for a column", rows.data)
				}
			}
			got, err := d.CertifyRows(cmd.Context(), o)
			if err != nil {
				return err
			}
			if out != "" {
				if err := atomicfile.Write(out, func(f *os.File) error {
					e := json.NewEncoder(f)
					e.SetIndent("", "  ")
					return e.Encode(got)
				}); err != nil {
					return err
				}
			}
			return a.printCertification(got, out)
		},
	}
	rows.add(c.Flags(), a.c.Formats, "clean rows (default: the spec's data.test)", "labels of --data, where it has none itself: a file")
	c.Flags().IntVar(&o.Limit, "limit", 0, "class-balanced number of rows to certify (default: all)")
	c.Flags().IntVar(&o.Votes, "proof-votes", 0, "noisy copies that a certificate rests on (default: the detector's proof_votes)")
	c.Flags().Float64Var(&o.Alpha, "alpha", 0, "chance that a certificate does not hold (default: the detector's alpha)")
	c.Flags().StringSliceVar(&radii, "radii", nil, "radii of the curve (default: 0 to 4 sigma in steps of a fifth)")
	c.Flags().BoolVar(&o.Alone, "classifier-alone", true, "certify the classifier without the detector too, for comparison; =false saves the time")
	c.Flags().StringVar(&out, "out", "", "JSON file to write: the curve, and the radii row by row")
	c.Flags().BoolVar(&anyClassifier, "any-classifier", false, "accept a classifier other than the one that the detector was made for")
	flags.add(c)
	return c
}

// printCertification prints the table, or the JSON without the rows where a file
// has them.
func (a *app) printCertification(c *host.Certification, out string) error {
	a.progress().Wait()
	if a.json {
		short := *c
		if out != "" {
			short.Rows = nil
		}
		return json.NewEncoder(a.stdout).Encode(short)
	}
	w := a.stdout
	fmt.Fprintf(w, "%d rows, noise of %g, a verdict by %d votes of which %d pass, a certificate by %d others, alpha %g\n", c.N, c.Sigma, c.Votes, c.Quorum, c.ProofVotes, c.Alpha)
	fmt.Fprintf(w, "false alarms %s, accuracy %s, corrected %s (clean cost %.1f points)\n\n", proved(c.FPR), proved(c.Accuracy), proved(c.AccuracyCorrected), 100*c.CleanCost)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "L2 radius\tright or flagged\tof rows right\tcorrected right\tmajority right\tclassifier alone\t")
	for _, p := range c.Curve {
		fmt.Fprintf(t, "%g\t%s\t%s\t%s\t%s\t%s\t\n", p.Radius, proved(p.RightOrFlagged), proved(float64(p.RightOrFlaggedRight)), proved(p.Corrected), proved(p.Smoothed), proved(float64(p.Alone)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if out != "" {
		fmt.Fprintf(w, "\nrow by row: %s\n", out)
	}
	return nil
}

// proved is a share as the table has it.
func proved(v float64) string {
	if math.IsNaN(v) {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*v)
}
