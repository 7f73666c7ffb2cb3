package nn

import (
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Grads are the gradients of a list of params, in the params' order. For a
// Statistic they hold the sum of the batch values that were observed. Layers
// add up in Backward; the caller calls Zero before a step.
type Grads struct {
	params []*Param
	values []*tensor.Tensor
	counts []int  // observations of a Statistic since Zero
	stale  []bool // zero by right, but its memory is not cleared yet
	index  map[*Param]int
}

// NewGrads makes zero gradients for params.
func NewGrads(params []*Param) *Grads {
	g := &Grads{params: params, counts: make([]int, len(params)), stale: make([]bool, len(params)), index: make(map[*Param]int, len(params))}
	for i, p := range params {
		g.index[p] = i
		g.values = append(g.values, tensor.From(kernel.Floats(len(p.Value.Data)), p.Value.Shape...))
	}
	return g
}

// Zero forgets all gradients and observations.
func (g *Grads) Zero() {
	for i := range g.values {
		g.stale[i], g.counts[i] = true, 0
	}
}

// at is gradient i, cleared if it has to be.
func (g *Grads) at(i int) *tensor.Tensor {
	if g.stale[i] {
		clear(g.values[i].Data)
		g.stale[i] = false
	}
	return g.values[i]
}

// Of is the gradient of p, which the holder of g may add to. It panics if g
// was not made for p.
func (g *Grads) Of(p *Param) *tensor.Tensor {
	i, ok := g.index[p]
	if !ok {
		panic("nn: gradients do not cover the param")
	}
	return g.at(i)
}

// Take is Of for a caller that adds everything at once: if fresh, nothing was
// added since Zero, and the caller must write all of the gradient instead,
// whatever it holds. That saves a pass to clear it and one to read it.
func (g *Grads) Take(p *Param) (d *tensor.Tensor, fresh bool) {
	i, ok := g.index[p]
	if !ok {
		panic("nn: gradients do not cover the param")
	}
	fresh, g.stale[i] = g.stale[i], false
	return g.values[i], fresh
}

// Params are the params that g was made for. The slice must not be changed.
func (g *Grads) Params() []*Param { return g.params }

// Observe adds one batch value of the Statistic p.
func (g *Grads) Observe(k *kernel.Engine, p *Param, value []float32) {
	i, ok := g.index[p]
	if !ok {
		panic("nn: gradients do not cover the param")
	}
	k.Add(g.at(i).Data, value)
	g.counts[i]++
}

// ApplyStatistics moves every observed Statistic towards the mean of its batch
// values: value ← m·value + (1−m)·mean. OptimizerState.Step calls it.
func (g *Grads) ApplyStatistics(k *kernel.Engine) {
	for i, p := range g.params {
		if p.Role != Statistic || g.counts[i] == 0 {
			continue
		}
		k.Scale(p.Value.Data, p.Value.Data, p.Momentum, 0)
		k.Axpy(p.Value.Data, g.at(i).Data, (1-p.Momentum)/float32(g.counts[i]))
	}
}

// Penalty adds the gradients of the regularisers to g and returns their loss,
// Σ L1·Σ|w| + L2·Σw² over the weights.
func (g *Grads) Penalty(k *kernel.Engine) float64 {
	loss := 0.0
	for i, p := range g.params {
		if p.Role != Weight || p.L1 == 0 && p.L2 == 0 {
			continue
		}
		if p.L2 != 0 {
			loss += float64(float64(p.L2) * k.SumSquares(p.Value.Data))
			k.Axpy(g.at(i).Data, p.Value.Data, 2*p.L2)
		}
		if p.L1 != 0 {
			loss += float64(float64(p.L1) * addSigns(g.at(i).Data, p.Value.Data, p.L1))
		}
	}
	return loss
}

// addSigns adds s·sign(w) to dw and returns Σ|w|.
func addSigns(dw, w []float32, s float32) float64 {
	sum := 0.0
	for i, v := range w {
		switch {
		case v > 0:
			dw[i] += s
			sum += float64(v)
		case v < 0:
			dw[i] -= s
			sum -= float64(v)
		}
	}
	return sum
}
