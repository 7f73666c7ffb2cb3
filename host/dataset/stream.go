package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// StreamOptions say what a stream is read as.
type StreamOptions struct {
	// Format is the name of one; empty goes by what the file is, and is
	// DefaultFormat for standard input.
	Format string
	// Example is the shape that every example must have; nil: as stored. Flat
	// rows of the same size, and images without their single channel, are
	// accepted.
	Example tensor.Shape
	// Batch is the number of rows read at a time; 0: 64.
	Batch int
	// Label names the column of a table that holds labels, to be left out.
	Label string
	// Schema says what the columns of a table are for; nil: all but Label are
	// numbers.
	Schema *Schema
	// Header says whether the first line of a table of text is a header; nil: the
	// names that are known tell.
	Header *bool
	// Door prepares the rows; nil: none.
	Door Door
	// Keep names columns of a table that Trace hands through. Sources that are
	// no tables with names are then refused.
	Keep []string
	// Batches makes ReadRow give ErrBatchEnd after each batch of a source that
	// comes in such, as Arrow's streams do.
	Batches bool
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
	batched bool // ReadRow marks batches
	failed  error
}

// OpenStream opens a file, a folder, an array of a file (x.npz:KEY), or "-" for
// standard input. The caller closes the stream.
func OpenStream(path string, formats registry.Table[Format], o StreamOptions) (*Stream, error) {
	source, err := o.open(path, formats, true)
	if err != nil {
		return nil, err
	}
	if err := source.enter(o.Door); err != nil {
		return nil, errors.Join(Named(path, err), source.Close())
	}
	s := &Stream{source: source, batch: o.Batch, example: o.Example}
	if s.batch == 0 {
		s.batch = 64
	}
	if b, ok := source.Reader.(Batched); ok && o.Batches {
		s.batched = b.MarkBatches()
	}
	if _, table := source.Reader.(Tabled); len(o.Keep) > 0 && !table {
		return nil, errors.Join(fmt.Errorf("%s: no column %q to keep: its columns have no names", path, o.Keep[0]), source.Close())
	}
	stored := source.rows.Example()
	if s.example == nil {
		s.example = stored
	}
	if !fits(stored, s.example) {
		return nil, errors.Join(fmt.Errorf("%s: examples are %v, want %v", path, stored, s.example), source.Close())
	}
	// A batch of huge examples is cut short.
	s.batch = max(1, min(s.batch, maxBatch/s.example.Size()))
	return s, nil
}

// maxBatch bounds the numbers of one batch.
const maxBatch = 1 << 26

func (o StreamOptions) open(path string, formats registry.Table[Format], noDigest bool) (*opened, error) {
	schema := Schema{Label: o.Label}
	if o.Schema != nil {
		schema = *o.Schema
	}
	if len(o.Keep) > 0 {
		schema.Keep = o.Keep
	}
	ro := ReadOptions{Label: schema.Label, Schema: &schema, Header: o.Header, Example: o.Example, NoDigest: noDigest}
	if o.Door != nil {
		ro.Example = o.Door.Raw()
	}
	if path == "-" {
		r, err := o.stdin(formats, ro)
		if err != nil {
			return nil, err
		}
		return newOpened(r), nil
	}
	var file string
	file, ro.Key = splitKey(path, formats)
	f, err := o.format(file, formats)
	if err != nil {
		return nil, err
	}
	r, err := f.Open(file, ro)
	if err != nil {
		return nil, err
	}
	return newOpened(r), nil
}

func (o StreamOptions) format(file string, formats registry.Table[Format]) (Format, error) {
	if o.Format != "" {
		return formats.Lookup(o.Format)
	}
	return recognise(file, formats)
}

// stdin reads standard input, of which nothing tells the format.
func (o StreamOptions) stdin(formats registry.Table[Format], ro ReadOptions) (Reader, error) {
	name := o.Format
	if name == "" {
		name = DefaultFormat(formats)
	}
	f, err := formats.Lookup(name)
	if err != nil {
		return nil, err
	}
	s, ok := f.(StreamFormat)
	if !ok {
		return nil, fmt.Errorf("-: %s needs a file; standard input can be %s", name, alternatives(Streamed(formats)))
	}
	r := o.Stdin
	if r == nil {
		r = os.Stdin
	}
	c, err := NewContent(r, "-", -1)
	if err != nil {
		return nil, err
	}
	return stream(s, c, ro)
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
	if s.source.Count() == 0 {
		// No row: an example's size is but a claim.
		s.failed = s.source.rows.Next(nil)
		return out, s.failed
	}
	x := tensor.Batch(s.batch, s.example)
	for len(out.Index)+len(out.Bad) < s.batch {
		err := s.source.rows.Next(x.Row(len(out.Index)))
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
// that row alone; ErrBatchEnd stands between rows if Batches asks for it; io.EOF
// ends the stream, and other errors are final.
func (s *Stream) ReadRow(dst []float32) error {
	if s.failed != nil {
		return s.failed
	}
	err := s.source.rows.Next(dst)
	if err == nil {
		s.at++
		return nil
	}
	var bad *RowError
	if errors.Is(err, ErrBatchEnd) {
		return err
	}
	if !errors.As(err, &bad) {
		s.failed = err
		return err
	}
	s.at++
	return err
}

// About is what the source tells without reading rows.
func (s *Stream) About() About { return AboutReader(s.source.Reader) }

// Trace tells where the row came from that ReadRow gave last, or that was bad;
// the zero value where the source does not say. Kept is valid until the next
// row.
func (s *Stream) Trace() Trace {
	if r, ok := s.source.Reader.(Traced); ok {
		return r.Trace()
	}
	return Trace{}
}

// Schema is what the columns of a table are for; the zero value for sources
// that are none.
func (s *Stream) Schema() Schema {
	if r, ok := s.source.Reader.(Tabled); ok {
		return r.Schema()
	}
	return Schema{}
}

// Batched reports whether ReadRow marks the ends of batches.
func (s *Stream) Batched() bool { return s.batched }

// Kept are the kinds of the columns that Keep names, CellMissing where only
// cells tell; nil for sources that are no tables.
func (s *Stream) Kept() []CellKind {
	if r, ok := s.source.Reader.(interface{ Kept() []CellKind }); ok {
		return r.Kept()
	}
	return nil
}

// Close closes the file.
func (s *Stream) Close() error { return s.source.Close() }

// Named is err with the name of what was read, once: readers that know their
// name say it themselves.
func Named(path string, err error) error {
	if strings.HasPrefix(err.Error(), path+":") {
		return err
	}
	return fmt.Errorf("%s: %w", path, err)
}

// Read reads a whole file, folder, array of a file or standard input, as
// OpenStream would, with its labels where the rows carry them (a folder of
// folders, CIFAR-10, the column o.Label). A bad row is an error.
func Read(path string, formats registry.Table[Format], o StreamOptions) (*Data, error) {
	source, err := o.open(path, formats, false)
	if err != nil {
		return nil, err
	}
	var d *Data
	if err = source.enter(o.Door); err == nil {
		d, err = source.collect()
	}
	if err := errors.Join(err, source.Close()); err != nil {
		return nil, Named(path, err)
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
