package formats

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// JSONL is JSON lines: one array of numbers per line, flat or nested. It is what
// standard input holds by default, and takes the shape wanted for that
// of its rows.
type JSONL struct{}

var _ dataset.StreamFormat = JSONL{}

// Traits implements dataset.Format.
func (JSONL) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".jsonl", ".ndjson", ".json"}, Default: true}
}

// Open implements dataset.Format.
func (f JSONL) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (JSONL) Stream(c *dataset.Content, o dataset.ReadOptions) (dataset.Reader, error) {
	return newJSONRows(c, o.Example)
}

// jsonRows streams JSON lines: one array of numbers per line, flat or nested as
// the example is. Blank lines are passed over.
type jsonRows struct {
	*dataset.Content
	shape   tensor.Shape
	line    int
	pending []byte // the first line, read for its shape
	buf     []byte
}

// newJSONRows reads examples of the given shape; nil takes that of the first
// line.
func newJSONRows(c *dataset.Content, shape tensor.Shape) (dataset.Reader, error) {
	r := &jsonRows{Content: c, shape: shape}
	if shape != nil {
		return r, nil
	}
	text, err := r.readLine()
	if isEOF(err) {
		return nil, fmt.Errorf("%s: empty", c.Name)
	}
	if err == nil {
		r.shape, err = jsonShape(text)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", c.Name, r.line, err)
	}
	r.pending = text
	return r, nil
}

func (r *jsonRows) Example() tensor.Shape { return r.shape }
func (r *jsonRows) Count() int            { return -1 }

func (r *jsonRows) Next(dst []float32) error {
	text, err := r.pending, error(nil)
	if r.pending = nil; text == nil {
		text, err = r.readLine()
	}
	if isEOF(err) {
		return err
	}
	if err != nil && !errors.Is(err, errLongLine) {
		return fmt.Errorf("%s: %w", r.Name, err)
	}
	r.Row++
	if err == nil {
		err = parseJSONRow(dst, text, r.shape)
	}
	if err != nil {
		return &dataset.RowError{Source: r.Name, Row: r.Row - 1, Err: fmt.Errorf("line %d: %w", r.line, err)}
	}
	return nil
}

var errLongLine = fmt.Errorf("the line exceeds %d bytes", maxRecord)

// readLine is the next line that is not blank. It is valid until the next
// call. A line beyond maxRecord is skipped with errLongLine.
func (r *jsonRows) readLine() ([]byte, error) {
	for {
		r.buf = r.buf[:0]
		long := false
		var err error
		for {
			var b []byte
			b, err = r.ReadSlice('\n')
			if long = long || len(r.buf)+len(b) > maxRecord; !long {
				r.buf = append(r.buf, b...)
			}
			if err == nil || isEOF(err) {
				break
			}
			if len(b) == 0 { // a full buffer has bytes, a failed reader has none
				return nil, err
			}
		}
		r.line++
		text := bytes.TrimSpace(r.buf)
		switch {
		case long:
			return nil, errLongLine
		case len(text) > 0:
			return text, nil
		case err != nil:
			return nil, err
		}
	}
}

// parseJSONRow fills dst from a JSON array: flat, or nested as shape.
func parseJSONRow(dst []float32, text []byte, shape tensor.Shape) error {
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

func (p *jsonParser) want(c byte, format string, args ...any) bool {
	if p.peek() != c {
		if p.err == nil {
			p.err = fmt.Errorf(format, args...)
		}
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *jsonParser) array(dims []int) {
	if !p.want('[', "column %d: want a JSON array", p.at) {
		return
	}
	for i := range dims[0] {
		if i > 0 && !p.want(',', "want %d entries, got %d at column %d", dims[0], i, p.at) {
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
	p.want(']', "want %d entries, got more at column %d", dims[0], p.at)
}

func (p *jsonParser) number() {
	p.peek()
	n := 0
	plain := true // made of what JSON's numbers are made of
	for n < len(p.rest) {
		c := p.rest[n]
		if c == ',' || c == ']' || c == ' ' || c == '\t' {
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
