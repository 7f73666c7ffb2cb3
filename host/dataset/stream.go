package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// StreamOptions say what a stream is read as.
type StreamOptions struct {
	// Format is npy, csv, jsonl or idx; empty goes by the file's name, and is
	// jsonl for standard input.
	Format string
	// Example is the shape that every example must have; nil: as stored. Flat
	// rows of the same size, and images without their single channel, will do.
	Example tensor.Shape
	// Batch is the number of rows read at a time; 0: 64.
	Batch int
	// Label names the column of a table that holds labels, to be left out.
	Label string
	// Stdin is what the path "-" reads; nil: os.Stdin.
	Stdin io.Reader
}

// Rows are some rows of a stream.
type Rows struct {
	X     *tensor.Tensor // (n, example…), n ≥ 0
	Index []int          // of each row of X in the source
	Bad   []*RowError    // rows that were left out, in order
}

// Stream reads a source batch by batch, in memory that does not grow with it.
// It is owned by one goroutine.
type Stream struct {
	source  *opened
	example tensor.Shape
	batch   int
	at      int
	failed  error
}

// OpenStream opens a file, a folder, x.npz:KEY, or "-" for standard input. The
// caller closes the stream.
func OpenStream(path string, o StreamOptions) (*Stream, error) {
	source, err := o.open(path)
	if err != nil {
		return nil, err
	}
	s := &Stream{source: source, batch: o.Batch, example: o.Example}
	if s.batch == 0 {
		s.batch = 64
	}
	stored := source.example()
	if s.example == nil {
		s.example = stored
	}
	if !fits(stored, s.example) {
		return nil, errors.Join(fmt.Errorf("%s: examples are %v, want %v", path, stored, s.example), source.close())
	}
	// A batch of huge examples is cut short.
	s.batch = max(1, min(s.batch, maxBatch/s.example.Size()))
	return s, nil
}

// maxBatch bounds the numbers of one batch.
const maxBatch = 1 << 26

func (o StreamOptions) open(path string) (*opened, error) {
	if path == "-" {
		r := o.Stdin
		if r == nil {
			r = os.Stdin
		}
		c, err := newContent(r, "-", -1)
		if err != nil {
			return nil, err
		}
		format := o.Format
		if format == "" {
			format = "jsonl"
		}
		return o.rows(format, c)
	}
	file, key := splitKey(path)
	format, err := o.Format, error(nil)
	if format == "" {
		if format, err = formatOf(file); err != nil {
			return nil, err
		}
	}
	if format == "jsonl" {
		c, err := openContent(file)
		if err != nil {
			return nil, err
		}
		return o.rows(format, c)
	}
	return openFormat(format, file, key, Source{Label: o.Label})
}

// rows reads c, JSON lines against the wanted shape: no line decides it.
func (o StreamOptions) rows(format string, c *content) (source *opened, err error) {
	if format == "jsonl" {
		r, err := newJSONRows(c, o.Example)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		return wrap(r, nil, nil)
	}
	if source, err = contentRows(format, c, o.Label); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return source, nil
}

// fits reports whether rows stored as s are examples of shape want: equal,
// flat, or without a single channel.
func fits(s, want tensor.Shape) bool {
	if s.Equal(want) {
		return true
	}
	if len(s) == 1 {
		return s[0] == want.Size()
	}
	last := len(want) - 1
	return last == len(s) && want[last] == 1 && s.Equal(want[:last])
}

// Example is the shape of one row.
func (s *Stream) Example() tensor.Shape { return s.example }

// Next reads the next batch: at most Batch rows, bad ones counted. io.EOF ends
// the stream. Another error is final, and comes after the rows before it.
func (s *Stream) Next() (Rows, error) {
	var out Rows
	if s.failed != nil {
		return out, s.failed
	}
	if s.source.count() == 0 {
		// No row: an example's size is but a claim.
		s.failed = s.source.next(nil)
		return out, s.failed
	}
	x := tensor.Batch(s.batch, s.example)
	for len(out.Index)+len(out.Bad) < s.batch {
		err := s.source.next(x.Row(len(out.Index)))
		var bad *RowError
		switch {
		case err == nil:
			out.Index = append(out.Index, s.at)
		case errors.As(err, &bad):
			out.Bad = append(out.Bad, bad)
		default:
			s.failed = err
			if len(out.Index)+len(out.Bad) == 0 {
				return Rows{}, err
			}
			out.X = x.Rows(0, len(out.Index))
			return out, nil
		}
		s.at++
	}
	out.X = x.Rows(0, len(out.Index))
	return out, nil
}

// ReadRow reads one row into dst, of Example's size. A *RowError leaves out
// that row alone; io.EOF ends the stream, and other errors are final.
func (s *Stream) ReadRow(dst []float32) error {
	if s.failed != nil {
		return s.failed
	}
	err := s.source.next(dst)
	var bad *RowError
	if err != nil && !errors.As(err, &bad) {
		s.failed = err
		return err
	}
	s.at++
	return err
}

// Close closes the file.
func (s *Stream) Close() error { return s.source.close() }

// Read reads a whole file, folder, x.npz:KEY or standard input, as OpenStream
// would, with its labels where the rows carry them (a folder of folders,
// CIFAR-10, the column o.Label). A bad row is an error.
func Read(path string, o StreamOptions) (*Data, error) {
	source, err := o.open(path)
	if err != nil {
		return nil, err
	}
	d, err := source.collect()
	if err := errors.Join(err, source.close()); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if o.Example != nil {
		if !fits(d.X.Example(), o.Example) {
			return nil, fmt.Errorf("%s: examples are %v, want %v", path, d.X.Example(), o.Example)
		}
		d.X = d.X.Reshape(append([]int{d.X.N()}, o.Example...)...)
	}
	d.nameClasses()
	return d, nil
}
