package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	npyMagic = "\x93NUMPY"
	// maxNPYHeader bounds the header in bytes; NumPy itself stops at 10,000.
	maxNPYHeader = 1 << 16
	// maxRank is NumPy's limit of dimensions.
	maxRank = 32
	// maxText bounds one element of a text array, in bytes.
	maxText = 1 << 24
)

// npyHeader is what stands before the numbers of a .npy file (format versions
// 1 to 3).
type npyHeader struct {
	dtype   Dtype
	fortran bool
	shape   tensor.Shape
}

// Dtype is the type of an array's elements, as NumPy has it.
type Dtype struct {
	// Kind is one of f (float), i and u (integers), b (bool), S (bytes) and U
	// (UTF-32).
	Kind byte
	Size int  // bytes of one element: 2, 4, 8 for f; 1, 2, 4, 8 for i and u; 1 for b; 4 a rune for U
	Big  bool // big-endian
}

func (d Dtype) order() binary.ByteOrder {
	if d.Big {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// float is the number in b, of d.Size bytes. d is numeric.
func (d Dtype) float(b []byte) float64 {
	o := d.order()
	switch {
	case d.Kind == 'f' && d.Size == 2:
		return halfFloat(o.Uint16(b))
	case d.Kind == 'f' && d.Size == 4:
		return float64(math.Float32frombits(o.Uint32(b)))
	case d.Kind == 'f':
		return math.Float64frombits(o.Uint64(b))
	case d.Kind == 'u' && d.Size == 8:
		return float64(o.Uint64(b))
	}
	return float64(d.int(b))
}

// int is the whole number in b; d is i, u or b. An unsigned number beyond
// int64 comes out negative.
func (d Dtype) int(b []byte) int64 {
	o := d.order()
	signed := d.Kind == 'i'
	switch d.Size {
	case 1:
		if signed {
			return int64(int8(b[0]))
		}
		return int64(b[0])
	case 2:
		if signed {
			return int64(int16(o.Uint16(b)))
		}
		return int64(o.Uint16(b))
	case 4:
		if signed {
			return int64(int32(o.Uint32(b)))
		}
		return int64(o.Uint32(b))
	}
	return int64(o.Uint64(b))
}

// halfFloat is the value of an IEEE 754 binary16.
func halfFloat(h uint16) float64 {
	sign := 1.0
	if h>>15 == 1 {
		sign = -1
	}
	exponent, mantissa := int(h>>10&31), float64(h&1023)
	switch exponent {
	case 0:
		return sign * math.Ldexp(mantissa, -24)
	case 31:
		if mantissa == 0 {
			return sign * math.Inf(1)
		}
		return math.NaN()
	}
	return sign * math.Ldexp(1024+mantissa, exponent-25)
}

// readNPYHeader reads up to the first number.
func readNPYHeader(r io.Reader) (npyHeader, error) {
	var h npyHeader
	var head [8]byte
	if _, err := io.ReadFull(r, head[:]); err != nil || string(head[:6]) != npyMagic {
		return h, errors.New("not a .npy file")
	}
	var n uint32
	switch head[6] {
	case 1:
		var b [2]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return h, errors.New("truncated .npy header")
		}
		n = uint32(binary.LittleEndian.Uint16(b[:]))
	case 2, 3:
		var b [4]byte
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return h, errors.New("truncated .npy header")
		}
		n = binary.LittleEndian.Uint32(b[:])
	default:
		return h, fmt.Errorf(".npy format version %d, want 1, 2 or 3", head[6])
	}
	if n > maxNPYHeader {
		return h, fmt.Errorf("the .npy header claims %d bytes, want at most %d", n, maxNPYHeader)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return h, errors.New("truncated .npy header")
	}
	h, err := parseNPYHeader(string(text))
	if err != nil {
		return h, fmt.Errorf(".npy header: %w", err)
	}
	return h, nil
}

