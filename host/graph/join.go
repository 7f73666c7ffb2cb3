package graph

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Model is an ONNX file to be joined to a graph.
type Model struct {
	ir           int64
	opsets       map[string]int64 // by domain
	graph        []byte
	initializers map[string]bool
	Inputs       []string // without those that have a value of their own
	Outputs      []string
}

// Read takes a file apart as far as joining needs. What cannot be joined (functions
// of the model's own, data in other files, operators of a version out of range) is an
// error.
func Read(file []byte) (*Model, error) {
	m := &Model{opsets: make(map[string]int64), initializers: make(map[string]bool)}
	err := fields(file, func(field protowire.Number, v value) error {
		switch field {
		case modelIR:
			m.ir = int64(v.number)
		case modelGraph:
			m.graph = v.bytes
		case modelFunction:
			return errors.New("the model defines functions of its own")
		case modelOpset:
			domain, version := "", int64(0)
			if err := fields(v.bytes, func(f protowire.Number, v value) error {
				switch f {
				case opsetDomain:
					domain = string(v.bytes)
				case opsetVersion:
					version = int64(v.number)
				}
				return nil
			}); err != nil {
				return err
			}
			if domain == "ai.onnx" {
				domain = ""
			}
			m.opsets[domain] = version
		}
		return nil
	})
	if err == nil && (m.opsets[""] < MinOpset || m.opsets[""] > MaxOpset) {
		err = fmt.Errorf("its operators are those of opset %d, a guard can be joined to %d to %d", m.opsets[""], MinOpset, MaxOpset)
	}
	if err == nil {
		err = m.ports()
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Model) ports() error {
	var inputs []string
	err := fields(m.graph, func(field protowire.Number, v value) error {
		name := ""
		read := func(want protowire.Number) error {
			return fields(v.bytes, func(f protowire.Number, v value) error {
				if f == want {
					name = string(v.bytes)
				}
				return nil
			})
		}
		switch field {
		case graphSparse:
			return errors.New("the model has sparse constants")
		case graphInitializer:
			if err := read(tensorName); err != nil {
				return err
			}
			if err := external(v.bytes); err != nil {
				return fmt.Errorf("constant %q: %w", name, err)
			}
			m.initializers[name] = true
		case graphInput:
			if err := read(infoName); err != nil {
				return err
			}
			inputs = append(inputs, name)
		case graphOutput:
			if err := read(infoName); err != nil {
				return err
			}
			m.Outputs = append(m.Outputs, name)
		}
		return nil
	})
	for _, name := range inputs {
		if !m.initializers[name] {
			m.Inputs = append(m.Inputs, name)
		}
	}
	return err
}

// tensorLocation is where a constant's data are; 1: in another file.
const tensorLocation = 14

func external(tensor []byte) error {
	return fields(tensor, func(f protowire.Number, v value) error {
		if f == tensorLocation && v.number == 1 {
			return errors.New("its data are in another file")
		}
		return nil
	})
}

// Join puts the nodes of a model into the graph, fed by inputs, and gives its
// output of a name. Everything of the model gets a prefix to its name. One model can
// be joined several times, but no other model after it.
func (b *Builder) Join(m *Model, inputs map[string]Value, outputs ...string) []Value {
	if b.joined != nil && b.joined != m {
		b.Failf("graph: two models to join")
	}
	b.joined = m
	b.count++
	r := renamer{prefix: fmt.Sprintf("m%d/", b.count), known: map[string]string{"": ""}}
	for _, name := range m.Inputs {
		v, ok := inputs[name]
		if !ok {
			b.Failf("graph: nothing to feed the model's input %q", name)
		}
		r.known[name] = v.name
	}
	err := fields(m.graph, func(field protowire.Number, v value) error {
		switch field {
		case graphNode:
			n, err := r.node(v.bytes)
			b.nodes = append(b.nodes, n)
			return err
		case graphInitializer:
			t, err := r.replace(v.bytes, tensorName)
			b.constants = append(b.constants, t)
			return err
		}
		return nil
	})
	if err != nil {
		b.Fail(fmt.Errorf("graph: the model to join: %w", err))
	}
	out := make([]Value, len(outputs))
	for i, name := range outputs {
		out[i] = Value{r.name(name)}
	}
	return out
}

// renamer gives the names of a model their prefix.
type renamer struct {
	prefix string
	known  map[string]string // names that stand for something of the graph around it
}

func (r renamer) name(s string) string {
	if v, ok := r.known[s]; ok {
		return v
	}
	return r.prefix + s
}

// node renames a node and those of the graphs in its attributes.
func (r renamer) node(msg []byte) ([]byte, error) {
	var out []byte
	err := fields(msg, func(f protowire.Number, v value) error {
		switch f {
		case nodeInput, nodeOutput, nodeName:
			out = bytesField(out, f, []byte(r.name(string(v.bytes))))
			return nil
		case nodeAttr:
			a, err := r.attr(v.bytes)
			out = bytesField(out, f, a)
			return err
		case nodeDoc:
			return nil
		}
		out = append(out, v.raw...)
		return nil
	})
	return out, err
}

func (r renamer) attr(msg []byte) ([]byte, error) {
	var out []byte
	err := fields(msg, func(f protowire.Number, v value) error {
		if f != attrG && f != attrGs {
			out = append(out, v.raw...)
			return nil
		}
		g, err := r.inner(v.bytes)
		out = bytesField(out, f, g)
		return err
	})
	return out, err
}

// inner renames a graph inside of a node: it sees the names around it.
func (r renamer) inner(msg []byte) ([]byte, error) {
	var out []byte
	err := fields(msg, func(f protowire.Number, v value) (err error) {
		var part []byte
		switch f {
		case graphNode:
			part, err = r.node(v.bytes)
		case graphInitializer:
			part, err = r.replace(v.bytes, tensorName)
		case graphInput, graphOutput, graphValueInfo:
			part, err = r.replace(v.bytes, infoName)
		case graphSparse:
			return errors.New("sparse constants")
		default:
			out = append(out, v.raw...)
			return nil
		}
		out = bytesField(out, f, part)
		return err
	})
	return out, err
}

// replace renames a message by its field of a name.
func (r renamer) replace(msg []byte, field protowire.Number) ([]byte, error) {
	var out []byte
	err := fields(msg, func(f protowire.Number, v value) error {
		if f == field {
			out = bytesField(out, f, []byte(r.name(string(v.bytes))))
		} else {
			out = append(out, v.raw...)
		}
		return nil
	})
	return out, err
}

// value is one field of a message.
type value struct {
	number uint64
	bytes  []byte
	raw    []byte // with its tag
}

// fields goes over the fields of a message.
func fields(msg []byte, f func(protowire.Number, value) error) error {
	for len(msg) > 0 {
		field, kind, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return fmt.Errorf("not protobuf: %w", protowire.ParseError(n))
		}
		var v value
		m := 0
		switch kind {
		case protowire.VarintType:
			v.number, m = protowire.ConsumeVarint(msg[n:])
		case protowire.BytesType:
			v.bytes, m = protowire.ConsumeBytes(msg[n:])
		default:
			m = protowire.ConsumeFieldValue(field, kind, msg[n:])
		}
		if m < 0 {
			return fmt.Errorf("not protobuf: %w", protowire.ParseError(m))
		}
		v.raw = msg[:n+m]
		if err := f(field, v); err != nil {
			return err
		}
		msg = msg[n+m:]
	}
	return nil
}
