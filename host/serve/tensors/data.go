package tensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// ParseData is a tensor whose elements are JSON: one list in row-major order, or
// lists in lists as the shape says. Numbers have to be those that the datatype
// holds; floats are rounded to nearest, and null is NaN, of which JSON has no
// other. What does not fit is an *Error.
func ParseData(name string, d Datatype, shape []int64, text []byte, l Limits) (Tensor, error) {
	t := Tensor{Name: name, Datatype: d, Shape: shape}
	n, err := l.check(d, shape)
	if err == nil {
		err = t.parse(text, n)
	}
	if err != nil {
		return Tensor{}, &Error{name, err}
	}
	return t, nil
}

func (t *Tensor) parse(text []byte, n int) error {
	if len(text) == 0 {
		return errors.New("it has no data")
	}
	if n > len(text)/2+1 { // an element has a digit and what parts it from the next
		return fmt.Errorf("%d bytes of data are too few for %s %v", len(text), t.Datatype, t.Shape)
	}
	p := parser{text: text, t: t, want: n}
	if t.Datatype == Bytes {
		t.Texts = make([][]byte, 0, n)
	} else {
		t.Raw = make([]byte, 0, n*t.Datatype.Size())
	}
	if err := p.list(0); err != nil {
		return err
	}
	if p.space(); p.at < len(text) {
		return fmt.Errorf("data has more after its end: %s", Quote(string(text[p.at:min(p.at+20, len(text))])))
	}
	if p.got != n {
		return fmt.Errorf("%d elements for %s %v, want %d", p.got, t.Datatype, t.Shape, n)
	}
	return nil
}

// parser reads the elements of a tensor.
type parser struct {
	text      []byte
	at        int
	t         *Tensor
	got, want int
	layout    layout
}

// layout is how lists are nested.
type layout uint8

const (
	unknown layout = iota
	flat           // one list of elements
	nested         // lists in lists, of the shape
)

