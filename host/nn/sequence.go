package nn

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Sequence is a list of layers, each on the result of the one before. It is a
// Layer itself. An empty Sequence is the identity.
type Sequence struct {
	in     tensor.Shape
	layers []Layer
	params []*Param
	first  int // the first layer with params
}

// LayerError says which layer of a list could not be made.
type LayerError struct {
	Path []int // index in the list; then within that layer's own list, and so on
	Err  error
}

// Error names the layer by its index.
func (e *LayerError) Error() string {
	s := "layer"
	for _, i := range e.Path {
		s += " " + strconv.Itoa(i)
	}
	return s + ": " + e.Err.Error()
}

// Unwrap is the layer's own error.
func (e *LayerError) Unwrap() error { return e.Err }

// Build makes the layers in order, for examples of shape in, drawing initial
// params from r. Params are named after their layer's index, "0.kernel". An
// error is a *LayerError.
func Build(makers []Maker, in tensor.Shape, r *rand.Rand) (*Sequence, error) {
	s := &Sequence{in: in.Clone()}
	shape, numbers := s.in, 0
	for i, m := range makers {
		l, err := m.Make(shape, r)
		if err == nil {
			err = Fits(l.Out()...)
		}
		if err == nil {
			if numbers += count(l.Params()); numbers > MaxNumbers {
				err = fmt.Errorf("with it the layers have %d params, want at most %d", numbers, MaxNumbers)
			}
		}
		if err != nil {
			path := []int{i}
			var inner *LayerError
			if errors.As(err, &inner) {
				path, err = append(path, inner.Path...), inner.Err
			}
			return nil, &LayerError{Path: path, Err: err}
		}
		s.layers = append(s.layers, l)
		s.params = append(s.params, Prefix(strconv.Itoa(i), l.Params())...)
		if len(s.params) == 0 {
			s.first = i + 1
		}
		shape = l.Out()
	}
	return s, nil
}

// count is how many numbers params have.
func count(params []*Param) int {
	n := 0
	for _, p := range params {
		n += len(p.Value.Data)
	}
	return n
}

// Prefix puts prefix and a dot before the names of params, in place, and
// returns them: what a layer made of layers does to its parts.
func Prefix(prefix string, params []*Param) []*Param {
	for _, p := range params {
		p.Name = prefix + "." + p.Name
	}
	return params
}

// In is the shape of one example at the input.
func (s *Sequence) In() tensor.Shape { return s.in }

// Out implements Layer.
func (s *Sequence) Out() tensor.Shape {
	if len(s.layers) == 0 {
		return s.in
	}
	return s.layers[len(s.layers)-1].Out()
}

// Params implements Layer. The order is that of the layers.
func (s *Sequence) Params() []*Param { return s.params }

// Layers are the layers in order. The slice must not be changed.
func (s *Sequence) Layers() []Layer { return s.layers }

// Plan implements Layer.
func (s *Sequence) Plan(p *Plan) {
	for _, l := range s.layers {
		l.Plan(p)
	}
}

// Forward implements Layer.
func (s *Sequence) Forward(w *Workspace, x *tensor.Tensor) *tensor.Tensor {
	if !x.Example().Equal(s.in) {
		panic(fmt.Sprintf("nn: input is %v, the layers take %v", x.Example(), s.in))
	}
	for _, l := range s.layers {
		x = l.Forward(w, x)
	}
	return x
}

// Backward implements Layer.
func (s *Sequence) Backward(w *Workspace, dy *tensor.Tensor, g *Grads) *tensor.Tensor {
	return s.BackwardFrom(w, len(s.layers), dy, g)
}

// BackwardFrom is Backward from the input of layer i on: dy is the gradient
// there, at the result of layer i−1.
func (s *Sequence) BackwardFrom(w *Workspace, i int, dy *tensor.Tensor, g *Grads) *tensor.Tensor {
	if !w.ParamsOnly {
		for i--; i >= 0; i-- {
			dy = s.layers[i].Backward(w, dy, g)
		}
		return dy
	}
	w.ParamsOnly = false
	for i--; i > s.first; i-- {
		dy = s.layers[i].Backward(w, dy, g)
	}
	w.ParamsOnly = true
	if i == s.first { // below it no gradient is wanted
		s.layers[i].Backward(w, dy, g)
	}
	return nil
}

// FreshRand is the generator that initial params are drawn from, for a seed.
func FreshRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x6e6e)) }
