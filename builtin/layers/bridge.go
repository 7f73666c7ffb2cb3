package layers

import (
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Bridge are the layers, as YAML, that lead from shape out to another shape
// want: what an error about shapes proposes to append.
func Bridge(out, want tensor.Shape) string {
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
