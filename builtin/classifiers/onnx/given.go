package onnx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
)

// maxGiven is how many numbers the config may give an input.
const maxGiven = 1 << 24

// given is an input whose numbers the config gives: per example, for its first
// dimension is the batch.
type given struct {
	name string
	slot int
	row  *value
}

// guarded picks the input that rows of the data enter: the one that is named,
// or the only one that targets depend on and that has neither a value in the
// file nor in the config.
// Those that the config gives become constants, or m.given where they have a
// batch.
func (m *model) guarded(in entries, inputs map[string]json.RawMessage, targets []string) (port, error) {
	name := in.name()
	if len(in) > 1 {
		var err error
		if name, err = m.join(in); err != nil {
			return port{}, err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(inputs)) {
		at := slices.IndexFunc(m.inputs, func(p port) bool { return p.name == k })
		if at < 0 || k == name {
			why := pick(at < 0, "the model has no such input; it has "+m.inputNames(m.inputs), "is the input that is guarded: it takes the rows of the data")
			return port{}, sdk.Diagnostics{{Pointer: "/inputs/" + k, Message: why}}
		}
		if err := m.give(m.inputs[at], inputs[k]); err != nil {
			return port{}, sdk.Diagnostics{{Pointer: "/inputs/" + k, Message: err.Error()}}
		}
	}
	if name != "" {
		at := slices.IndexFunc(m.inputs, func(p port) bool { return p.name == name })
		if at < 0 {
			return port{}, sdk.Diagnostics{{Pointer: "/input", Message: fmt.Sprintf("the model has no input %q; it has %s", name, m.inputNames(m.inputs))}}
		}
		delete(m.consts, name) // a default
	}
	need, err := m.needed("", targets)
	if err != nil {
		return port{}, err
	}
	read := map[string]bool{name: true}
	for n := range need {
		for _, k := range n.in {
			read[k] = true
		}
	}
	free := slices.DeleteFunc(m.free(), func(p port) bool {
		return slices.ContainsFunc(m.given, func(g given) bool { return g.name == p.name })
	})
	if len(free) > 1 { // others need no value
		free = slices.DeleteFunc(free, func(p port) bool { return !read[p.name] })
	}
	if name != "" && len(free) > 1 {
		free = slices.DeleteFunc(free, func(p port) bool { return p.name == name })
		return port{}, sdk.Diagnostics{{Pointer: "/inputs", Message: fmt.Sprintf("rows enter %q; give %s a value each: {NAME: number} or {NAME: {shape: […], fill: number}}", name, m.inputNames(free))}}
	}
	switch len(free) {
	case 0:
		return port{}, errors.New("the model has no input without a value: name the one that rows enter with input: NAME")
	case 1:
		return free[0], nil
	}
	return port{}, fmt.Errorf("the model has %d inputs, %s: rows enter one of them: name it with input: NAME and give the others values with inputs: {NAME: number}; if they are columns of a table, input: [NAME, NAME, …]", len(free), m.inputNames(free))
}

func (m *model) inputNames(ports []port) string {
	return fmt.Sprint(namesOf(ports))
}

// namesOf are names for an error, the first of many.
func namesOf(ports []port) []string {
	const most = 16
	var names []string
	for _, p := range ports[:min(most, len(ports))] {
		names = append(names, fmt.Sprintf("%q", brief(p.name)))
	}
	if len(ports) > most {
		names = append(names, fmt.Sprintf("and %d more", len(ports)-most))
	}
	return names
}

// give makes the value of an input from the config.
func (m *model) give(p port, raw json.RawMessage) (err error) {
	defer rescue(func() string { return "its value" }, &err)
	var whole struct {
		Shape []int           `json:"shape"`
		Fill  json.RawMessage `json:"fill"`
	}
	shape, fill, rows := p.dims, raw, false
	if bytes.HasPrefix(bytes.TrimSpace(raw), []byte("{")) {
		if err := json.Unmarshal(raw, &whole); err != nil {
			return err
		}
		shape, fill = whole.Shape, whole.Fill
	} else if !p.said {
		return errors.New("its shape is not in the file: want {shape: […], fill: …}")
	} else if rows = len(shape) > 0 && shape[0] < 0; rows {
		shape = shape[1:]
	}
	n := 1
	for _, d := range shape {
		if d < 0 || d > maxGiven || n*d > maxGiven {
			return fmt.Errorf("its shape %v is not fixed or has more than %d numbers: want {shape: […], fill: …}", p.dims, maxGiven)
		}
		n *= d
	}
	if len(shape) > maxRank {
		return fmt.Errorf("%d dimensions, want at most %d", len(shape), maxRank)
	}
	numbers, err := numbersOf(fill)
	if err != nil {
		return err
	}
	if len(numbers) != 1 && len(numbers) != n {
		return fmt.Errorf("%d numbers for the shape %v, want one or %d", len(numbers), shape, n)
	}
	v := &value{kind: kindOf(p.elem), elem: p.elem, shape: slices.Clone(shape), constant: true}
	if v.kind == opaque {
		return errors.New("is not of numbers")
	}
	lo, hi := limits(p.elem)
	if v.kind == float {
		v.f = fresh[float32](&m.room, n)
	} else {
		v.i = fresh[int64](&m.room, n)
	}
	for i := range n {
		x := numbers[i%len(numbers)]
		if v.kind == float {
			v.f[i] = float32(x)
			continue
		}
		if x != math.Trunc(x) || x < float64(lo) || x > float64(hi) || math.Abs(x) > 1<<53 {
			return fmt.Errorf("%v: want a whole number from %d to %d", x, lo, hi)
		}
		v.i[i] = int64(x)
	}
	if rows {
		m.given = append(m.given, given{name: p.name, row: v})
		delete(m.consts, p.name)
		return nil
	}
	m.consts[p.name] = v
	return nil
}

// numbersOf reads true, false, a number or a list of numbers.
func numbersOf(raw json.RawMessage) ([]float64, error) {
	var yes bool
	if json.Unmarshal(raw, &yes) == nil {
		return []float64{float64(truth(yes))}, nil
	}
	var one float64
	if json.Unmarshal(raw, &one) == nil {
		return []float64{one}, nil
	}
	var list []float64
	if err := json.Unmarshal(raw, &list); err != nil || len(list) == 0 {
		return nil, fmt.Errorf("%.40s: want a number or a list of numbers", raw)
	}
	return list, nil
}

// repeat is a row of a given input, for n examples.
func (r *run) repeat(row *value, n int) *value {
	out := r.like(row, append([]int{n}, row.shape...), false)
	k := size(row.shape)
	for i := range n {
		if row.kind == float {
			copy(out.f[i*k:], row.f)
		} else {
			copy(out.i[i*k:], row.i)
		}
	}
	return out
}