func (p *parser) space() {
	for p.at < len(p.text) {
		switch p.text[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek is the next byte that is no space, 0 at the end.
func (p *parser) peek() byte {
	if p.space(); p.at < len(p.text) {
		return p.text[p.at]
	}
	return 0
}

// list reads the list at a level of the shape; level 0 may hold all elements.
func (p *parser) list(level int) error {
	if p.peek() != '[' {
		return fmt.Errorf("data is %s, want a list", p.word())
	}
	p.at++
	n := int64(0)
	for ; ; n++ {
		c := p.peek()
		if c == ']' && n == 0 {
			break
		}
		var err error
		if c == '[' {
			err = p.inner(level)
		} else {
			err = p.scalar(level)
		}
		if err != nil {
			return err
		}
		if c = p.peek(); c == ']' {
			n++
			break
		}
		if c != ',' {
			return fmt.Errorf("element %d: %s where a comma or ] is wanted", p.got, p.word())
		}
		p.at++
	}
	p.at++
	if p.layout == nested && n != p.t.Shape[level] {
		return fmt.Errorf("a list of %d at depth %d of data, want %d as shape %v says", n, level+1, p.t.Shape[level], p.t.Shape)
	}
	return nil
}

// inner reads a list in the list at a level.
func (p *parser) inner(level int) error {
	if level+1 >= len(p.t.Shape) || p.layout == flat {
		return fmt.Errorf("data is nested deeper than shape %v says", p.t.Shape)
	}
	p.layout = nested
	return p.list(level + 1)
}

// scalar reads an element in the list at a level.
func (p *parser) scalar(level int) error {
	switch {
	case p.layout == unknown && len(p.t.Shape) < 2:
		p.layout = flat
	case p.layout == unknown && level == 0:
		p.layout = flat
	case p.layout == nested && level+1 < len(p.t.Shape):
		return fmt.Errorf("element %d stands at depth %d of data, want %d as shape %v says", p.got, level+1, len(p.t.Shape), p.t.Shape)
	}
	if p.got == p.want {
		return fmt.Errorf("more than %d elements for %s %v", p.want, p.t.Datatype, p.t.Shape)
	}
	if err := p.element(); err != nil {
		return fmt.Errorf("element %d: %w", p.got, err)
	}
	p.got++
	return nil
}

// word is what comes next, for errors.
func (p *parser) word() string {
	p.space()
	if p.at >= len(p.text) {
		return "its end"
	}
	return wire.Text(string(p.token()), 40)
}

// token is the number or word that comes next.
func (p *parser) token() []byte {
	rest := p.text[p.at:]
	if i := bytes.IndexAny(rest, ",[] \t\r\n"); i > 0 {
		return rest[:i]
	}
	return rest[:min(len(rest), max(1, bytes.IndexAny(rest, ",[]")+1))]
}

// element reads one element.
func (p *parser) element() error {
	t := p.t
	if p.peek() == '"' {
		return p.text1()
	}
	w := p.token()
	if len(w) > 400 { // 1e308 written out has 309
		return fmt.Errorf("%s has %d characters", wire.Text(string(w[:40]), 40), len(w))
	}
	switch {
	case t.Datatype == Bytes:
		return fmt.Errorf("%s, want a string", wire.Text(string(w), 40))
	case t.Datatype == Bool:
		switch string(w) {
		case "true", "1":
			t.Raw = append(t.Raw, 1)
		case "false", "0":
			t.Raw = append(t.Raw, 0)
		default:
			return fmt.Errorf("%s, want true or false", wire.Text(string(w), 40))
		}
	case t.Datatype.Float():
		v, err := t.Datatype.parseFloat(w)
		if err != nil {
			return err
		}
		t.Raw = t.Datatype.appendFloat(t.Raw, v)
	default:
		v, err := t.Datatype.parseInt(w)
		if err != nil {
			return err
		}
		t.Raw = t.Datatype.appendInt(t.Raw, v)
	}
	p.at += len(w)
	return nil
}

// text1 reads a string.
func (p *parser) text1() error {
	if p.t.Datatype != Bytes {
		return fmt.Errorf("a string, want %s", p.t.Datatype)
	}
	start := p.at
	plain := true
	for p.at++; p.at < len(p.text) && p.text[p.at] != '"'; p.at++ {
		if c := p.text[p.at]; c == '\\' {
			p.at++
			plain = false
		} else if c < ' ' || c >= 0x80 {
			plain = false
		}
	}
	if p.at >= len(p.text) {
		return errors.New("a string without end")
	}
	p.at++
	if plain {
		p.t.Texts = append(p.t.Texts, p.text[start+1:p.at-1:p.at-1])
		return nil
	}
	var s string
	if err := json.Unmarshal(p.text[start:p.at], &s); err != nil {
		return errors.New("no string of JSON")
	}
	p.t.Texts = append(p.t.Texts, []byte(s))
	return nil
}

// numeral reports whether a word has the letters of a number in JSON.
func numeral(w []byte) bool {
	if len(w) == 0 || w[0] != '-' && (w[0] < '0' || w[0] > '9') {
		return false
	}
	for _, c := range w {
		if (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			return false
		}
	}
	return true
}

func (d Datatype) parseFloat(w []byte) (float64, error) {
	if string(w) == "null" {
		return math.NaN(), nil
	}
	if !numeral(w) {
		return 0, d.noNumber(w)
	}
	width := 64
	if d == FP32 {
		width = 32
	}
	v, err := strconv.ParseFloat(string(w), width)
	if errors.Is(err, strconv.ErrRange) || err == nil && (d == FP16 && math.Abs(v) >= 65520 || d == BF16 && math.IsInf(float64(float32(v)), 0)) {
		return 0, fmt.Errorf("%s is out of the range of %s", wire.Text(string(w), 40), d)
	}
	if err != nil {
		return 0, d.noNumber(w)
	}
	return v, nil
}

// parseInt is a whole number as the bits of a 64-bit one; 3.0 and 1e3 are whole.
func (d Datatype) parseInt(w []byte) (uint64, error) {
	if !numeral(w) {
		return 0, d.noNumber(w)
	}
	width := 8 * d.Size()
	var bits uint64
	var err error
	if d.Signed() {
		var v int64
		v, err = strconv.ParseInt(string(w), 10, width)
		bits = uint64(v)
	} else {
		bits, err = strconv.ParseUint(string(w), 10, width)
	}
	if err == nil {
		return bits, nil
	}
	v, float := strconv.ParseFloat(string(w), 64)
	if float != nil && !errors.Is(float, strconv.ErrRange) {
		return 0, d.noNumber(w)
	}
	if v != math.Trunc(v) {
		return 0, fmt.Errorf("%s is no whole number, want %s", wire.Text(string(w), 40), d)
	}
	lo, hi := 0.0, math.Ldexp(1, width)
	if d.Signed() {
		lo, hi = -math.Ldexp(1, width-1), math.Ldexp(1, width-1)
	}
	if v < lo || v >= hi || math.Abs(v) > 1<<53 {
		return 0, fmt.Errorf("%s is out of the range of %s", wire.Text(string(w), 40), d)
	}
	if v < 0 {
		return uint64(int64(v)), nil
	}
	return uint64(v), nil
}

// noNumber is the error for a word that is none.
func (d Datatype) noNumber(w []byte) error {
	switch string(w) {
	case "NaN", "Infinity", "-Infinity":
		return fmt.Errorf("%s is not JSON: null stands for a value that is missing, and binary tensors hold any number", w)
	}
	return fmt.Errorf("%s, want a number", wire.Text(string(w), 40))
}

// AppendData appends the elements as one list of JSON. Numbers that are not finite
// are null. Bytes that are no UTF-8 are lost: such texts want AppendRaw.
func (t Tensor) AppendData(b []byte) []byte {
	b = append(b, '[')
	for i := range t.N() {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case t.Datatype == Bytes:
			b = appendText(b, string(t.Texts[i]))
		case t.Datatype == Bool:
			b = strconv.AppendBool(b, t.Raw[i] != 0)
		case t.Datatype.Float():
			// with the digits of a float64, so that a reader of either width gets the same bits
			if v := t.Float64(i); v-v != 0 {
				b = append(b, "null"...)
			} else {
				b = strconv.AppendFloat(b, v, 'g', -1, 64)
			}
		case t.Datatype.Signed():
			b = strconv.AppendInt(b, t.int(i), 10)
		default:
			b = strconv.AppendUint(b, t.uint(i), 10)
		}
	}
	return append(b, ']')
}

// quoted is a string as JSON.
func quoted(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic("tensors: a string is not JSON")
	}
	return b
}
