package nn

import (
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Adjustable is a Layer that knows which of its options lead to another result.
// It is asked when shapes do not fit, for an error that names the cure.
type Adjustable interface {
	// Toward lists ways to a result of shape out, which is not the layer's
	// present one, those that keep its options first. Nil: there is none.
	Toward(out tensor.Shape) []Adjustment
}

// Adjustment says what a layer would need for a certain result.
type Adjustment struct {
	In      tensor.Shape // of one example at its input
	Options []string     // to be set, as YAML: "output_padding: 0"; none: only In
}

// Change is an option of one layer of a Sequence that is to be set.
type Change struct {
	Layer  int // index
	Option string
}

// maxChanges bounds the options of one proposal: who must change more reads a
// list no more, and the search stays short.
const maxChanges = 4

// Toward looks for options with which s would end in shape out, which is not its
// present one: as few as it finds, at most maxChanges, in the order of the layers.
// Nil: none were found. A layer that is not Adjustable is taken for one that
// keeps any shape if it keeps its present one.
func (s *Sequence) Toward(out tensor.Shape) []Change {
	best, _ := s.toward(len(s.layers)-1, out, maxChanges)
	return best
}

// toward is Toward for the layers up to number i, with at most limit changes.
func (s *Sequence) toward(i int, out tensor.Shape, limit int) (best []Change, ok bool) {
	if i < 0 {
		return nil, false
	}
	in := s.in
	if i > 0 {
		in = s.layers[i-1].Out()
	}
	for _, a := range ways(s.layers[i], in, out) {
		if len(a.Options) > limit {
			continue
		}
		var before []Change
		if !a.In.Equal(in) {
			var found bool
			if before, found = s.toward(i-1, a.In, limit-len(a.Options)); !found {
				continue
			}
		}
		best, ok = before, true
		for _, o := range a.Options {
			best = append(best, Change{i, o})
		}
		if limit = len(best) - 1; limit < 0 {
			break
		}
	}
	return best, ok
}

// ways are l's to a result of shape out, with the present shape of its input.
func ways(l Layer, in, out tensor.Shape) []Adjustment {
	if a, ok := l.(Adjustable); ok {
		return a.Toward(out)
	}
	if !l.Out().Equal(in) || len(in) != len(out) {
		return nil
	}
	if _, nested := l.(Nested); nested && in[len(in)-1] != out[len(out)-1] {
		return nil // its layers have a width of their own
	}
	return []Adjustment{{In: out}}
}
