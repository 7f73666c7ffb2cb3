package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sync"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// RandomAccess is a Reader that can give its rows in any order once Next has
// given io.EOF, until it is closed: training then reads them from the file.
// Rows of other readers are copied to a temporary file first.
type RandomAccess interface {
	Reader
	// Random reports whether it can: not from a compressed file.
	Random() bool
	// At fills dst, of Example's size, with row i as Next gave it.
	At(dst []float32, i int) error
}

// Stored are rows that stay in a file and pass a door whenever they are asked
// for. Memory for none of them is kept, but for 8 bytes each.
type Stored struct {
	file  *storedFile
	rows  Entered
	index []int // in the file, of each row; nil: all in order
}

var _ Examples = (*Stored)(nil)

// storedFile is what the views of one file share.
type storedFile struct {
	mu     sync.Mutex
	reader Reader // what it was read from, for what it tells of itself
	name   string
	n      int
	at     int // the row that the reader's proxy gives next
	random interface {
		At(dst []float32, i int) error
	}
	image  func(i int) ([]float32, [3]int, error) // of a Varied reader; nil: of none
	ahead  func(rows []int)                       // of an ImageAccess; nil: of none
	closer io.Closer

	glanced  *glanced                    // nil: all rows were read when it was opened
	progress func(done, total int) error // of a pass; nil: none
}

// Enter is the same rows through another door; nil: as the file has them. Both
// share the file.
func (s *Stored) Enter(d Door) (*Stored, error) {
	out := &Stored{file: s.file, index: s.index}
	var err error
	out.rows, err = enterAt(s.file, d)
	return out, err
}

func enterAt(f *storedFile, d Door) (Entered, error) {
	var image func() ([]float32, [3]int, error)
	if f.image != nil {
		image = func() ([]float32, [3]int, error) { return f.image(f.at) }
	}
	r := standIn(f.reader, func(dst []float32) error { return f.random.At(dst, f.at) }, image)
	if v, ok := r.(variedProxy); ok {
		r = numbered{v, f}
	}
	if d == nil {
		return r, nil
	}
	return d.Enter(r)
}

// N implements Examples.
func (s *Stored) N() int {
	if s.index != nil {
		return len(s.index)
	}
	return s.file.n
}

// Whole reports whether the rows are those of the file in order.
func (s *Stored) Whole() bool { return s.index == nil }

// Example implements Examples.
func (s *Stored) Example() tensor.Shape { return s.rows.Example() }

// Gather implements Examples. A bad row is a *RowError.
func (s *Stored) Gather(dst *tensor.Tensor, rows []int) error {
	s.file.mu.Lock()
	defer s.file.mu.Unlock()
	if s.file.closer == nil {
		return fmt.Errorf("%s: %w", s.file.name, os.ErrClosed)
	}
	if s.index != nil {
		own := make([]int, len(rows))
		for i, r := range rows {
			own[i] = s.index[r]
		}
		rows = own
	}
	if s.file.ahead != nil {
		s.file.ahead(rows)
	}
	watcher, _ := s.rows.(Watcher)
	for i, r := range rows {
		s.file.at = r
		watched := watcher != nil && s.file.glanced != nil && watcher.Watch(!s.file.glanced.seen[r])
		err := s.rows.Next(dst.Row(i))
		if watched && err == nil {
			s.file.glanced.seen[r] = true
		}
		var bad *RowError
		switch {
		case err == nil:
		case errors.As(err, &bad):
			return &RowError{Source: s.file.name, Row: r, Err: bad.Err}
		default:
			return &RowError{Source: s.file.name, Row: r, Err: err}
		}
	}
	return nil
}

// take is some of the rows.
func (s *Stored) take(rows []int) *Stored {
	out := *s
	out.index = make([]int, len(rows))
	for i, r := range rows {
		if out.index[i] = r; s.index != nil {
			out.index[i] = s.index[r]
		}
	}
	return &out
}

// Close closes the file, of all views, and removes a temporary one. Gather is
// then an error.
func (s *Stored) Close() error {
	s.file.mu.Lock()
	defer s.file.mu.Unlock()
	if s.file.closer == nil {
		return nil
	}
	c := s.file.closer
	s.file.closer = nil
	return c.Close()
}

// proxy is a Reader that gives other rows, and tells the rest as the one does
// that it stands in for.
type proxy struct {
	Reader
	next func(dst []float32) error
}

// Next implements Reader.
func (p proxy) Next(dst []float32) error { return p.next(dst) }

// White implements Imaged.
func (p proxy) White() float64 {
	if i, ok := p.Reader.(Imaged); ok {
		return i.White()
	}
	return 0
}

// Prepared reports whether the rows are prepared ones, as a door asks.
func (p proxy) Prepared() bool {
	s, ok := p.Reader.(interface{ Prepared() bool })
	return ok && s.Prepared()
}

// Coded implements Coded.
func (p proxy) Coded() bool {
	c, ok := p.Reader.(Coded)
	return ok && c.Coded()
}

// SourceName is the reader's, for errors.
func (p proxy) SourceName() string {
	if n, ok := p.Reader.(interface{ SourceName() string }); ok {
		return n.SourceName()
	}
	return "data"
}

type variedProxy struct {
	proxy
	image func() ([]float32, [3]int, error)
}

// NextImage implements Varied.
func (p variedProxy) NextImage() ([]float32, [3]int, error) { return p.image() }

