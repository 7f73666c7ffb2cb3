package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// npyRows streams the rows of one array in C order, or serves one in Fortran
// order from memory.
type npyRows struct {
	*content
	h     npyHeader
	n     int
	buf   []byte
	whole []float32 // Fortran order: all rows
}

// newNPYRows reads the header of c, whose first dimension counts the rows.
func newNPYRows(c *content) (*npyRows, error) {
	h, err := readNPYHeader(c.Reader)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	if !h.dtype.numeric() {
		return nil, fmt.Errorf("%s: text where numbers are wanted", c.name)
	}
	if len(h.shape) == 0 {
		return nil, fmt.Errorf("%s: a scalar, want one row an example", c.name)
	}
	example := h.shape[1:]
	if err := example.Valid(1, maxElements); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	width := example.Size() * h.dtype.size
	if err := c.holds(int64(h.shape[0]), int64(width)); err != nil {
		return nil, err
	}
	return &npyRows{content: c, h: h, n: h.shape[0], buf: make([]byte, min(width, 1<<16))}, nil
}

func (r *npyRows) example() tensor.Shape { return r.h.shape[1:] }
func (r *npyRows) count() int            { return r.n }

func (r *npyRows) next(dst []float32) error {
	if r.rows == r.n {
		return r.end()
	}
	if r.h.fortran {
		if err := r.load(); err != nil {
			return err
		}
		copy(dst, r.whole[r.rows*len(dst):])
	} else if err := r.read(dst); err != nil {
		return err
	}
	r.rows++
	if r.h.dtype.kind != 'f' {
		return nil // always finite
	}
	if err := badNumber(dst, numbered); err != nil {
		return &RowError{Source: r.name, Row: r.rows - 1, Err: err}
	}
	return nil
}

func (r *npyRows) read(dst []float32) error {
	d := r.h.dtype
	for len(dst) > 0 {
		n := min(len(dst), max(len(r.buf)/d.size, 1))
		b := r.buf[:n*d.size]
		if err := r.full(b); err != nil {
			return err
		}
		d.floats(dst[:n], b)
		dst = dst[n:]
	}
	return nil
}

// floats decodes len(dst) numbers of b. The two kinds that large files are
// made of come first.
func (d dtype) floats(dst []float32, b []byte) {
	switch {
	case d.kind == 'u' && d.size == 1:
		for i := range dst {
			dst[i] = float32(b[i])
		}
	case d.kind == 'f' && d.size == 4 && !d.big:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		}
	default:
		for i := range dst {
			dst[i] = float32(d.float(b[i*d.size:]))
		}
	}
}

// load reads an array in Fortran order whole: its rows are scattered.
func (r *npyRows) load() error {
	if r.whole != nil {
		return nil
	}
	if r.n > maxElements/max(r.example().Size(), 1) {
		return errors.New(r.name + ": too large for Fortran order: save it in C order")
	}
	n := r.n * r.example().Size()
	raw, err := r.grow(n * r.h.dtype.size)
	if err != nil {
		return err
	}
	flat := make([]float32, n)
	for i := range flat {
		v := r.h.dtype.float(raw[i*r.h.dtype.size:])
		flat[i] = float32(v)
	}
	r.whole = transpose(flat, r.h.shape)
	return nil
}
