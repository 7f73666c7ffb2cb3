package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// scoring is one pass of rows through a detector.
type scoring struct {
	d       *host.Detector
	f       detectFlags
	include detect.Include
	example tensor.Shape
	results results.Writer
}

// run streams the data through the detector, in order and in constant memory
// (formats of whole documents gather their columns).
func (s *scoring) run(ctx context.Context, a *app, format results.Format, w io.Writer) (err error) {
	read, err := s.f.rows.options(a)
	if err != nil {
		return err
	}
	read.Keep, read.Batches = s.f.keep, s.f.rows.data == "-"
	stream, err := s.d.Stream(s.f.rows.data, read)
	if err != nil {
		return err
	}
	a.notices(stream.About().Notices)
	defer func() { err = errors.Join(err, stream.Close()) }()
	o := results.Options{Meta: metaOf(s.d), ID: stream.Schema().ID != "", Include: s.include}
	o.Keep, o.Kinds, o.Grouped = s.f.keep, stream.Kept(), stream.Batched()
	if s.results, err = format.New(w, o); err != nil {
		return UsageError{err}
	}
	index := 0 // of the next row of the input
	rows := newFeed(ctx, stream, s.f.batch)
	defer rows.stop()
	for {
		batch := rows.next()
		if n := len(batch.traces); n > 0 {
			if err := s.score(ctx, batch.data, batch.traces, index); err != nil {
				return err
			}
			index += n
		}
		if batch.bad != nil {
			if s.f.onError == "fail" {
				return fmt.Errorf("%s: %w", place(index, batch.from, batch.bad.Error()), batch.bad)
			}
			if err := s.results.Bad(index, batch.from, batch.bad); err != nil {
				return err
			}
			index++
		}
		if g, ok := s.results.(results.Grouping); ok && batch.ends {
			if err := g.EndBatch(); err != nil {
				return err
			}
		}
		if errors.Is(batch.err, io.EOF) {
			return s.results.Close()
		}
		if batch.err != nil {
			return batch.err
		}
	}
}

// score writes the results of one batch. A row that the detector cannot score
// is reported by its index and the others are scored without it.
func (s *scoring) score(ctx context.Context, data []float32, traces []dataset.Trace, first int) error {
	n, size := len(traces), s.example.Size()
	rows := &dataset.Data{X: tensor.From(data, append([]int{n}, s.example...)...)}
	r, err := s.d.DetectRows(ctx, rows, s.include)
	var bad *detect.RowError
	if errors.As(err, &bad) && s.f.onError == "skip" {
		at := bad.Row
		if at > 0 {
			if err := s.score(ctx, data[:at*size], traces[:at], first); err != nil {
				return err
			}
		}
		if err := s.results.Bad(first+at, traces[at], errors.New(bad.Message)); err != nil {
			return err
		}
		if at+1 < n {
			return s.score(ctx, slices.Clone(data[(at+1)*size:]), traces[at+1:], first+at+1)
		}
		return nil
	}
	if errors.As(err, &bad) {
		return fmt.Errorf("%s: %s", place(first+bad.Row, traces[bad.Row], bad.Message), bad.Message)
	}
	if kind := sdk.KindOf(err); err != nil && s.f.onError == "skip" && (kind == sdk.InvalidArgument || kind == sdk.Internal) && !errors.Is(err, context.Canceled) {
		// The classifier refuses the rows, or fails on them: probably one of them.
		if n == 1 {
			return s.results.Bad(first, traces[0], err)
		}
		half := n / 2
		if err := s.score(ctx, data[:half*size], traces[:half], first); err != nil {
			return err
		}
		return s.score(ctx, slices.Clone(data[half*size:]), traces[half:], first+half)
	}
	if err != nil {
		return err
	}
	if s.f.noScore {
		r.Score = nil
	}
	return s.results.Batch(first, r, traces)
}

// place says which row a message is about, with what a user knows it by unless
// the message has it.
func place(index int, t dataset.Trace, message string) string {
	switch {
	case t.File != "" && !strings.Contains(message, t.File):
		return fmt.Sprintf("row %d (%q)", index, t.File)
	case t.File == "" && t.ID != "":
		return fmt.Sprintf("row %d (id %q)", index, t.ID)
	}
	return fmt.Sprintf("row %d", index)
}

// metaOf is what results say of the detector.
func metaOf(d *host.Detector) results.Meta {
	dataType := d.Experiment.Spec.Detector.DataType
	if dataType == "" {
		dataType = "tabular"
		if len(d.InputShape()) == 3 {
			dataType = "image"
		}
	}
	return results.Meta{Name: d.Experiment.Spec.Detector.Title(), DetectorType: "adversarial", DataType: dataType, Version: host.Version(),
		Threshold: new(d.Threshold().Value), Detector: d.Digest(), Classes: classNames(d)}
}

// classNames are the names of a detector's classes, nil if they have none:
// numbers that only repeat the classes' own are none.
func classNames(d *host.Detector) []string {
	info := d.Info() // another classifier's classes are its own
	names := info.Classes
	if len(names) == 0 {
		names = d.ClassNames()
	}
	if len(names) != info.NumClasses {
		return nil
	}
	for i, name := range names {
		if name != strconv.Itoa(i) {
			return names
		}
	}
	return nil
}
