package preprocess

import "github.com/vaeguard/vaeguard/host/graph"

// Graph writes Apply as nodes of an ONNX graph, for x (n, …, C), float32.
func (m *Map) Graph(b *graph.Builder, x graph.Value) graph.Value {
	if m == nil {
		return x
	}
	n := len(m.scale)
	if m.reverse {
		order := make([]int, n)
		for c := range order {
			order[c] = m.from(c)
		}
		x = b.Gather(x, b.Ints(order...), -1)
	}
	x = b.Mul(x, b.Floats(m.scale, n))
	return b.Div(b.Sub(x, b.Floats(m.mean, n)), b.Floats(m.std, n))
}
