package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// maxTexts bounds the elements of a text array: labels, one per row.
const maxTexts = 1 << 24

// Array is one NumPy array, in C order.
type Array struct {
	Name  string       // its key in a .npz
	Shape tensor.Shape // empty for a scalar
	// Data is []float32, []float64, []int64, []bool, []byte (uint8) or
	// []string. For writing it may also be []int, or a string: a scalar of bytes, which
	// NumPy hands back by .item() or .tobytes(); it must not end in a zero
	// byte. Unsigned numbers of 16 bits and more, and signed ones of any width,
	// are read as []int64, float16 as []float32.
	Data any
}

// ReadNPY reads one array of .npy format 1, 2 or 3 from r, to its end: bytes
// that trail are an error. Both byte orders and both memory orders are
// accepted; objects (pickles) are not.
func ReadNPY(r io.Reader) (Array, error) {
	c, err := NewContent(r, "array", -1)
	if err != nil {
		return Array{}, err
	}
	a, err := c.array()
	return a, errors.Join(err, c.Close())
}

// ReadNPYFile is ReadNPY on the file at path.
func ReadNPYFile(path string) (Array, error) {
	c, err := OpenContent(path)
	if err != nil {
		return Array{}, err
	}
	a, err := c.array()
	return a, errors.Join(err, c.Close())
}

// array reads the whole content as one array.
func (c *Content) array() (Array, error) {
	h, err := readNPYHeader(c.Reader)
	if err != nil {
		return Array{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	a, err := c.ReadArray(h.dtype, h.shape)
	if h.fortran && err == nil {
		a = a.fromFortran()
	}
	return a, err
}

// ReadArray reads the rest of c as one array in C order, to the end: bytes that
// trail are an error.
func (c *Content) ReadArray(d Dtype, shape tensor.Shape) (Array, error) {
	if err := shape.Valid(0, MaxElements); err != nil {
		return Array{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	if !d.valid() {
		return Array{}, fmt.Errorf("%s: element type %c of %d bytes", c.Name, d.Kind, d.Size)
	}
	n, size := shape.Size(), d.Size
	if err := c.Holds(int64(n), int64(size)); err != nil {
		return Array{}, err
	}
	if int64(n)*int64(max(size, 1)) > 8*MaxElements || !d.numeric() && n > maxTexts {
		return Array{}, fmt.Errorf("%s: %d elements of %d bytes: too many", c.Name, n, size)
	}
	raw, err := c.Take(n * size)
	if err != nil {
		return Array{}, err
	}
	if err := c.End(); !errors.Is(err, io.EOF) {
		return Array{}, err
	}
	data, err := d.decode(raw, n)
	if err != nil {
		return Array{}, fmt.Errorf("%s: %w", c.Name, err)
	}
	return Array{Shape: shape, Data: data}, nil
}

// Take reads exactly n bytes, claiming memory only as they come.
func (c *Content) Take(n int) ([]byte, error) {
	const step = 1 << 20
	out := make([]byte, 0, min(n, step))
	for len(out) < n {
		k := min(step, n-len(out))
		at := len(out)
		out = append(out, make([]byte, k)...)
		if err := c.Fill(out[at:]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// decode turns the bytes of n elements into one of Array's kinds.
func (d Dtype) decode(raw []byte, n int) (any, error) {
	at := func(i int) []byte { return raw[i*d.Size : (i+1)*d.Size] }
	switch {
	case d.Kind == 'f' && d.Size < 8:
		out := make([]float32, n)
		for i := range out {
			out[i] = float32(d.float(at(i)))
		}
		return out, nil
	case d.Kind == 'f':
		out := make([]float64, n)
		for i := range out {
			out[i] = d.float(at(i))
		}
		return out, nil
	case d.Kind == 'b':
		out := make([]bool, n)
		for i := range out {
			out[i] = raw[i] != 0
		}
		return out, nil
	case d.Kind == 'u' && d.Size == 1:
		return raw, nil
	case d.Kind == 'S' || d.Kind == 'U':
		out := make([]string, n)
		for i := range out {
			out[i] = d.text(at(i))
		}
		return out, nil
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = d.int(at(i))
		if d.Kind == 'u' && out[i] < 0 {
			return nil, fmt.Errorf("element %d exceeds 64 signed bits", i)
		}
	}
	return out, nil
}

// text drops the zeros that pad S and U.
func (d Dtype) text(b []byte) string {
	if d.Kind == 'S' {
		return strings.TrimRight(string(b), "\x00")
	}
	var s strings.Builder
	o := d.order()
	for ; len(b) > 0; b = b[4:] {
		s.WriteRune(rune(o.Uint32(b)))
	}
	return strings.TrimRight(s.String(), "\x00")
}

// fromFortran is the array whose data stand in C order, where a's stand
// with the first index fastest.
func (a Array) fromFortran() Array {
	switch data := a.Data.(type) {
	case []float32:
		a.Data = transpose(data, a.Shape)
	case []float64:
		a.Data = transpose(data, a.Shape)
	case []int64:
		a.Data = transpose(data, a.Shape)
	case []bool:
		a.Data = transpose(data, a.Shape)
	case []byte:
		a.Data = transpose(data, a.Shape)
	case []string:
		a.Data = transpose(data, a.Shape)
	}
	return a
}

func transpose[T any](src []T, shape tensor.Shape) []T {
	dst := make([]T, len(src))
	stride := make([]int, len(shape)) // of each dimension in src
	n := 1
	for i, d := range shape {
		stride[i] = n
		n *= d
	}
	index := make([]int, len(shape))
	at := 0
	for i := range dst {
		dst[i] = src[at]
		for k := len(shape) - 1; k >= 0; k-- {
			index[k]++
			at += stride[k]
			if index[k] < shape[k] {
				break
			}
			at -= index[k] * stride[k]
			index[k] = 0
		}
	}
	return dst
}

// Floats are the elements as float32; text is an error. Numbers beyond
// float32 become infinite: the reader of rows refuses those.
func (a Array) Floats() ([]float32, error) {
	switch data := a.Data.(type) {
	case []float32:
		return data, nil
	case []float64:
		return convert[float64, float32](data), nil
	case []int64:
		return convert[int64, float32](data), nil
	case []byte:
		return convert[byte, float32](data), nil
	case []bool:
		out := make([]float32, len(data))
		for i, v := range data {
			if v {
				out[i] = 1
			}
		}
		return out, nil
	}
	return nil, errors.New("text where numbers are wanted")
}

// Ints are the elements as whole numbers; fractions and text are errors.
func (a Array) Ints() ([]int, error) {
	switch data := a.Data.(type) {
	case []int64:
		return convert[int64, int](data), nil
	case []byte:
		return convert[byte, int](data), nil
	case []float32:
		return whole(data)
	case []float64:
		return whole(data)
	case []bool:
		out := make([]int, len(data))
		for i, v := range data {
			if v {
				out[i] = 1
			}
		}
		return out, nil
	}
	return nil, errors.New("text where whole numbers are wanted")
}

func whole[T float32 | float64](data []T) ([]int, error) {
	out := make([]int, len(data))
	for i, v := range data {
		f := float64(v)
		if f != math.Trunc(f) || math.Abs(f) > 1<<53 {
			return nil, fmt.Errorf("element %d is %v, want a whole number", i, v)
		}
		out[i] = int(f)
	}
	return out, nil
}

func convert[S, D int | byte | int64 | float32 | float64](src []S) []D {
	dst := make([]D, len(src))
	for i, v := range src {
		dst[i] = D(v)
	}
	return dst
}
