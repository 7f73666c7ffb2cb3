package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/host/scoring"
)

// detectFlags are the flags of detect.
type detectFlags struct {
	rows                   dataFlags
	open                   openFlags
	format, out, onError   string
	include, keep          []string
	noScore, anyClassifier bool
	requests               bool
	shard                  string
	resume                 bool
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
			if f.batch < 1 || f.batch > scoring.MaxBatch {
				return usagef("--batch %d: want 1 to %d", f.batch, scoring.MaxBatch)
			}
			include, err := parseInclude(f.include)
			if err != nil {
				return err
			}
			if f.requests && (f.rows.data != "-" || f.out != "") {
				return usagef("--requests answers on standard output what comes on standard input: want --data - and no --out")
			}
			if err := f.sharded(); err != nil {
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
			if err := d.Certifies(); include.CertifiedRadius && err != nil {
				return usagef("--include certified_radius: %w; method %s", err, d.Experiment.Spec.Detector.Method.Name)
			}
			if f.requests {
				return a.answerRequests(cmd.Context(), d, &f, format, include, a.stdout)
			}
			if f.shard != "" {
				return a.detectShard(cmd.Context(), d, &f, include, commandLine(cmd, args, notAgain, "--resume"))
			}
			if f.out == "" {
				return a.detect(cmd.Context(), d, &f, format, include, a.stdout)
			}
			var failed error
			err = atomicfile.Write(f.out, func(w *os.File) error {
				failed = a.detect(cmd.Context(), d, &f, format, include, w)
				return failed
			})
			var file *fs.PathError
			if failed != nil && !(errors.As(failed, &file) && file.Op == "write") { // of the rows or the classifier: --out is not at fault
				return failed
			}
			return err
		},
	}
	f.rows.add(c.Flags(), a.c.Formats, "rows to score", "")
	c.Flags().StringVar(&f.format, "format", "", "format of the results: "+strings.Join(results.Names(false), ", ")+" (default "+results.Default(false)+"; "+results.Default(true)+" for -)")
	c.Flags().StringVar(&f.out, "out", "", "file to write, instead of standard output")
	c.Flags().StringVar(&f.onError, "on-error", "fail", "on a bad row: fail, or skip it and report its index (of -, also rows that came while the classifier was away)")
	c.Flags().StringSliceVar(&f.include, "include", nil, "further results: "+strings.Join(includeNames, ", "))
	c.Flags().StringSliceVar(&f.keep, "keep", nil, "columns of the table to hand through to the results")
	c.Flags().BoolVar(&f.noScore, "no-instance-score", false, "omit instance_score")
	c.Flags().BoolVar(&f.anyClassifier, "any-classifier", false, "accept a classifier other than the one that the detector was made for")
	c.Flags().BoolVar(&f.requests, "requests", false, requestsHelp)
	c.Flags().StringVar(&f.shard, "shard", "", "i/n: score the i-th of n parts of the rows, from 0, into the folder --out; /n takes i from "+jobIndex)
	c.Flags().BoolVar(&f.resume, "resume", false, "with --shard: nothing is to do where the shard is done already")
	c.Flags().IntVar(&f.batch, "batch", 64, "instances scored together; the results do not depend on it")
	f.open.add(c)
	return c
}

// sharded checks the flags of a shard, whose results are parquet in a folder.
func (f *detectFlags) sharded() error {
	if f.shard == "" {
		if f.resume {
			return usagef("--resume goes with --shard")
		}
		return nil
	}
	if _, _, err := parseShard(f.shard); err != nil {
		return err
	}
	if f.out == "" {
		return usagef("--shard needs --out, a folder")
	}
	if f.format != "" && f.format != results.PartFormat {
		return usagef("--format %s: shards are %s; merge writes other formats", f.format, results.PartFormat)
	}
	f.format = results.PartFormat
	return nil
}

// scored are the flags as package scoring has them.
func (f *detectFlags) scored(include detect.Include) scoring.Options {
	return scoring.Options{Include: include, NoScore: f.noScore, SkipBad: f.onError == "skip", Live: f.rows.data == "-", Batch: f.batch, Wait: f.rows.data != "-"}
}

// detect streams the data through the detector.
func (a *app) detect(ctx context.Context, d *host.Detector, f *detectFlags, format results.Format, include detect.Include, w io.Writer) error {
	return a.detectFrom(ctx, d, f, nil, format, include, w)
}

// detectFrom is detect with something in the place of standard input; nil: that itself.
func (a *app) detectFrom(ctx context.Context, d *host.Detector, f *detectFlags, in io.Reader, format results.Format, include detect.Include, w io.Writer) (err error) {
	read, err := f.rows.options(a)
	if err != nil {
		return err
	}
	read.Keep, read.Batches = f.keep, f.rows.data == "-" && in == nil
	if in != nil {
		read.Stdin = in
	}
	stream, err := d.Stream(f.rows.data, read)
	if err != nil {
		return err
	}
	a.notices(stream.About().Notices)
	defer func() { err = errors.Join(err, stream.Close()) }()
	o := results.Options{Meta: scoring.Meta(d), ID: stream.Schema().ID != "", Include: include}
	o.Keep, o.Kinds, o.Grouped = f.keep, stream.Kept(), stream.Batched()
	to, err := format.New(w, o)
	if err != nil {
		return UsageError{err}
	}
	how := f.scored(include)
	how.Wait = how.Wait || in != nil
	return scoring.Write(ctx, d, stream, to, how)
}

// includeNames are what --include knows.
var includeNames = []string{"probabilities", "probabilities_reconstructed", "reconstruction", "latent", "certified_radius"}

func parseInclude(names []string) (detect.Include, error) {
	var i detect.Include
	parts := map[string]*bool{
		"probabilities": &i.Probabilities, "probabilities_reconstructed": &i.ProbabilitiesReconstructed,
		"reconstruction": &i.Reconstruction, "latent": &i.Latent, "certified_radius": &i.CertifiedRadius,
	}
	for _, n := range names {
		p, ok := parts[n]
		if !ok {
			return i, usagef("--include %q: known: %s", n, strings.Join(includeNames, ", "))
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
	b.WriteString("\nWith --shard i/n only a part of the rows is scored, and --out is a folder for all parts. --data may be a pattern of files then,\n" +
		"'in/*.parquet', whose results carry the file's name. The parts are row groups of Parquet, files, or ranges of rows; processes on\n" +
		"any machines score them in any order, again after a crash, and vaeguard merge OUT makes one table of them.\n")
	b.WriteString("\nOf --data - with --input-format arrow each record batch is answered as soon as it is scored, and with --format arrow by\n" +
		"one batch of as many rows.")
	return b.String()
}
