package nn

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Optimizer is an update rule as written in YAML: a component without state.
type Optimizer interface {
	// Rate is the learning rate that the rule was given.
	Rate() float64
	// Slots names the arrays that the rule keeps for each weight, each of the
	// weight's length and zero at the start: "m", "v".
	Slots() []string
	// Update changes one weight's values p in place from its gradient g. lr is
	// the step's learning rate, step counts from 1. g may be overwritten.
	Update(k *kernel.Engine, p, g []float32, slots [][]float32, lr float64, step int)
}

// Schedule is a learning rate over time: a component.
type Schedule interface {
	// At is the learning rate of a step, counted from 0, of a training of
	// total steps. base is the optimiser's own rate.
	At(base float64, step, total int) float64
}

// OptimizerState is an Optimizer at work on params: their slots and the number
// of steps made.
type OptimizerState struct {
	rule   Optimizer
	params []*Param
	slots  [][][]float32 // [param][slot]; nil for a Statistic
	steps  int
}

// NewOptimizerState starts o on params at step 0.
func NewOptimizerState(o Optimizer, params []*Param) *OptimizerState {
	s := &OptimizerState{rule: o, params: params, slots: make([][][]float32, len(params))}
	n := len(o.Slots())
	for i, p := range params {
		if p.Role != Weight {
			continue
		}
		s.slots[i] = make([][]float32, n)
		for j := range n {
			s.slots[i][j] = kernel.Floats(len(p.Value.Data))
		}
	}
	return s
}

// Step updates the weights by their gradients and the statistics by what was
// observed. g must have been made for the same params.
func (s *OptimizerState) Step(k *kernel.Engine, g *Grads, lr float64) {
	s.steps++
	for i, p := range s.params {
		if p.Role == Weight {
			s.rule.Update(k, p.Value.Data, g.Of(p).Data, s.slots[i], lr, s.steps)
		}
	}
	g.ApplyStatistics(k)
}

// Steps is the number of steps made.
func (s *OptimizerState) Steps() int { return s.steps }

// stepName and stepBase: the count is kept as two float32 digits, exactly.
const (
	stepName = "step"
	stepBase = 1 << 20
)

// State is a copy of all that a resumed training needs, as named tensors:
// "step", and "PARAM/SLOT" for every weight.
func (s *OptimizerState) State() map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{
		stepName: tensor.From([]float32{float32(s.steps / stepBase), float32(s.steps % stepBase)}, 2),
	}
	names := s.rule.Slots()
	for i, p := range s.params {
		for j, data := range s.slots[i] {
			t := tensor.New(p.Value.Shape...)
			copy(t.Data, data)
			out[p.Name+"/"+names[j]] = t
		}
	}
	return out
}

// Restore takes back what State returned. The error names what is missing or
// of another shape; then nothing was changed.
func (s *OptimizerState) Restore(state map[string]*tensor.Tensor) error {
	count, ok := state[stepName]
	if !ok || len(count.Data) != 2 {
		return fmt.Errorf("optimizer state: no tensor %q of 2 numbers", stepName)
	}
	names := s.rule.Slots()
	for i, p := range s.params {
		for j := range s.slots[i] {
			name := p.Name + "/" + names[j]
			t, ok := state[name]
			if !ok {
				return fmt.Errorf("optimizer state: no tensor %q", name)
			}
			if !t.Shape.Equal(p.Value.Shape) {
				return fmt.Errorf("optimizer state: tensor %q is %v, want %v", name, t.Shape, p.Value.Shape)
			}
		}
	}
	s.steps = int(count.Data[0])*stepBase + int(count.Data[1])
	for i, p := range s.params {
		for j := range s.slots[i] {
			copy(s.slots[i][j], state[p.Name+"/"+names[j]].Data)
		}
	}
	return nil
}
