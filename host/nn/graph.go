package nn

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/graph"
)

// Graphed is a Layer that can be exported: Graph writes what Forward computes in
// Inference mode as nodes of an ONNX graph, from x, (n, in…), to (n, out…), both
// float32.
type Graphed interface {
	Graph(b *graph.Builder, x graph.Value) graph.Value
}

// Graph writes a layer as nodes. One that is not Graphed is a fault of the
// graph's that names it.
func Graph(b *graph.Builder, l Layer, x graph.Value) graph.Value {
	if g, ok := l.(Graphed); ok {
		return g.Graph(b, x)
	}
	kind := fmt.Sprintf("%T", l)
	if d, ok := l.(Described); ok {
		kind = d.Kind()
	}
	b.Failf("layer %s has no form in ONNX (nn.Graphed)", kind)
	return x
}

// Graph implements Graphed.
func (s *Sequence) Graph(b *graph.Builder, x graph.Value) graph.Value {
	for _, l := range s.layers {
		x = Graph(b, l, x)
	}
	return x
}

// Graph writes the activation as nodes.
func (a Activation) Graph(b *graph.Builder, x graph.Value) graph.Value {
	one := func(kind string, attrs ...graph.Attr) graph.Value { return b.Op(kind, []graph.Value{x}, attrs...) }
	switch a.Name {
	case "", "linear":
		return x
	case "relu":
		return one("Relu")
	case "leaky_relu":
		return one("LeakyRelu", graph.F("alpha", a.Alpha))
	case "elu":
		return one("Elu", graph.F("alpha", a.Alpha))
	case "selu":
		return one("Selu")
	case "gelu":
		half := b.Mul(x, b.Number(graph.Float, 0.5))
		erf := b.Op("Erf", []graph.Value{b.Mul(x, b.Number(graph.Float, 0.70710678118654752440))})
		return b.Mul(half, b.Add(erf, b.Number(graph.Float, 1)))
	case "silu":
		return b.Mul(x, one("Sigmoid"))
	case "softplus":
		return one("Softplus")
	case "tanh":
		return one("Tanh")
	case "sigmoid":
		return one("Sigmoid")
	case softmax:
		return one("Softmax", graph.I("axis", -1))
	}
	b.Failf("activation %s has no form in ONNX", a.Name)
	return x
}
