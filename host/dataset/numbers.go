package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Numbers are rows of numbers of one width, one after another, as a Reader: of
// an array in C order, or of one in Fortran order from memory. A format that
// has them after a header of its own reads that and gives the rest to
// [NewNumbers].
type Numbers struct {
	*Content
	h     npyHeader
	n     int
	buf   []byte
	whole []float32 // Fortran order: all rows
	row   []byte    // of At

	missing []bool // columns that may have no value, NaN; nil: none
}

var (
	_ Bounded      = (*Numbers)(nil)
	_ RandomAccess = (*Numbers)(nil)
)

// NewNumbers reads the rest of c as numbers of type d in C order, to the end:
// trailing bytes are an error after the last row. The first dimension of
// shape counts the rows, the others are an example's. What does not fit the
// size of the file is an error.
func NewNumbers(c *Content, d Dtype, shape tensor.Shape) (*Numbers, error) {
	return newNumbers(c, npyHeader{dtype: d, shape: shape})
}

// NewNPY reads the header of a .npy from c, whose first dimension counts the
// rows.
func NewNPY(c *Content) (*Numbers, error) {
	h, err := readNPYHeader(c.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	return newNumbers(c, h)
}

func newNumbers(c *Content, h npyHeader) (*Numbers, error) {
	if !h.dtype.numeric() {
		return nil, fmt.Errorf("%s: text where numbers are wanted", c.Name)
	}
	if !h.dtype.valid() {
		return nil, fmt.Errorf("%s: element type %c of %d bytes, want floats, integers or booleans", c.Name, h.dtype.Kind, h.dtype.Size)
	}
	if len(h.shape) == 0 {
		return nil, fmt.Errorf("%s: a scalar, want one row per example", c.Name)
	}
	if h.shape[0] < 0 {
		return nil, fmt.Errorf("%s: %d rows", c.Name, h.shape[0])
	}
	example := h.shape[1:]
	if err := example.Valid(1, MaxElements); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Name, err)
	}
	width := example.Size() * h.dtype.Size
	if err := c.Holds(int64(h.shape[0]), int64(width)); err != nil {
		return nil, err
	}
	return &Numbers{Content: c, h: h, n: h.shape[0], buf: make([]byte, min(width, 1<<16))}, nil
}

// Allow lets columns be NaN whose values may be missing by the schema, which calls
// columns of rows without names by their places. nil allows none.
func (r *Numbers) Allow(s *Schema) {
	example := r.Example()
	if s == nil || len(example) != 1 {
		return
	}
	may := func(i int) {
		if r.missing == nil {
			r.missing = make([]bool, example[0])
		}
		r.missing[i] = true
	}
	if len(s.Features) == example[0] {
		for i, f := range s.Features {
			if f.Missing {
				may(i)
			}
		}
		return
	}
	for name, rule := range s.Rules {
		if i, err := strconv.Atoi(name); err == nil && rule.Missing && i >= 0 && i < example[0] {
			may(i)
		}
	}
}

// finite refuses numbers that are not, but for values that may be missing.
func (r *Numbers) finite(row []float32) error {
	err := BadNumber(row, Numbered)
	if err == nil || r.missing == nil {
		return err
	}
	for i, v := range row {
		if v-v != 0 && (v == v || !r.missing[i]) {
			return BadNumber(row[i:i+1], func(int) string { return Numbered(i) })
		}
	}
	return nil
}

// Example implements Reader.
func (r *Numbers) Example() tensor.Shape { return r.h.shape[1:] }

// Count implements Reader.
func (r *Numbers) Count() int { return r.n }

// Bounded implements Bounded: a stream has no size to hold the rows against.
func (r *Numbers) Bounded() bool { return r.most >= 0 }

// White is the value of full intensity, were the rows images: the largest of
// unsigned numbers of 8 and 16 bits, 0 for others.
func (r *Numbers) White() float64 {
	if d := r.h.dtype; d.Kind == 'u' && d.Size <= 2 {
		return float64(int(1)<<(8*d.Size) - 1)
	}
	return 0
}

// Next implements Reader.
func (r *Numbers) Next(dst []float32) error {
	if r.Row == r.n {
		return r.End()
	}
	if r.h.fortran {
		if err := r.load(); err != nil {
			return err
		}
		copy(dst, r.whole[r.Row*len(dst):])
	} else if err := r.read(dst); err != nil {
		return err
	}
	r.Row++
	if r.h.dtype.Kind != 'f' {
		return nil // always finite
	}
	if err := r.finite(dst); err != nil {
		return &RowError{Source: r.Name, Row: r.Row - 1, Err: err}
	}
	return nil
}

// Random implements RandomAccess: rows of a file in C order that is not
// compressed.
func (r *Numbers) Random() bool { return r.file != nil && !r.h.fortran }

// At implements RandomAccess. A format that changes what Next gives has to change
// this alike.
func (r *Numbers) At(dst []float32, i int) error {
	if r.row == nil {
		r.row = make([]byte, r.Example().Size()*r.h.dtype.Size)
	}
	width := int64(len(r.row))
	start := r.most - int64(r.n)*width // nothing follows the rows: Next has seen the end
	if _, err := r.file.ReadAt(r.row, start+int64(i)*width); err != nil {
		return fmt.Errorf("%s: row %d: %w", r.Name, i, err)
	}
	r.h.dtype.floats(dst, r.row)
	if r.h.dtype.Kind != 'f' {
		return nil
	}
	if err := r.finite(dst); err != nil {
		return &RowError{Source: r.Name, Row: i, Err: err}
	}
	return nil
}

func (r *Numbers) read(dst []float32) error {
	d := r.h.dtype
	for len(dst) > 0 {
		n := min(len(dst), max(len(r.buf)/d.Size, 1))
		b, err := r.Peek(n * d.Size) // decoded where it lies
		if err != nil {              // the end, or a buffer that is too small
			b = r.buf[:n*d.Size]
			if err := r.Fill(b); err != nil {
				return err
			}
			d.floats(dst[:n], b)
		} else {
			d.floats(dst[:n], b)
			if _, err := r.Discard(len(b)); err != nil {
				return err
			}
		}
		dst = dst[n:]
	}
	return nil
}

// floats decodes len(dst) numbers of b. The kinds that large files are made of
// come first.
func (d Dtype) floats(dst []float32, b []byte) {
	switch {
	case d.Kind == 'u' && d.Size == 1:
		for i := range dst {
			dst[i] = float32(b[i])
		}
	case d.Kind == 'f' && d.Size == 4 && !d.Big:
		b = b[:4*len(dst)]
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i : 4*i+4]))
		}
	case d.Kind == 'f' && d.Size == 8 && !d.Big:
		b = b[:8*len(dst)]
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(b[8*i : 8*i+8])))
		}
	default:
		for i := range dst {
			dst[i] = float32(d.float(b[i*d.Size:]))
		}
	}
}

// load reads an array in Fortran order whole: its rows are scattered.
func (r *Numbers) load() error {
	if r.whole != nil {
		return nil
	}
	if r.n > MaxElements/max(r.Example().Size(), 1) {
		return errors.New(r.Name + ": too large for Fortran order: save it in C order")
	}
	n := r.n * r.Example().Size()
	raw, err := r.Take(n * r.h.dtype.Size)
	if err != nil {
		return err
	}
	flat := make([]float32, n)
	for i := range flat {
		v := r.h.dtype.float(raw[i*r.h.dtype.Size:])
		flat[i] = float32(v)
	}
	r.whole = transpose(flat, r.h.shape)
	return nil
}
