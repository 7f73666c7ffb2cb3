package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/detect"
)

// histogram is the verb. Its flags are variables here, set before Run is called.
func histogram() cli.Verb {
	var data string
	var bins int
	return cli.Verb{
		Name:  "histogram",
		Args:  "DETECTOR",
		Short: "Print how a detector's scores of some rows are spread",
		Long:  "histogram scores rows and prints how many scores fall into each of --bins equal parts of their range.",
		Flags: func(f *pflag.FlagSet) {
			f.StringVar(&data, "data", "", "rows: a file, file.npz:KEY, a folder of images, or -")
			f.IntVar(&bins, "bins", 10, "number of bars")
		},
		Run: func(ctx context.Context, e *cli.Env, args []string) error {
			if data == "" {
				return cli.UsageError{Err: errors.New("histogram needs --data")}
			}
			if bins < 1 || bins > 1000 {
				return cli.UsageError{Err: fmt.Errorf("--bins %d: want 1 to 1000", bins)}
			}
			s, err := score(ctx, e, args[0], data)
			if err != nil {
				return err
			}
			s.Bars = count(s.scores, bins)
			e.Settle()
			if e.JSON {
				return json.NewEncoder(e.Stdout).Encode(s)
			}
			return s.print(e.Stdout)
		},
	}
}

// spread is the verb's result: what --json prints.
type spread struct {
	Rows      int     `json:"rows"`
	Flagged   int     `json:"flagged"`
	Threshold float64 `json:"threshold"`
	Bars      []bar   `json:"bars"`

	scores []float64
}

// bar is the number of scores in [From, To); the last bar includes To.
type bar struct {
	From  float64 `json:"from"`
	To    float64 `json:"to"`
	Count int     `json:"count"`
}

// score opens the detector, with its classifier, and scores the rows.
func score(ctx context.Context, e *cli.Env, dir, data string) (_ *spread, err error) {
	d, err := host.OpenContext(ctx, dir, e.Components, host.OpenOptions{Options: e.Options})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	rows, err := d.Read(data, host.ReadOptions{Stdin: e.Stdin})
	if err != nil {
		return nil, err
	}
	r, err := d.DetectRows(ctx, rows, detect.Include{})
	if err != nil {
		return nil, err
	}
	s := &spread{Rows: len(r.Score), Threshold: d.Threshold().Value, scores: r.Score}
	for _, flagged := range r.Adversarial {
		if flagged {
			s.Flagged++
		}
	}
	return s, nil
}

// count sorts scores into equal parts of their range; none give no bars.
func count(scores []float64, bins int) []bar {
	if len(scores) == 0 {
		return nil
	}
	lo, hi := slices.Min(scores), slices.Max(scores)
	width := (hi - lo) / float64(bins)
	bars := make([]bar, bins)
	for i := range bars {
		bars[i].From, bars[i].To = lo+float64(i)*width, lo+float64(i+1)*width
	}
	bars[bins-1].To = hi
	for _, s := range scores {
		i := 0
		if width > 0 {
			i = min(int((s-lo)/width), bins-1)
		}
		bars[i].Count++
	}
	return bars
}

// print draws the bars, the longest of them 40 characters.
func (s *spread) print(w io.Writer) error {
	most := 1
	for _, b := range s.Bars {
		most = max(most, b.Count)
	}
	for _, b := range s.Bars {
		length := (40*b.Count + most - 1) / most // a bar that is not empty can be seen
		if _, err := fmt.Fprintf(w, "%10.4g to %10.4g  %6d  %s\n", b.From, b.To, b.Count, strings.Repeat("█", length)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d rows are above the threshold, %.4g\n", s.Flagged, s.Rows, s.Threshold)
	return err
}
