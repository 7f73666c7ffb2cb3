package layers

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// LayerNormalization gives each vector of the last dimension zero mean and
// unit variance (Ba et al. 2016, arXiv:1607.06450).
type LayerNormalization struct {
	Affine `yaml:",inline"`
}

// Make implements nn.Maker.
func (o LayerNormalization) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) == 0 {
		return nil, errRank("layer_normalization", "at least one dimension", in)
	}
	c := in[len(in)-1]
	l := &layerNorm{shape: in.Clone(), width: c, eps: o.Epsilon, ones: nn.Initializer("ones").New(nil, c).Data, zeros: make([]float32, c)}
	l.gamma, l.beta = o.affine(c)
	return l, nil
}

type layerNorm struct {
	shape       tensor.Shape
	width       int
	eps         float64
	gamma, beta *nn.Param // nil if not asked for
	ones, zeros []float32
}

// The buffers of a layerNorm.
const (
	lnHat = iota // (x − mean)/√(variance + eps)
	lnOut
	lnTmp
	lnInv // 1/√(variance + eps), one per vector
	lnSum
)

// Kind implements nn.Described.
func (l *layerNorm) Kind() string { return "layer_normalization" }

// FLOPs implements nn.Described.
func (l *layerNorm) FLOPs() int64 { return 8 * int64(l.shape.Size()) }

// Out implements nn.Layer.
func (l *layerNorm) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer.
func (l *layerNorm) Params() []*nn.Param { return present(l.gamma, l.beta) }

// Plan implements nn.Layer.
func (l *layerNorm) Plan(p *nn.Plan) {
	for range lnInv {
		p.Tensor(l, l.shape)
	}
	p.Tensor(l, tensor.Shape{l.shape.Size() / l.width})
	p.Vector(l, l.width)
}

// Forward implements nn.Layer.
func (l *layerNorm) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	hat, y := w.Tensor(l, lnHat, x.N()), w.Tensor(l, lnOut, x.N())
	inv := w.Tensor(l, lnInv, x.N()).Data
	for i := range inv {
		row, h := x.Data[i*l.width:(i+1)*l.width], hat.Data[i*l.width:(i+1)*l.width]
		sum, squares := 0.0, 0.0
		for _, v := range row {
			sum += float64(v)
		}
		mean := sum / float64(l.width)
		for _, v := range row {
			d := float64(v) - mean
			squares += float64(d * d)
		}
		f := 1 / math.Sqrt(squares/float64(l.width)+l.eps)
		inv[i] = float32(f)
		for j, v := range row {
			h[j] = float32((float64(v) - mean) * f)
		}
	}
	factor, offset := l.ones, l.zeros
	if l.gamma != nil {
		factor = l.gamma.Value.Data
	}
	if l.beta != nil {
		offset = l.beta.Value.Data
	}
	w.K.ScaleColumns(y.Data, hat.Data, factor, offset)
	return y
}

// Graph implements nn.Graphed.
func (l *layerNorm) Graph(b *graph.Builder, x graph.Value) graph.Value {
	last := len(l.shape)
	mean := func(v graph.Value) graph.Value {
		return b.Unsqueeze(b.Mean(v, graph.Double, l.width, last), last)
	}
	wide := b.Cast(x, graph.Double)
	d := b.Sub(wide, mean(wide))
	deviation := b.Sqrt(b.Add(mean(b.Mul(d, d)), b.Number(graph.Double, l.eps)))
	y := b.Cast(b.Div(d, deviation), graph.Float)
	if l.gamma != nil {
		y = b.Mul(y, b.Floats(l.gamma.Value.Data, l.width))
	}
	if l.beta != nil {
		y = b.Add(y, b.Floats(l.beta.Value.Data, l.width))
	}
	return y
}

// Backward implements nn.Layer: with a = γ·dy, each vector's
// dx = inv·(a − mean(a) − hat·mean(a·hat)).
func (l *layerNorm) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	hat, inv := w.Tensor(l, lnHat, dy.N()), w.Tensor(l, lnInv, dy.N()).Data
	if g != nil {
		sum := w.Vector(l, lnSum)
		if l.gamma != nil {
			tmp := w.Tensor(l, lnTmp, dy.N())
			w.K.Mul(tmp.Data, dy.Data, hat.Data)
			w.K.ColSum(sum, tmp.Data)
			w.K.Add(g.Of(l.gamma).Data, sum)
		}
		if l.beta != nil {
			w.K.ColSum(sum, dy.Data)
			w.K.Add(g.Of(l.beta).Data, sum)
		}
	}
	if l.gamma != nil {
		w.K.ScaleColumns(dy.Data, dy.Data, l.gamma.Value.Data, l.zeros)
	}
	for i, f := range inv {
		a, h := dy.Data[i*l.width:(i+1)*l.width], hat.Data[i*l.width:(i+1)*l.width]
		sum, dot := 0.0, 0.0
		for j, v := range a {
			sum += float64(v)
			dot += float64(float64(v) * float64(h[j]))
		}
		sum /= float64(l.width)
		dot /= float64(l.width)
		for j, v := range a {
			a[j] = float32(float64(f) * (float64(v) - sum - float64(float64(h[j])*dot)))
		}
	}
	return dy
}
