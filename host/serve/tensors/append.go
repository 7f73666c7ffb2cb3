package tensors

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
)

// AppendRequest is the body of an inference request over REST, and the length of
// its JSON where binary data follows, else −1. binary says which inputs are sent
// so; nil: none.
func AppendRequest(b []byte, r Request, binary func(Tensor) bool) ([]byte, int64) {
	m := newMessage(b)
	m.text("id", r.ID)
	m.parameters("parameters", r.Parameters)
	m.tensors("inputs", r.Inputs, binary)
	if len(r.Outputs) > 0 {
		m.key("outputs")
		for i, o := range r.Outputs {
			m.between(i, '[')
			m.open()
			m.always("name", o.Name)
			m.parameters("parameters", o.Parameters)
			m.b = append(m.b, '}')
		}
		m.b = append(m.b, ']')
	}
	return m.end(r.Inputs, binary)
}

// AppendResponse is the body of an inference response over REST, as AppendRequest
// is one of a request.
func AppendResponse(b []byte, r Response, binary func(Tensor) bool) ([]byte, int64) {
	m := newMessage(b)
	m.always("model_name", r.Model)
	m.text("model_version", r.Version)
	m.text("id", r.ID)
	m.parameters("parameters", r.Parameters)
	m.tensors("outputs", r.Outputs, binary)
	return m.end(r.Outputs, binary)
}

// message is JSON that is being written.
type message struct {
	b     []byte
	start int  // of the message
	first bool // in an object
}

func newMessage(b []byte) *message {
	m := &message{b: b, start: len(b)}
	m.open()
	return m
}

func (m *message) open() {
	m.b = append(m.b, '{')
	m.first = true
}

func (m *message) key(name string) {
	if !m.first {
		m.b = append(m.b, ',')
	}
	m.first = false
	m.b = append(appendText(m.b, name), ':')
}

// between begins a list, or the next of its elements.
func (m *message) between(i int, open byte) {
	if i > 0 {
		open = ','
	}
	m.b = append(m.b, open)
}

func (m *message) always(key, value string) {
	m.key(key)
	m.b = appendText(m.b, value)
}

// text is a string that is left out if it is empty.
func (m *message) text(key, value string) {
	if value != "" {
		m.always(key, value)
	}
}

func (m *message) parameters(key string, p Parameters) {
	if len(p) == 0 {
		return
	}
	m.key(key)
	m.b = p.append(m.b)
}

// append writes the parameters as an object, in the order of their names.
func (p Parameters) append(b []byte) []byte {
	open := byte('{')
	for _, name := range slices.Sorted(maps.Keys(p)) {
		v := p[name]
		if f, ok := v.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
			v = nil
		}
		var text []byte
		var err error
		if n, ok := v.(int64); ok {
			text = strconv.AppendInt(nil, n, 10)
		} else {
			text, err = json.Marshal(v)
		}
		if err != nil {
			panic("tensors: a parameter is neither bool, number nor string")
		}
		b = append(b, open)
		b = append(appendText(b, name), ':')
		b = append(b, text...)
		open = ','
	}
	if open == '{' {
		b = append(b, open)
	}
	return append(b, '}')
}

func (m *message) tensors(key string, list []Tensor, binary func(Tensor) bool) {
	m.key(key)
	if len(list) == 0 {
		m.b = append(m.b, '[')
	}
	for i, t := range list {
		m.between(i, '[')
		m.open()
		m.always("name", t.Name)
		m.always("datatype", string(t.Datatype))
		m.key("shape")
		m.b = appendShape(m.b, t.Shape)
		p := t.Parameters
		raw := binary != nil && binary(t)
		if raw {
			p = maps.Clone(p)
			if p == nil {
				p = Parameters{}
			}
			p[paramSize] = int64(t.rawSize())
		}
		m.parameters("parameters", p)
		if !raw {
			m.key("data")
			m.b = t.AppendData(m.b)
		}
		m.b = append(m.b, '}')
	}
	m.b = append(m.b, ']')
	m.first = false
}

// end closes the message and appends the binary data.
func (m *message) end(list []Tensor, binary func(Tensor) bool) ([]byte, int64) {
	m.b = append(m.b, '}')
	header := int64(-1)
	if binary != nil {
		length := int64(len(m.b) - m.start)
		for _, t := range list {
			if binary(t) {
				header = length
				m.b = t.AppendRaw(m.b)
			}
		}
	}
	return m.b, header
}

// appendShape writes a list of numbers.
func appendShape(b []byte, shape []int64) []byte {
	b = append(b, '[')
	for i, n := range shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return append(b, ']')
}

// appendText writes a string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return append(b, quoted(s)...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
