package signature

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Tensors are what the steps learnt, by names that a detector's file keeps:
// KEY.NAME.
func (d *Door) Tensors() map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for key, s := range d.taken {
		for name, t := range s {
			out[key+"."+name] = t
		}
	}
	return out
}

// Restore takes what the steps learnt from a detector's file. A step that has
// nothing there, or what does not fit, is an error.
func (d *Door) Restore(all map[string]*tensor.Tensor) error {
	for _, l := range d.chain {
		f, ok := l.step.(Fitter)
		if !ok {
			continue
		}
		s := State{}
		for name, t := range all {
			if part, ok := strings.CutPrefix(name, l.key+"."); ok {
				s[part] = t
			}
		}
		if len(s) == 0 {
			return fmt.Errorf("step %s of the preparation learnt from data.train, and the file has nothing of it", l.key)
		}
		for name, t := range s {
			if slices.ContainsFunc(t.Data, func(v float32) bool { return math.IsInf(float64(v), 0) }) {
				return fmt.Errorf("step %s of the preparation: %s has an infinite number", l.key, name)
			}
		}
		_ = f
		d.taken[l.key] = s
	}
	if d.Shape == nil || d.Learns() {
		return nil
	}
	out, err := d.shapes(d.Shape, d.Kind == KindImage && free(d.Shape))
	if err != nil {
		return err
	}
	if d.out != nil && !free(out) && !out.Equal(d.out) {
		return fmt.Errorf("the preparation makes rows of %v, the detector takes %v", out, d.out)
	}
	return nil
}
