package signature

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Graphed is a Bound that can be exported: Graph writes its Apply, for rows x
// (n, in…), float32, as nodes of an ONNX graph.
type Graphed interface {
	Bound
	Graph(g *graph.Builder, x graph.Value, in tensor.Shape) graph.Value
}

// Graph writes Prepare as nodes of an ONNX graph: x are raw rows, (n, Raw()…),
// float32. A step without a form in ONNX, and rows without one size, are errors.
func (d *Door) Graph(g *graph.Builder, x graph.Value) (graph.Value, error) {
	in := d.Raw()
	if in == nil && d.Identity() {
		in = d.out
	}
	if in == nil {
		return x, errors.New("raw rows have no one size, and a graph has one: bring them to it before, and train on such")
	}
	gate, err := d.gate(in, false)
	if err != nil {
		return x, err
	}
	for i, b := range gate.steps {
		step, ok := b.(Graphed)
		if !ok {
			return x, fmt.Errorf("step %s of the preparation has no form in ONNX (signature.Graphed)", gate.keys[i])
		}
		x = step.Graph(g, x, in)
		in = shapeOut(b, in)
	}
	return g.Batch(x, gate.out...), nil
}
