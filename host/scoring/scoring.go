// Package scoring passes rows through a detector and writes what it says of
// them: whole sources, and shards of sources that many machines share.
package scoring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// Source gives rows one by one, as a dataset.Stream does. It is used by one
// goroutine, and may still be after the pass over it has ended.
type Source interface {
	Example() tensor.Shape
	ReadRow(dst []float32) error
	Trace() dataset.Trace
}

// Options say how rows are scored.
type Options struct {
	Include detect.Include // further results
	NoScore bool           // instance_score is left out
	SkipBad bool           // a bad row is reported at its index; else it is an error
	Live    bool           // with SkipBad: so are rows that come while the classifier is away
	Batch   int            // rows scored together, which the results do not depend on; 0: 64
	// Wait says that the source ends by itself, as a file does and standard input need
	// not: Write returns only when nobody reads it any more, and what is below it can be
	// closed, or read on. Without it that may be later.
	Wait bool
}

// MaxBatch bounds Options.Batch: what is scored together is in memory together.
const MaxBatch = 1 << 16

// pass is one pass of rows through a detector.
type pass struct {
	d       *host.Detector
	o       Options
	example tensor.Shape
	results results.Writer
	of      string               // follows the number of a row in errors
	saw     func(data []float32) // the rows that are scored; nil: nobody wants them
}

// Write writes what d says of the rows of from to w, in order and in constant
// memory (formats of whole documents gather their columns), and closes w. It does
// not close from.
func Write(ctx context.Context, d *host.Detector, from Source, w results.Writer, o Options) error {
	return (&pass{d: d, o: o, results: w}).run(ctx, from)
}

func (s *pass) run(ctx context.Context, from Source) error {
	s.example = s.d.InputShape()
	if s.o.Batch == 0 {
		s.o.Batch = 64
	}
	index := 0 // of the next row of the input
	rows := newFeed(ctx, from, s.o.Batch)
	defer func() { rows.stop(s.o.Wait) }()
	for {
		batch := rows.next()
		if n := len(batch.traces); n > 0 {
			if s.saw != nil {
				s.saw(batch.data)
			}
			if err := s.score(ctx, batch.data, batch.traces, index); err != nil {
				return err
			}
			index += n
		}
		if batch.bad != nil {
			if !s.o.SkipBad {
				return fmt.Errorf("%s: %w", s.place(index, batch.from, batch.bad.Error()), batch.bad)
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

// score writes the results of one batch. With SkipBad rows that are no numbers, which no
// detector can score, are told one by one, and the runs between them are scored together.
func (s *pass) score(ctx context.Context, data []float32, traces []dataset.Trace, first int) error {
	if !s.o.SkipBad {
		return s.scoreRun(ctx, data, traces, first)
	}
	n, size := len(traces), s.example.Size()
	for from := 0; from < n; {
		to := from
		for to < n && wire.NotFinite(data[to*size:(to+1)*size]) < 0 {
			to++
		}
		if from == to { // the detector says what is wrong with it
			to++
		}
		run := data[from*size : to*size]
		if from > 0 {
			run = slices.Clone(run)
		}
		if err := s.scoreRun(ctx, run, traces[from:to], first+from); err != nil {
			return err
		}
		from = to
	}
	return nil
}

// scoreRun writes the results of some rows of a batch. Where the detector or the
// classifier cannot take one of them, halves are tried, down to that row, which is
// reported by its index.
func (s *pass) scoreRun(ctx context.Context, data []float32, traces []dataset.Trace, first int) error {
	n, size := len(traces), s.example.Size()
	rows := &dataset.Data{X: tensor.From(data, append([]int{n}, s.example...)...)}
	halves := func() error {
		half := n / 2
		if err := s.scoreRun(ctx, data[:half*size], traces[:half], first); err != nil {
			return err
		}
		return s.scoreRun(ctx, slices.Clone(data[half*size:]), traces[half:], first+half)
	}
	r, err := s.d.DetectRows(ctx, rows, s.o.Include)
	var bad *detect.RowError
	if errors.As(err, &bad) && s.o.SkipBad {
		if n > 1 {
			return halves()
		}
		return s.results.Bad(first, traces[0], errors.New(bad.Message))
	}
	if errors.As(err, &bad) {
		return fmt.Errorf("%s: %s", s.place(first+bad.Row, traces[bad.Row], bad.Message), bad.Message)
	}
	if kind := sdk.KindOf(err); err != nil && s.o.SkipBad && (kind == sdk.InvalidArgument || kind == sdk.Internal) && !errors.Is(err, context.Canceled) {
		// The classifier refuses the rows, or fails on them: probably one of them.
		if n == 1 {
			return s.results.Bad(first, traces[0], err)
		}
		return halves()
	}
	if err != nil && s.o.SkipBad && s.o.Live && ctx.Err() == nil {
		// A live stream outlasts its classifier, which comes back by itself.
		for i, t := range traces {
			if bad := s.results.Bad(first+i, t, &results.AwayError{Err: err}); bad != nil {
				return bad
			}
		}
		return nil
	}
	if err != nil {
		return err
	}
	if s.o.NoScore {
		r.Score = nil
	}
	return s.results.Batch(first, r, traces)
}

// place says which row a message is about, with what a user knows it by unless
// the message has it.
func (s *pass) place(index int, t dataset.Trace, message string) string {
	switch {
	case t.File != "" && !strings.Contains(message, t.File):
		return fmt.Sprintf("row %d%s (%q)", index, s.of, t.File)
	case t.File == "" && t.ID != "":
		return fmt.Sprintf("row %d%s (id %q)", index, s.of, t.ID)
	}
	return fmt.Sprintf("row %d%s", index, s.of)
}

// Meta is what results say of a detector.
func Meta(d *host.Detector) results.Meta {
	info := d.Info() // another classifier's classes are its own
	names := info.Classes
	if len(names) == 0 {
		names = d.ClassNames()
	}
	m := about(d.Experiment, d.InputShape(), named(names, info.NumClasses))
	m.Threshold, m.Detector = new(d.Threshold().Value), d.Digest()
	return m
}

// SavedMeta is Meta of a detector on disk, whose classifier is not started. One without a
// threshold has none.
func SavedMeta(e *host.Experiment, saved *artifact.Detector) results.Meta {
	c := saved.Meta.Classifier
	m := about(e, saved.Meta.InputShape, named(c.Labels, c.Classes))
	if m.Detector = saved.Digest; saved.Meta.Threshold != nil {
		m.Threshold = new(saved.Meta.Threshold.Value)
	}
	return m
}

func about(e *host.Experiment, input tensor.Shape, classes []string) results.Meta {
	dataType := e.Spec.Detector.DataType
	if dataType == "" {
		dataType = "tabular"
		if len(input) == 3 {
			dataType = "image"
		}
	}
	return results.Meta{Name: e.Spec.Detector.Title(), DetectorType: "adversarial", DataType: dataType, Version: host.Version(), Classes: classes}
}

// named are the names of n classes, nil if they have none: numbers that only repeat the
// classes' own are none.
func named(names []string, n int) []string {
	if len(names) != n {
		return nil
	}
	for i, name := range names {
		if name != strconv.Itoa(i) {
			return names
		}
	}
	return nil
}
