package formats

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// jsonRows streams arrays of numbers, flat or nested as the example is.
type jsonRows struct {
	*jsonSource
	shape   tensor.Shape
	pending []byte // the first array, read for its shape
}

// newJSONArrays reads examples of the given shape; nil takes that of the first
// array.
func newJSONArrays(src *jsonSource, shape tensor.Shape) (dataset.Reader, error) {
	r := &jsonRows{jsonSource: src, shape: shape}
	if shape != nil {
		return r, nil
	}
	text, err := r.next()
	if isEOF(err) {
		return nil, fmt.Errorf("%s: empty", r.Name)
	}
	if err == nil {
		r.shape, err = jsonShape(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", r.Name, r.line, err)
	}
	r.pending = text
	return r, nil
}

func (r *jsonRows) Example() tensor.Shape { return r.shape }
func (r *jsonRows) Count() int            { return -1 }

func (r *jsonRows) Next(dst []float32) error {
	text, err := r.pending, error(nil)
	if r.pending = nil; text == nil {
		text, err = r.next()
	}
	if isEOF(err) {
		return err
	}
	if err != nil && !errors.Is(err, errLong) {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	r.Row++
	if err == nil {
		err = parseJSONRow(dst, text, r.shape)
	}
	if err != nil {
		return r.bad(err)
	}
	return nil
}

// parseJSONRow fills dst from a JSON array: flat, or nested as shape.
func parseJSONRow(dst []float32, text []byte, shape tensor.Shape) error {
	if text[0] == '{' {
		return fmt.Errorf("an object, want an array: %d numbers, flat or as %v", len(dst), shape)
	}
	depth := depthOf(text)
	p := &jsonParser{rest: text, dst: dst}
	switch depth {
	case len(shape):
		p.array(shape)
	case 1:
		p.array([]int{len(dst)})
	default:
		return fmt.Errorf("arrays nested %d deep, want %d numbers, flat or as %v", depth, len(dst), shape)
	}
	if p.err == nil && len(bytes.TrimSpace(p.rest)) > 0 {
		return errors.New("text after the array")
	}
	return p.err
}

// depthOf counts the brackets before the first number.
func depthOf(text []byte) int {
	n := 0
	for _, c := range text {
		switch c {
		case '[':
			n++
		case ' ', '\t':
		default:
			return n
		}
	}
	return n
}

// jsonParser reads nested arrays of numbers, and nothing else.
type jsonParser struct {
	rest []byte
	dst  []float32
	at   int // numbers read
	err  error
}

func (p *jsonParser) peek() byte {
	for len(p.rest) > 0 && (p.rest[0] == ' ' || p.rest[0] == '\t') {
		p.rest = p.rest[1:]
	}
	if len(p.rest) == 0 {
		return 0
	}
	return p.rest[0]
}

// take passes over c if it comes next.
func (p *jsonParser) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *jsonParser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf(format, args...)
	}
}

func (p *jsonParser) array(dims []int) {
	if !p.take('[') {
		p.fail("column %d: want a JSON array", p.at)
		return
	}
	for i := range dims[0] {
		if i > 0 && !p.take(',') {
			p.fail("want %d entries, got %d at column %d", dims[0], i, p.at)
			return
		}
		if len(dims) > 1 {
			p.array(dims[1:])
		} else {
			p.number()
		}
		if p.err != nil {
			return
		}
	}
	if !p.take(']') {
		p.fail("want %d entries, got more at column %d", dims[0], p.at)
	}
}

func (p *jsonParser) number() {
	p.peek()
	if v, n, ok := dataset.Decimal(p.rest); ok && n < len(p.rest) && endsNumber(p.rest[n]) {
		p.dst[p.at] = v
		p.at++
		p.rest = p.rest[n:]
		return
	}
	n := 0
	plain := true // made of what JSON's numbers are made of
	for n < len(p.rest) {
		c := p.rest[n]
		if endsNumber(c) {
			break
		}
		plain = plain && (c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E')
		n++
	}
	// The conversion does not escape here: no memory a number.
	v, err := strconv.ParseFloat(string(p.rest[:n]), 32)
	if f := float32(v); err == nil && plain && f-f == 0 {
		p.dst[p.at] = f
		p.at++
		p.rest = p.rest[n:]
		return
	}
	_, err = number(string(p.rest[:n]))
	if err == nil {
		err = fmt.Errorf("%.40q is not a number", p.rest[:n])
	}
	p.err = fmt.Errorf("column %d: %w", p.at, err)
}

// endsNumber reports whether a number of an array ends before c.
func endsNumber(c byte) bool { return c == ',' || c == ']' || c == ' ' || c == '\t' }

// maxDepth bounds how deep arrays are nested: NumPy's limit of dimensions.
const maxDepth = 32

// jsonShape is the shape of an array, going by the first element of each
// dimension.
func jsonShape(text []byte) (tensor.Shape, error) {
	depth := depthOf(text)
	if depth == 0 || depth > maxDepth {
		return nil, errors.New("want a JSON array of numbers")
	}
	var shape tensor.Shape
	commas := make([]int, depth+1) // seen in the first array of each depth
	closed := make([]bool, depth+1)
	at := 0
	for _, c := range text {
		switch c {
		case '[':
			if at++; at > depth {
				return nil, errors.New("arrays of unequal depth")
			}
		case ']':
			closed[at] = true
			if at--; at < 0 {
				return nil, errors.New("unbalanced brackets")
			}
		case ',':
			if !closed[at] {
				commas[at]++
			}
		}
	}
	for d := 1; d <= depth; d++ {
		shape = append(shape, commas[d]+1)
	}
	return shape, shape.Valid(1, maxRecord)
}
