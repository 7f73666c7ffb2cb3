package vae

import (
	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Graph writes the reconstructions of x, (n, input…), as nodes of an ONNX graph:
// (n·s, input…), sample j of instance i at row i·s + j, with the noise (s, d); nil,
// and always for Plain: one, of the code's mean.
func (m *Model) Graph(b *graph.Builder, x graph.Value, noise *tensor.Tensor) graph.Value {
	f := m.Normalize
	if f != nil {
		x = b.Add(b.Mul(x, b.Floats(f.inverse, m.Input...)), b.Floats(f.shift, m.Input...))
	}
	flat := b.Batch(m.Encoder.Graph(b, x), m.Encoder.Out().Size())
	z := flat
	if m.Coding == Sampled {
		z = m.mean.graph(b, flat)
		if noise != nil {
			half := b.Mul(m.logVar.graph(b, flat), b.Number(graph.Float, 0.5))
			drawn := b.Mul(b.Unsqueeze(b.Exp(half), 1), b.Floats(noise.Data, noise.N(), m.LatentDim))
			z = b.Batch(b.Add(b.Unsqueeze(z, 1), drawn), m.LatentDim)
		}
	}
	y := m.Decoder.Graph(b, z)
	if f != nil {
		y = b.Add(b.Mul(y, b.Floats(f.std, m.Input...)), b.Floats(f.mean, m.Input...))
	}
	return y
}

func (h *Head) graph(b *graph.Builder, x graph.Value) graph.Value {
	y := b.Add(b.MatMul(x, b.Floats(h.Kernel.Value.Data, h.in(), h.out())), b.Floats(h.Bias.Value.Data, h.out()))
	if h.act.Kind == kernel.Softplus {
		y = nn.Activation{Name: "softplus"}.Graph(b, y)
	}
	return y
}

// Graph writes the student's logits as nodes of an ONNX graph.
func (s *Student) Graph(b *graph.Builder, x graph.Value) graph.Value {
	d := s.Net.(*dense)
	return d.head.graph(b, b.Batch(s.Layers.Graph(b, x), s.Layers.Out().Size()))
}
