package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// detectFlags are the flags of detect.
type detectFlags struct {
	data, format, inputFormat, out, onError string
	include                                 []string
	noScore, anyClassifier                  bool
	batch                                   int
	open                                    openFlags
}

func (a *app) detectCommand() *cobra.Command {
	var f detectFlags
	c := &cobra.Command{
		Use:   "detect DETECTOR --data X",
		Short: "Score, flag and correct inputs",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if f.data == "" {
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
				f.format = "json"
				if f.data == "-" {
					f.format = "jsonl"
				}
			}
			if _, err := newResultWriter(f.format, io.Discard, resultMeta{}); err != nil {
				return err
			}
			if f.format == "csv" && len(f.include) > 0 {
				return usagef("--include: csv has one value per column; use json, jsonl or npz")
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
			if f.out == "" {
				return a.detectTo(cmd.Context(), d, f, include, a.stdout)
			}
			return atomicfile.Write(f.out, func(w *os.File) error { return a.detectTo(cmd.Context(), d, f, include, w) })
		},
	}
	c.Flags().StringVar(&f.data, "data", "", "rows to score: "+rowsHelp(a.c.Formats)+", or - for standard input")
	c.Flags().StringVar(&f.format, "format", "", "format of the results: json, jsonl, csv or npz (default json; jsonl for -)")
	c.Flags().StringVar(&f.inputFormat, "input-format", "", inputFormatHelp(a.c.Formats))
	c.Flags().StringVar(&f.out, "out", "", "file to write, instead of standard output")
	c.Flags().StringVar(&f.onError, "on-error", "fail", "on a bad row: fail, or skip it and report its index")
	c.Flags().StringSliceVar(&f.include, "include", nil, "further results: probabilities, probabilities_reconstructed, reconstruction, latent")
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

// metaOf is what results say of the detector.
func metaOf(d *host.Detector) resultMeta {
	dataType := d.Experiment.Spec.Detector.DataType
	if dataType == "" {
		dataType = "tabular"
		if len(d.InputShape()) == 3 {
			dataType = "image"
		}
	}
	return resultMeta{Name: d.Experiment.Spec.Detector.Title(), DetectorType: "adversarial", DataType: dataType, Version: host.Version(),
		Threshold: d.Threshold().Value, Detector: d.Digest()}
}

// detectTo streams the data through the detector, in order and in constant
// memory (json and npz gather their columns).
func (a *app) detectTo(ctx context.Context, d *host.Detector, f detectFlags, include detect.Include, w io.Writer) (err error) {
	results, err := newResultWriter(f.format, w, metaOf(d))
	if err != nil {
		return err
	}
	example := d.InputShape()
	stream, err := dataset.OpenStream(f.data, a.c.Formats, dataset.StreamOptions{Format: f.inputFormat, Example: example, Batch: 1, Stdin: a.stdin})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stream.Close()) }()
	index := 0 // of the next row of the input
	rows := newFeed(ctx, stream, f.batch)
	defer rows.stop()
	for {
		batch := rows.next()
		if n := len(batch.data) / example.Size(); n > 0 {
			if err := a.score(ctx, d, f, include, results, batch.data, index, example); err != nil {
				return err
			}
			index += n
		}
		if batch.bad != nil {
			if f.onError == "fail" {
				return fmt.Errorf("row %d: %w", index, batch.bad)
			}
			if err := results.Bad(index, batch.bad); err != nil {
				return err
			}
			index++
		}
		if errors.Is(batch.err, io.EOF) {
			return results.Close()
		}
		if batch.err != nil {
			return batch.err
		}
	}
}

// score writes the results of one batch. A row that the detector cannot score
// is reported by its index and the others are scored without it.
func (a *app) score(ctx context.Context, d *host.Detector, f detectFlags, include detect.Include, results resultWriter, data []float32, first int, example tensor.Shape) error {
	n := len(data) / example.Size()
	x := tensor.From(data, append([]int{n}, example...)...)
	r, err := d.DetectInclude(ctx, x, include)
	var bad *detect.RowError
	if errors.As(err, &bad) && f.onError == "skip" {
		size := example.Size()
		at := bad.Row
		if at > 0 {
			if err := a.score(ctx, d, f, include, results, data[:at*size], first, example); err != nil {
				return err
			}
		}
		if err := results.Bad(first+at, errors.New(bad.Message)); err != nil {
			return err
		}
		if at+1 < n {
			return a.score(ctx, d, f, include, results, slices.Clone(data[(at+1)*size:]), first+at+1, example)
		}
		return nil
	}
	if errors.As(err, &bad) {
		return fmt.Errorf("row %d: %s", first+bad.Row, bad.Message)
	}
	if kind := sdk.KindOf(err); err != nil && f.onError == "skip" && (kind == sdk.InvalidArgument || kind == sdk.Internal) && !errors.Is(err, context.Canceled) {
		// The classifier refuses the rows, or fails on them: probably one of them.
		if n == 1 {
			return results.Bad(first, err)
		}
		half := n / 2 * example.Size()
		if err := a.score(ctx, d, f, include, results, data[:half], first, example); err != nil {
			return err
		}
		return a.score(ctx, d, f, include, results, slices.Clone(data[half:]), first+n/2, example)
	}
	if err != nil {
		return err
	}
	if f.noScore {
		r.Score = nil
	}
	return results.Batch(first, r)
}
