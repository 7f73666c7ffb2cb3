package onnx

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
)

// What a file may ask for.
const (
	minOpset   = 7       // of the default domain: since then operands are broadcast as they still are
	maxOpset   = 24      // the newest whose changes were read
	maxMLOpset = 5       // of ai.onnx.ml
	maxNodes   = 1 << 20 // nodes of a graph
	maxRank    = 16      // dimensions of a tensor
	maxNumbers = 1 << 29 // elements of a tensor
)

// model is a ModelProto: what is read of it.
type model struct {
	opsets  map[string]int64 // by domain
	nodes   []*node
	consts  map[string]*value
	inputs  []port
	outputs []port
	given   []given // inputs that the config gives, a row for each example
	dir     string  // where external data lie; "": none may be read
	digest  external

	room     room // of loading
	settings settings
	bytes    int64 // of the file
}

// port is an input or output as the graph declares it.
type port struct {
	name string
	elem int64 // element type; 0: not a tensor, or not said
	dims []int // −1: not fixed
	said bool  // dims are declared
}

// attr is an attribute; which field holds it follows from the operator.
type attr struct {
	f       float32
	i       int64
	s       string
	t       *value
	floats  []float32
	ints    []int64
	strings []string
}

// node is an operator of the graph. It does not change once loaded, except for
// what once guards.
type node struct {
	name, op, domain string
	in, out          []string
	attrs            map[string]attr
	version          int64 // of the operator's domain
	do               operator

	once  sync.Once
	ready any // what the operator made of its constants
}

// String names a node as errors do.
func (n *node) String() string {
	op := n.op
	if n.domain != "" {
		op = n.domain + "." + op
	}
	name := n.name
	if name == "" && len(n.out) > 0 {
		name = n.out[0]
	}
	return fmt.Sprintf("operator %s (node %q, opset %d)", brief(op), brief(name), n.version)
}

// brief is a name, cut where it is too long to read.
func brief(name string) string {
	const most = 120
	if len(name) <= most {
		return name
	}
	return name[:most] + "…"
}

