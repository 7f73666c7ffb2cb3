package layers

import (
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Affine are the trained scale and offset after a normalization.
type Affine struct {
	Epsilon float64 `yaml:"epsilon" doc:"added to the variance" check:"> 0"`
	Center  bool    `yaml:"center" doc:"add a trained beta"`
	Scale   bool    `yaml:"scale" doc:"multiply by a trained gamma"`
}

func newAffine() Affine { return Affine{Epsilon: 1e-3, Center: true, Scale: true} }

// affine makes the params that are asked for; the others are nil.
func (a Affine) affine(channels int) (gamma, beta *nn.Param) {
	if a.Scale {
		gamma = &nn.Param{Name: "gamma", Value: nn.Initializer("ones").New(nil, channels)}
	}
	if a.Center {
		beta = &nn.Param{Name: "beta", Value: tensor.New(channels)}
	}
	return gamma, beta
}

// BatchNormalization gives each channel, the last dimension, zero mean and
// unit variance: those of the batch in training, moving averages otherwise
// (Ioffe and Szegedy 2015).
type BatchNormalization struct {
	Momentum float64 `yaml:"momentum" doc:"fraction of the moving averages that a step keeps" check:">= 0, <= 1"`
	Affine   `yaml:",inline"`
}

// Make implements nn.Maker.
func (b BatchNormalization) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) == 0 {
		return nil, errRank("batch_normalization", "at least one dimension", in)
	}
	c := in[len(in)-1]
	l := &batchNorm{shape: in.Clone(), channels: c, eps: b.Epsilon}
	l.gamma, l.beta = b.affine(c)
	statistic := func(name, start string) *nn.Param {
		return &nn.Param{
			Name: name, Value: nn.Initializer(start).New(nil, c),
			Role: nn.Statistic, Momentum: float32(b.Momentum),
		}
	}
	l.mean, l.variance = statistic("moving_mean", "zeros"), statistic("moving_variance", "ones")
	return l, nil
}

type batchNorm struct {
	shape          tensor.Shape
	channels       int
	eps            float64
	gamma, beta    *nn.Param // nil if not asked for
	mean, variance *nn.Param
}

// The buffers of a batchNorm. The vectors have one number per channel.
const (
	bnHat      = iota // (x − mean)/√(variance + eps)
	bnOut             // the result; scratch of Backward is bnTmp
	bnTmp             //
	bnMean            // the batch's
	bnVariance        //
	bnInv             // 1/√(variance + eps)
	bnOffset          // offset of an affine map
	bnFactor          // factor of an affine map
	bnDGamma          // Σ dy·hat
	bnDBeta           // Σ dy
	bnVectors         // number of buffers
)

// Kind implements nn.Described.
func (l *batchNorm) Kind() string { return "batch_normalization" }

// FLOPs implements nn.Described.
func (l *batchNorm) FLOPs() int64 { return 4 * int64(l.shape.Size()) }

// Out implements nn.Layer.
func (l *batchNorm) Out() tensor.Shape { return l.shape }

// Params implements nn.Layer, in Keras's order.
func (l *batchNorm) Params() []*nn.Param {
	return append(present(l.gamma, l.beta), l.mean, l.variance)
}

// present are the params that are not nil.
func present(all ...*nn.Param) []*nn.Param {
	var out []*nn.Param
	for _, p := range all {
		if p != nil {
			out = append(out, p)
		}
	}
	return out
}

// Plan implements nn.Layer.
func (l *batchNorm) Plan(p *nn.Plan) {
	for range bnMean {
		p.Tensor(l, l.shape)
	}
	for range bnVectors - bnMean {
		p.Vector(l, l.channels)
	}
}

