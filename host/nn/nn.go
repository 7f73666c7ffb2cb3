// Package nn is the network engine: layers as immutable data, activations in
// workspaces, gradients separate from both. Semantics, defaults and
// initialisers are Keras 3's; float32, images NHWC.
package nn

import (
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Maker is a layer as written in YAML: options without shapes.
type Maker interface {
	// Make fixes the input's shape (one example) and draws initial params
	// from r. The error says what the layer wanted.
	Make(in tensor.Shape, r *rand.Rand) (Layer, error)
}

// Layer is a layer with its shapes and params. Forward and Backward change
// neither: many workspaces may use one layer at once.
type Layer interface {
	Out() tensor.Shape
	Params() []*Param
	// Plan claims buffers for a workspace.
	Plan(p *Plan)
	// Forward maps (N, in…) to (N, out…). The result is part of w and valid
	// until its next Forward. x must stay unchanged until Backward.
	//
	// Rows do not depend on each other, unless a param is a Statistic: training passes
	// some rows of a batch forward after others. See Workspace.Begin.
	Forward(w *Workspace, x *tensor.Tensor) *tensor.Tensor
	// Backward maps the gradient at the last Forward's result to the one at
	// its input, and adds up params' gradients in g; g == nil: the input's
	// only. dy may be overwritten, and must not be the result itself. dx is part
	// of w. Backward may be repeated until the next Forward.
	Backward(w *Workspace, dy *tensor.Tensor, g *Grads) (dx *tensor.Tensor)
}

// Role says how a param changes.
type Role int

// The roles.
const (
	Weight    Role = iota // by the optimiser
	Statistic             // moving average: value ← m·value + (1−m)·batch value
)

// Param is a named array of a layer. A Sequence prefixes names with the
// layer's index: "0.kernel".
type Param struct {
	Name     string
	Value    *tensor.Tensor
	Role     Role
	Momentum float32 // of a Statistic
	L1, L2   float32 // regularisers: loss += L1·Σ|w| + L2·Σw²
}

// Mode says what a workspace is for.
type Mode int

// The modes.
const (
	Inference Mode = iota // dropout off, moving statistics
	Training              // dropout on, batch statistics
)

// Draw names the randomness of one forward pass in Training: the same Draw
// gives the same masks. Example numbers key per-example noise, so that it
// does not depend on the batch; nil: the rows' positions.
type Draw struct {
	Seed     uint64
	Step     uint64
	Examples []uint64
}

// Workspace holds the activations and scratch of one layer (mostly a
// Sequence) for batches up to a size. It belongs to one goroutine; once warm,
// Forward and Backward allocate nothing.
type Workspace struct {
	K    *kernel.Engine
	Mode Mode
	Draw Draw
	// ParamsOnly makes Backward stop when the last param has its gradient:
	// the gradient at the input is not computed and the result is nil.
	ParamsOnly bool

	batch int
	first int // row of the batch at which Forward begins
	slots map[Layer]*slots
}

type buffer struct {
	rows, stride int
	data         []float32
	ints         []int32
	view         tensor.Tensor
	kept         *tensor.Tensor
}
