package nn

import "github.com/vaeguard/vaeguard/sdk/tensor"

// Plan collects the buffers that layers claim for one workspace.
type Plan struct {
	batch  int
	claims map[Layer][]int
}

// Batch is the largest number of examples of the workspace.
func (p *Plan) Batch() int { return p.batch }

// Grads are the gradients of a list of params, in the params' order.
type Grads struct {
	params []*Param
	values []*tensor.Tensor
}