// Forward implements nn.Layer.
func (l *batchNorm) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	hat, y := w.Tensor(l, bnHat, x.N()), w.Tensor(l, bnOut, x.N())
	mean, variance := l.mean.Value.Data, l.variance.Value.Data
	if w.Mode == nn.Training {
		mean, variance = w.Vector(l, bnMean), w.Vector(l, bnVariance)
		w.K.ColMoments(mean, variance, x.Data)
	}
	inv, offset := w.Vector(l, bnInv), w.Vector(l, bnOffset)
	for j := range inv {
		inv[j] = float32(1 / math.Sqrt(float64(variance[j])+l.eps))
		offset[j] = -mean[j] * inv[j]
	}
	w.K.ScaleColumns(hat.Data, x.Data, inv, offset)
	factor := w.Vector(l, bnFactor)
	for j := range factor {
		factor[j], offset[j] = 1, 0
	}
	if l.gamma != nil {
		copy(factor, l.gamma.Value.Data)
	}
	if l.beta != nil {
		copy(offset, l.beta.Value.Data)
	}
	w.K.ScaleColumns(y.Data, hat.Data, factor, offset)
	return y
}

// Graph implements nn.Graphed.
func (l *batchNorm) Graph(b *graph.Builder, x graph.Value) graph.Value {
	factor, offset := make([]float32, l.channels), make([]float32, l.channels)
	for j := range factor {
		inv := 1 / math.Sqrt(float64(l.variance.Value.Data[j])+l.eps)
		gamma, beta := 1.0, 0.0
		if l.gamma != nil {
			gamma = float64(l.gamma.Value.Data[j])
		}
		if l.beta != nil {
			beta = float64(l.beta.Value.Data[j])
		}
		factor[j] = float32(gamma * inv)
		offset[j] = float32(beta - gamma*inv*float64(l.mean.Value.Data[j]))
	}
	return b.Add(b.Mul(x, b.Floats(factor, l.channels)), b.Floats(offset, l.channels))
}

// Backward implements nn.Layer. With M numbers per channel, in training
// dx = γ/√(var + ε)·(dy − Σdy/M − hat·Σ(dy·hat)/M); with moving averages the
// sums are absent.
func (l *batchNorm) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	n := dy.N()
	hat, tmp := w.Tensor(l, bnHat, n), w.Tensor(l, bnTmp, n)
	dgamma, dbeta := w.Vector(l, bnDGamma), w.Vector(l, bnDBeta)
	training := w.Mode == nn.Training
	if g != nil || training {
		w.K.Mul(tmp.Data, dy.Data, hat.Data)
		w.K.ColSum(dgamma, tmp.Data)
		w.K.ColSum(dbeta, dy.Data)
	}
	if g != nil {
		l.gradParams(w, g, dgamma, dbeta)
	}
	inv, factor, offset := w.Vector(l, bnInv), w.Vector(l, bnFactor), w.Vector(l, bnOffset)
	for j := range factor {
		factor[j], offset[j] = inv[j], 0
		if l.gamma != nil {
			factor[j] *= l.gamma.Value.Data[j]
		}
	}
	if !training {
		w.K.ScaleColumns(dy.Data, dy.Data, factor, offset)
		return dy
	}
	m := float32(len(dy.Data) / l.channels)
	for j, f := range factor {
		dgamma[j] *= -f / m
		dbeta[j] *= -f / m
	}
	w.K.ScaleColumns(dy.Data, dy.Data, factor, offset)
	w.K.ScaleColumns(tmp.Data, hat.Data, dgamma, dbeta)
	w.K.Add(dy.Data, tmp.Data)
	return dy
}

func (l *batchNorm) gradParams(w *nn.Workspace, g *nn.Grads, dgamma, dbeta []float32) {
	if l.gamma != nil {
		w.K.Add(g.Of(l.gamma).Data, dgamma)
	}
	if l.beta != nil {
		w.K.Add(g.Of(l.beta).Data, dbeta)
	}
	if w.Mode == nn.Training {
		g.Observe(w.K, l.mean, w.Vector(l, bnMean))
		g.Observe(w.K, l.variance, w.Vector(l, bnVariance))
	}
}
