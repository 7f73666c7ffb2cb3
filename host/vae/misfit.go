package vae

import (
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// misfit is the error of a list of layers that does not end in shape want. It
// stands at the last layer and names what would help: options of the layers
// that are there, or layers to append. reason says who wants it.
func misfit(part string, seq *nn.Sequence, want tensor.Shape, reason string) error {
	var kinds []string
	for _, l := range nn.Describe(seq) {
		if l.Depth == 0 {
			kinds = append(kinds, l.Kind)
		}
	}
	cure := "append " + appended(seq.Out(), want)
	if changes := seq.Toward(want); len(changes) > 0 {
		set := make([]string, len(changes))
		for i, c := range changes {
			set[i] = fmt.Sprintf("%s[%d].%s.%s", part, c.Layer, kinds[c.Layer], c.Option)
		}
		cure = fmt.Sprintf("set %s, or %s", strings.Join(set, " and "), cure)
	}
	text := fmt.Sprintf("ends as %v, %s: %s", seq.Out(), reason, cure)
	last := len(kinds) - 1
	if last < 0 {
		return &PartError{part, fmt.Errorf("%s", text)}
	}
	return &PartError{part, &nn.LayerError{Path: []int{last}, Err: fmt.Errorf("%s %s", kinds[last], text)}}
}

// appended are the layers, as YAML, that lead from shape out to shape want.
func appended(out, want tensor.Shape) string {
	units := fmt.Sprintf("dense: {units: %d}", want.Size())
	shape := "reshape: {target_shape: " + list(want...) + "}"
	switch {
	case len(out) == 3 && len(want) == 3:
		var to []string
		top, left := out[0]-want[0], out[1]-want[1]
		switch {
		case top < 0 || left < 0:
			to = append(to, fmt.Sprintf("resizing: {height: %d, width: %d}", want[0], want[1]))
		case top > 0 || left > 0:
			to = append(to, fmt.Sprintf("cropping2d: {cropping: [%s, %s]}", list(top/2, top-top/2), list(left/2, left-left/2)))
		}
		if out[2] != want[2] {
			to = append(to, fmt.Sprintf("conv2d: {filters: %d, kernel_size: 1}", want[2]))
		}
		return strings.Join(to, " and ")
	case out.Size() == want.Size():
		return shape
	}
	if len(out) > 1 {
		units = "flatten and " + units
	}
	if len(want) > 1 {
		units += " and " + shape
	}
	return units
}

// list is [1, 2, 3].
func list(ns ...int) string {
	return "[" + strings.Trim(strings.ReplaceAll(fmt.Sprint(ns), " ", ", "), "[]") + "]"
}