// numbered is a proxy that tells which row it gave last.
type numbered struct {
	variedProxy
	file *storedFile
}

// RowNumber is the row's number in the file.
func (n numbered) RowNumber() int { return n.file.at }

func standIn(r Reader, next func([]float32) error, image func() ([]float32, [3]int, error)) Reader {
	p := proxy{r, next}
	if image == nil {
		return p
	}
	return variedProxy{p, image}
}

// store reads all rows once, through the door: what is wrong with one is told
// now, or later where it may but glance at them. It keeps where they are, in the reader's file or in a temporary one, and
// labels as collect does. It closes o where the result does not need it.
func (o *opened) store(src Source, opts OpenOptions) (*Data, error) {
	f := &storedFile{reader: o.Reader, closer: o.Reader, progress: opts.Progress}
	_, f.name = src.Where()
	var d *Data
	var err error
	if r, ok := o.glances(opts); ok {
		d, err = o.glance(r, f, src, opts)
	} else {
		d, err = o.stored(f, opts)
	}
	if err != nil && f.closer != nil {
		err = errors.Join(err, f.closer.Close())
	}
	if f.closer != io.Closer(o.Reader) { // the copy is complete, or useless
		err = errors.Join(err, o.Close())
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// stored goes over the rows.
func (o *opened) stored(f *storedFile, opts OpenOptions) (*Data, error) {
	take, done, err := o.keep(f, opts)
	if err != nil {
		return nil, err
	}
	var image func() ([]float32, [3]int, error)
	if v, ok := o.Reader.(Varied); ok {
		image = func() ([]float32, [3]int, error) {
			x, shape, err := v.NextImage()
			if err == nil {
				err = take(x, shape)
			}
			return x, shape, err
		}
	}
	r := standIn(o.Reader, func(dst []float32) error {
		err := o.Reader.Next(dst)
		if err == nil {
			err = take(dst, [3]int{})
		}
		return err
	}, image)
	if o.rows = r; opts.Door != nil {
		if o.rows, err = opts.Door.Enter(r); err != nil {
			return nil, err
		}
	}
	texts, err := o.walk(func(n int, _ []float32) error {
		f.n = n + 1
		if opts.Progress != nil {
			return opts.Progress(f.n, o.Count())
		}
		return nil
	})
	if err == nil && opts.Progress != nil && o.Count() < 0 {
		err = opts.Progress(f.n, f.n)
	}
	if err == nil {
		err = done()
	}
	if err != nil {
		return nil, err
	}
	rows, err := enterAt(f, opts.Door)
	if err != nil {
		return nil, err
	}
	return o.describe(&Data{Stored: &Stored{file: f, rows: rows}}, texts, f.n)
}

// keep settles where the rows are kept. take is handed each as the reader gave
// it, with its shape if it need not be Example's; done is called after the last.
func (o *opened) keep(f *storedFile, opts OpenOptions) (take func(row []float32, shape [3]int) error, done func() error, err error) {
	_, varied := o.Reader.(Varied)
	if r, ok := o.Reader.(RandomAccess); ok && r.Random() {
		images, ok := r.(ImageAccess)
		if ok {
			f.image, f.ahead = images.ImageAt, images.Ahead
		}
		if ok || !varied {
			f.random = r
			c := check{r: r, f: f}
			return c.take, c.done, nil
		}
	}
	s, err := newSpool(opts.Temp, f.name)
	if err != nil {
		return nil, nil, err
	}
	if opts.Note != nil {
		size := "a byte a number where that is enough, else four"
		if n := o.Count(); n >= 0 {
			numbers := float64(n) * float64(o.Example().Size()) / (1 << 20)
			size = fmt.Sprintf("%.1f MiB if the numbers are bytes, else up to %.1f MiB", numbers, 4*numbers)
		}
		opts.Note(fmt.Sprintf("the rows of %s are copied to a temporary file in %s: %s", f.name, s.dir, size))
	}
	f.random, f.closer = s, s
	if !varied {
		return s.add, s.flush, nil
	}
	f.image = s.image
	example := o.Example()
	return func(row []float32, shape [3]int) error {
		if shape == [3]int{} {
			shape = [3]int(example)
		}
		return s.add(row, shape)
	}, s.flush, nil
}

// check holds a reader of rows in any order to what it gave in order, on one row
// of the second half: a format that changes the numbers of another reader, and
// forgets one of the two ways, would train on other rows than it showed.
type check struct {
	r     RandomAccess
	f     *storedFile
	n     int
	at    int
	row   []float32
	shape [3]int // of an image
}

func (c *check) take(row []float32, shape [3]int) error {
	if c.n&(c.n-1) == 0 {
		c.at, c.row, c.shape = c.n, append(c.row[:0], row...), shape
	}
	c.n++
	return nil
}

func (c *check) done() error {
	var again []float32
	shape := c.shape
	var err error
	if shape == [3]int{} {
		again = make([]float32, len(c.row))
		err = c.r.At(again, c.at)
	} else {
		again, shape, err = c.f.image(c.at)
	}
	if err != nil {
		return err
	}
	if shape != c.shape || !sameBits(c.row, again) {
		return fmt.Errorf("%s: row %d is another when it is read again: the file has changed, or its format's At does not give what Next does", c.f.name, c.at)
	}
	return nil
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(v, w float32) bool { return math.Float32bits(v) == math.Float32bits(w) })
}
