package formats

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// jsonText reads the values of a JSON text as cells. After the first fault it
// reads nothing.
type jsonText struct {
	rest string
	err  error
}

// peek is the next byte that is not blank, 0 at the end.
func (p *jsonText) peek() byte {
	p.rest = strings.TrimLeft(p.rest, " \t\r\n")
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

// take passes over c if it comes next.
func (p *jsonText) take(c byte) bool {
	if p.peek() != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *jsonText) fail(what string) error {
	if p.err == nil {
		p.err = fmt.Errorf("%s at %.20q", what, p.rest)
		if p.rest == "" {
			p.err = errors.New(what + ", and the row ends")
		}
	}
	return p.err
}

// close holds that nothing is left.
func (p *jsonText) close() error {
	if p.err == nil && p.peek() != 0 {
		return p.fail("text after the value")
	}
	return p.err
}

// str is a string.
func (p *jsonText) str() string {
	if p.err != nil || p.peek() != '"' {
		_ = p.fail("want a string")
		return ""
	}
	plain := true
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			s := p.rest[:i+1]
			p.rest = p.rest[i+1:]
			if plain {
				return s[1:i]
			}
			var out string
			if err := json.Unmarshal([]byte(s), &out); err != nil {
				p.err = fmt.Errorf("string %.40s: %w", s, err)
			}
			return out
		case c == '\\':
			plain = false
			i++
		case c < ' ':
			_ = p.fail("a control character in a string")
			return ""
		}
	}
	_ = p.fail("a string without end")
	return ""
}

// value appends the cells of a value: one, or the entries of an array. An
// object within is text.
func (p *jsonText) value(cells *[]dataset.Cell, depth int) {
	if p.err != nil {
		return
	}
	switch p.peek() {
	case '"':
		*cells = append(*cells, dataset.Cell{Kind: dataset.CellText, Text: p.str()})
	case '[':
		p.entries(cells, depth+1)
	case '{':
		text := p.rest
		p.skip(depth + 1)
		*cells = append(*cells, dataset.Cell{Kind: dataset.CellText, Text: text[:len(text)-len(p.rest)]})
	default:
		*cells = append(*cells, p.word())
	}
}

func (p *jsonText) entries(cells *[]dataset.Cell, depth int) {
	if depth > maxDepth {
		_ = p.fail(fmt.Sprintf("nested more than %d deep", maxDepth))
		return
	}
	p.take('[')
	for first := true; p.err == nil; first = false {
		if p.take(']') {
			return
		}
		if !first && !p.take(',') {
			_ = p.fail("want , or ]")
			return
		}
		p.value(cells, depth)
	}
}

// skip passes over an object.
func (p *jsonText) skip(depth int) {
	if depth > maxDepth {
		_ = p.fail(fmt.Sprintf("nested more than %d deep", maxDepth))
		return
	}
	p.take('{')
	var none []dataset.Cell
	for first := true; p.err == nil; first = false {
		if p.take('}') {
			return
		}
		if !first && !p.take(',') {
			_ = p.fail("want , or }")
			return
		}
		p.str()
		if !p.take(':') {
			_ = p.fail("want :")
			return
		}
		none = none[:0]
		p.value(&none, depth)
	}
}

// word is a number, true, false, null, or NaN and Infinity as Python writes
// them.
func (p *jsonText) word() dataset.Cell {
	n, plain := 0, true // made of what JSON's numbers are made of
word:
	for ; n < len(p.rest); n++ {
		switch c := p.rest[n]; {
		case c >= '0' && c <= '9' || c == '.' || c == '-' || c == '+' || c == 'e' || c == 'E':
		case c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			break word
		default:
			plain = false
		}
	}
	text := p.rest[:n]
	c := dataset.Cell{Kind: dataset.CellNumber, Text: text}
	switch text {
	case "":
		_ = p.fail("no value")
	case "null":
		c = dataset.Cell{}
	case "true":
		c.Number = 1
	case "false":
	case "NaN":
		c.Number = math.NaN()
	case "Infinity", "-Infinity":
		c.Number = math.Inf(len("Infinity") - len(text))
	default:
		var err error
		c.Number, err = strconv.ParseFloat(text, 64)
		if !plain || err != nil && !errors.Is(err, strconv.ErrRange) {
			p.err = fmt.Errorf("%.40q is not a number", text)
			return c
		}
	}
	p.rest = p.rest[n:]
	return c
}