// parseNPYHeader reads the Python dictionary with exactly the keys descr,
// fortran_order and shape.
func parseNPYHeader(s string) (h npyHeader, err error) {
	p := &literal{rest: strings.TrimSpace(s)}
	seen := map[string]bool{}
	p.want('{')
	for !p.got('}') && p.err == nil {
		key := p.str()
		p.want(':')
		if seen[key] {
			return h, fmt.Errorf("%q appears twice", key)
		}
		seen[key] = true
		switch key {
		case "descr":
			if p.peek() == '[' {
				return h, errors.New("a structured array, want one number per element")
			}
			if descr := p.str(); p.err == nil {
				if h.dtype, err = parseDtype(descr); err != nil {
					return h, err
				}
			}
		case "fortran_order":
			h.fortran = p.boolean()
		case "shape":
			h.shape = p.dims()
		default:
			return h, fmt.Errorf("unknown key %q", key)
		}
		if !p.got(',') {
			p.want('}')
			break
		}
	}
	if p.err != nil {
		return h, p.err
	}
	if p.rest != "" {
		return h, errors.New("text after the dictionary")
	}
	if len(seen) != 3 {
		return h, errors.New("want descr, fortran_order and shape")
	}
	return h, nil
}

func parseDtype(s string) (Dtype, error) {
	unknown := fmt.Errorf("element type %q, want floats, integers, booleans or text", s)
	if len(s) < 3 || !strings.ContainsRune("<>|=", rune(s[0])) {
		return Dtype{}, unknown
	}
	n, err := strconv.Atoi(s[2:])
	if err != nil || n < 0 || n > maxText {
		return Dtype{}, unknown
	}
	d := Dtype{Kind: s[1], Size: n, Big: s[0] == '>'}
	if d.Kind == 'U' {
		d.Size *= 4
	}
	if !d.valid() || d.Size > maxText {
		return Dtype{}, unknown
	}
	return d, nil
}

// valid reports whether there are elements of the type.
func (d Dtype) valid() bool {
	n := d.Size
	switch d.Kind {
	case 'f':
		return n == 2 || n == 4 || n == 8
	case 'i', 'u':
		return n == 1 || n == 2 || n == 4 || n == 8
	case 'b':
		return n == 1
	case 'S':
		return true
	case 'U':
		return n%4 == 0
	}
	return false
}

func (d Dtype) numeric() bool { return d.Kind != 'S' && d.Kind != 'U' }

// literal reads the few Python literals of a header.
type literal struct {
	rest string
	err  error
}

func (p *literal) fail(want string) {
	if p.err == nil {
		p.err = fmt.Errorf("want %s at %.20q", want, p.rest)
	}
}

func (p *literal) peek() byte {
	p.rest = strings.TrimLeft(p.rest, " \t\n")
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *literal) got(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *literal) want(c byte) {
	if !p.got(c) {
		p.fail(strconv.QuoteRune(rune(c)))
	}
}

func (p *literal) str() string {
	q := p.peek()
	if q == '\'' || q == '"' {
		if end := strings.IndexByte(p.rest[1:], q); end >= 0 {
			s := p.rest[1 : 1+end]
			p.rest = p.rest[2+end:]
			return s
		}
	}
	p.fail("a string")
	return ""
}

func (p *literal) boolean() bool {
	p.peek()
	for _, w := range []string{"True", "False"} {
		if rest, ok := strings.CutPrefix(p.rest, w); ok {
			p.rest = rest
			return w == "True"
		}
	}
	p.fail("True or False")
	return false
}

func (p *literal) dims() tensor.Shape {
	p.want('(')
	s := tensor.Shape{}
	for !p.got(')') && p.err == nil {
		p.peek()
		digits := len(p.rest) - len(strings.TrimLeft(p.rest, "0123456789"))
		n, err := strconv.Atoi(p.rest[:digits])
		if err != nil || len(s) == maxRank {
			p.fail("at most 32 lengths")
			break
		}
		p.rest = strings.TrimPrefix(p.rest[digits:], "L") // written by Python 2
		s = append(s, n)
		if !p.got(',') {
			p.want(')')
			break
		}
	}
	return s
}
