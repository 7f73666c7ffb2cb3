package onnx

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
)

// table is the name of the input that stands for several that are columns; no
// file can have it.
const table = "\x00rows"

// entries are the inputs that rows enter: one name, or the columns of a table.
type entries []string

// UnmarshalJSON reads a string or a list of strings.
func (e *entries) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*e = entries{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(e))
}

// name is that of the only input, or "".
func (e entries) name() string {
	if len(e) == 1 {
		return e[0]
	}
	return ""
}

// join makes one input (N, features) of several, in their order: each becomes
// a part of its rows. Those of integers that are read as such are rounded.
func (m *model) join(names entries) (string, error) {
	split := &node{op: "Split", name: "columns of " + fmt.Sprint([]string(names)), in: []string{table}, attrs: map[string]attr{"axis": {i: 1}}, version: maxOpset}
	before, total := []*node{split}, 0
	var widths []int64
	for i, name := range names {
		bad := func(why string) error {
			return sdk.Diagnostics{{Pointer: fmt.Sprintf("/input/%d", i), Message: fmt.Sprintf("%q %s", name, why)}}
		}
		at := slices.IndexFunc(m.inputs, func(p port) bool { return p.name == name })
		if at < 0 {
			return "", bad("is no input of the model, or named twice; it has " + m.inputNames(m.inputs))
		}
		p := m.inputs[at]
		if kindOf(p.elem) == opaque {
			return "", bad("is not of numbers: a detector reads numbers only")
		}
		if len(p.dims) < 1 || len(p.dims) > 2 || p.dims[0] > 1 || len(p.dims) == 2 && (p.dims[1] < 1 || p.dims[1] > maxGiven) {
			return "", bad(fmt.Sprintf("has the shape %v, want (N, columns)", p.dims))
		}
		width := 1
		if len(p.dims) == 2 {
			width = p.dims[1]
		}
		if total += width; total > maxGiven {
			return "", bad(fmt.Sprintf("is one column too many: want at most %d", maxGiven))
		}
		widths = append(widths, int64(width))
		before = append(before, m.columnOf(p, split)...)
		m.inputs = slices.Delete(slices.Clone(m.inputs), at, at+1)
		delete(m.consts, name)
	}
	split.attrs["split"] = attr{ints: widths}
	m.inputs = append(m.inputs, port{name: table, elem: typeFloat, dims: []int{-1, total}, said: true})
	m.nodes = append(before, m.nodes...)
	return table, nil
}

// columnOf are the nodes that make the input p of the next part of split.
func (m *model) columnOf(p port, split *node) []*node {
	var steps []*node
	part := p.name + table
	split.out = append(split.out, part)
	add := func(op string, attrs map[string]attr) {
		next := fmt.Sprintf("%s%s%d", p.name, table, len(steps))
		steps = append(steps, &node{op: op, name: p.name, in: []string{part}, out: []string{next}, attrs: attrs, version: maxOpset})
		part = next
	}
	if len(p.dims) == 1 {
		add("Squeeze", map[string]attr{"axes": {ints: []int64{1}}})
	}
	if how, _ := m.reading(p.name); kindOf(p.elem) != float && how != asFloats {
		add("Round", nil)
		add("Cast", map[string]attr{"to": {i: p.elem}})
	}
	if len(steps) == 0 {
		add("Identity", nil)
	}
	steps[len(steps)-1].out[0] = p.name
	return steps
}