// parse reads a ModelProto within what s allows. dir is the folder of external
// data, or "".
func parse(data []byte, dir string, s settings) (m *model, err error) {
	m = &model{opsets: map[string]int64{}, consts: map[string]*value{}, dir: dir, settings: s, bytes: int64(len(data))}
	m.room = newRoom(s.allowanceOf(m.bytes))
	defer rescue(func() string { return "the graph" }, &err)
	m.room.claim(len(data), 1)
	seen := false
	err = each(data, func(x field) error {
		switch x.num {
		case 7:
			seen = true
			return m.graph(x.b)
		case 8:
			domain, version := "", int64(0)
			err := each(x.b, func(x field) error {
				switch x.num {
				case 1:
					domain = string(x.b)
				case 2:
					version = int64(x.u)
				}
				return nil
			})
			m.room.claim(1, bytesValue)
			if domain == "ai.onnx" {
				domain = ""
			}
			m.opsets[domain] = version
			return err
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !seen {
		return nil, errors.New("not an ONNX model: it has no graph")
	}
	if v, ok := m.opsets[""]; ok && (v < minOpset || v > maxOpset) {
		return nil, fmt.Errorf("opset %d: want one from %d to %d; export the model again with such an opset_version", v, minOpset, maxOpset)
	}
	if v := m.opsets[domainML]; v < 0 || v > maxMLOpset {
		return nil, fmt.Errorf("opset %d of %s: want at most %d; export the model again with such a target_opset", v, domainML, maxMLOpset)
	}
	for _, n := range m.nodes {
		n.version = m.opsets[n.domain]
		if n.version == 0 && n.domain == "" {
			return nil, fmt.Errorf("the file does not say which opset its operators are of: want one from %d to %d", minOpset, maxOpset)
		}
	}
	return m, nil
}

func (m *model) graph(b []byte) error {
	return each(b, func(x field) error {
		switch x.num {
		case 1:
			if len(m.nodes) >= maxNodes {
				return fmt.Errorf("more than %d nodes", maxNodes)
			}
			m.room.claim(1, bytesNode)
			n, err := m.node(x.b)
			m.nodes = append(m.nodes, n) // paid for with the node
			return err
		case 5:
			m.room.claim(1, bytesNode)
			name, v, err := m.tensor(x.b)
			if err != nil {
				return fmt.Errorf("initializer %q: %w", brief(name), err)
			}
			if m.consts[name] != nil {
				return fmt.Errorf("initializer %q is there twice", brief(name))
			}
			m.consts[name] = v
		case 11:
			m.room.claim(1, bytesNode)
			p, err := readPort(x.b)
			m.inputs = append(m.inputs, p)
			return err
		case 12:
			m.room.claim(1, bytesNode)
			p, err := readPort(x.b)
			m.outputs = append(m.outputs, p)
			return err
		case 15:
			return errors.New("sparse initializers are not supported")
		}
		return nil
	})
}

func (m *model) node(b []byte) (n *node, err error) {
	n = &node{attrs: map[string]attr{}}
	defer rescue(func() string { return fmt.Sprintf("node %d %q (%s)", len(m.nodes)+1, brief(n.name), brief(n.op)) }, &err)
	var bad error
	err = each(b, func(x field) error {
		switch x.num {
		case 1:
			m.room.claim(1, bytesEntry)
			n.in = append(grown(&m.room, n.in, 1), string(x.b))
		case 2:
			m.room.claim(1, bytesEntry)
			n.out = append(grown(&m.room, n.out, 1), string(x.b))
		case 3:
			n.name = string(x.b)
		case 4:
			n.op = string(x.b)
		case 5:
			m.room.claim(2, bytesValue)
			name, a, err := m.attr(x.b)
			if err != nil {
				bad = fmt.Errorf("attribute %q: %w", name, err)
			}
			n.attrs[name] = a
		case 7:
			if n.domain = string(x.b); n.domain == "ai.onnx" {
				n.domain = ""
			}
		}
		return nil
	})
	if err == nil && bad != nil {
		err = fmt.Errorf("node %q (%s): %w", n.name, n.op, bad)
	}
	return n, err
}

func (m *model) attr(b []byte) (name string, a attr, err error) {
	err = each(b, func(x field) error {
		var err error
		switch x.num {
		case 1:
			name = string(x.b)
		case 2:
			a.f = math.Float32frombits(uint32(x.u))
		case 3:
			a.i = int64(x.u)
		case 4:
			a.s = string(x.b)
		case 5:
			_, a.t, err = m.tensor(x.b)
		case 7:
			a.floats, err = x.floats(&m.room, a.floats)
		case 8:
			a.ints, err = x.varints(&m.room, a.ints)
		case 9:
			m.room.claim(1, bytesEntry)
			a.strings = append(grown(&m.room, a.strings, 1), string(x.b))
		}
		return err
	})
	return name, a, err
}

// readPort reads a ValueInfoProto.
func readPort(b []byte) (port, error) {
	var p port
	dim := func(b []byte) (int, error) {
		d := int64(-1)
		err := each(b, func(x field) error {
			if x.num == 1 {
				d = int64(x.u)
			}
			return nil
		})
		if d < 1 || d > maxNumbers {
			d = -1 // some exporters write 0 or −1 for a free one
		}
		return int(d), err
	}
	err := each(b, func(x field) error {
		if x.num == 1 {
			p.name = string(x.b)
		}
		if x.num != 2 {
			return nil
		}
		return each(x.b, func(x field) error { // TypeProto
			if x.num != 1 {
				return nil
			}
			return each(x.b, func(x field) error { // its tensor
				switch x.num {
				case 1:
					p.elem = int64(x.u)
				case 2:
					p.said = true
					return each(x.b, func(x field) error {
						if x.num != 1 {
							return nil
						}
						if len(p.dims) == maxRank {
							return fmt.Errorf("%q has more than %d dimensions", p.name, maxRank)
						}
						d, err := dim(x.b)
						p.dims = append(p.dims, d)
						return err
					})
				}
				return nil
			})
		})
	})
	return p, err
}

// free are the inputs without a constant value.
func (m *model) free() []port {
	return slices.DeleteFunc(slices.Clone(m.inputs), func(p port) bool { return m.consts[p.name] != nil })
}
