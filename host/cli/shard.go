package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/atomicfile"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/host/scoring"
)

// jobIndex is the variable in which a Kubernetes Indexed Job tells a container its
// number.
const jobIndex = "JOB_COMPLETION_INDEX"

// parseShard reads i/n, or /n with i from the environment.
func parseShard(text string) (i, n int, err error) {
	left, right, ok := strings.Cut(text, "/")
	if left == "" {
		if left = os.Getenv(jobIndex); left == "" {
			return 0, 0, usagef("--shard %s: %s, which has the number, is not set", text, jobIndex)
		}
	}
	i, err = strconv.Atoi(left)
	n, err2 := strconv.Atoi(right)
	if !ok || errors.Join(err, err2) != nil || n < 1 || i < 0 || i >= n {
		return 0, 0, usagef("--shard %q: want i/n, i from 0 to n-1, or /n with i in %s", text, jobIndex)
	}
	return i, n, nil
}

// detectShard scores one shard of the data.
func (a *app) detectShard(ctx context.Context, d *host.Detector, f *detectFlags, include detect.Include, again string) error {
	i, n, err := parseShard(f.shard)
	if err != nil {
		return err
	}
	read, err := f.rows.options(a)
	if err != nil {
		return err
	}
	read.Keep = f.keep
	s := scoring.Shard{I: i, N: n, Data: f.rows.data, Out: f.out, Resume: f.resume, Read: read, Options: f.scored(include), Notice: a.notices}
	m, before, err := s.Run(ctx, d)
	switch {
	case errors.Is(err, scoring.ErrDone):
		return fmt.Errorf("%w; --resume goes on to what is not", err)
	case err != nil && ctx.Err() != nil:
		return &host.InterruptedError{Command: again, Err: err}
	case err != nil:
		return err
	}
	a.progress().Wait()
	if a.json {
		return json.NewEncoder(a.stdout).Encode(m)
	}
	state := "done"
	if before {
		state = "done before"
	}
	fmt.Fprintf(a.stdout, "shard %d of %d %s: %d rows, %d flagged, %d errors\n", i, n, state, m.Tally.Rows, m.Tally.Flagged, m.Tally.Errors)
	return nil
}

func (a *app) mergeCommand() *cobra.Command {
	var out, report, format string
	c := &cobra.Command{
		Use:   "merge OUT --out all.parquet",
		Short: "Make one table of the shards that detect --shard has written",
		Long: "merge holds that all shards in the folder OUT are done, by one detector, with each row once, and writes their results as\n" +
			"one table in the order of the input. Its bytes do not depend on the number of shards. A shard that is missing, there\n" +
			"twice or of another run is an error that names it.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" && report == "" {
				return usagef("merge needs --out, a file, or --report, a folder")
			}
			if format == "" {
				format = strings.TrimPrefix(filepath.Ext(out), ".")
			}
			as, err := results.Lookup(format)
			if err != nil && out != "" {
				return usagef("--out %s: %w; --format says which", out, err)
			}
			m, err := scoring.OpenParts(args[0])
			if err != nil {
				return err
			}
			if out != "" {
				if err := atomicfile.Write(out, func(f *os.File) error { return m.Write(cmd.Context(), as, f) }); err != nil {
					return err
				}
			}
			if report != "" {
				if err := m.WriteReport(report); err != nil {
					return err
				}
			}
			if a.json {
				return json.NewEncoder(a.stdout).Encode(m.Tally)
			}
			fmt.Fprintf(a.stdout, "%d shards: %d rows, %d flagged, %d errors\n", len(m.Manifests), m.Tally.Rows, m.Tally.Flagged, m.Tally.Errors)
			return nil
		},
	}
	c.Flags().StringVar(&out, "out", "", "file to write")
	c.Flags().StringVar(&format, "format", "", "its format: "+strings.Join(results.Names(false), ", ")+" (default: its extension)")
	c.Flags().StringVar(&report, "report", "", "folder for report.json and report.html: counts of verdicts, scores and p-values")
	return c
}
