package attacktest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Guard is a toy detector around a classifier whose every part is known: clean
// rows lie near a plane, the reconstruction is the projection onto it, and the
// score is KL(M(x) ‖ M(x')). It has detect's outputs and exact gradients.
type Guard struct {
	M         *MLP
	Threshold float64
	// Far says of a row that its reconstruction is not finite: it scores +Inf, is
	// flagged and stays uncorrected. Nil: of none.
	Far   func(x []float32) bool
	mean  []float64
	basis [][]float64 // orthonormal
}

// NewGuard makes a Guard of dim-dimensional plane and n clean rows near it
// with their labels: the classifier's own.
func NewGuard(features, dim, classes, n int, seed uint64) (*Guard, *tensor.Tensor, []int) {
	r := rand.New(rand.NewPCG(seed, 3))
	g := &Guard{M: NewMLP(features, 24, classes, seed), mean: make([]float64, features)}
	for j := range g.mean {
		g.mean[j] = .5
	}
	for len(g.basis) < dim {
		v := make([]float64, features)
		for j := range v {
			v[j] = r.NormFloat64()
		}
		for _, u := range g.basis { // Gram-Schmidt
			p := dot(u, v)
			for j := range v {
				v[j] -= p * u[j]
			}
		}
		s := math.Sqrt(dot(v, v))
		for j := range v {
			v[j] /= s
		}
		g.basis = append(g.basis, v)
	}
	x := tensor.New(n, features)
	for i := range n {
		for j := range features {
			x.Row(i)[j] = float32(.5 + .02*r.NormFloat64())
		}
		for _, u := range g.basis {
			c := .35 * r.NormFloat64()
			for j := range features {
				x.Row(i)[j] += float32(c * u[j])
			}
		}
		for j, v := range x.Row(i) {
			x.Row(i)[j] = min(max(v, 0), 1)
		}
	}
	scores, predicted, _, err := g.score(context.Background(), x)
	if err != nil {
		panic("attacktest: " + err.Error())
	}
	slices.Sort(scores)
	g.Threshold = scores[len(scores)*95/100]
	return g, x, predicted
}

func dot(a, b []float64) float64 {
	s := 0.0
	for j := range a {
		s += float64(a[j] * b[j])
	}
	return s
}

// project is the linear map of the reconstruction, about mean.
func (g *Guard) project(dst, x []float32, mean []float64) {
	d := make([]float64, len(x))
	for j, v := range x {
		d[j] = float64(v) - mean[j]
	}
	out := slices.Clone(mean)
	for _, u := range g.basis {
		c := dot(u, d)
		for j := range out {
			out[j] += float64(c * u[j])
		}
	}
	for j, v := range out {
		dst[j] = float32(v)
	}
}

func (g *Guard) rebuild(x *tensor.Tensor) *tensor.Tensor {
	y := tensor.New(x.Shape...)
	for i := range x.N() {
		g.project(y.Row(i), x.Row(i), g.mean)
	}
	return y
}

func logSoftmax(z []float32) []float64 {
	s, out := 0.0, make([]float64, len(z))
	for _, v := range z {
		s += math.Exp(float64(v))
	}
	for k, v := range z {
		out[k] = float64(v) - math.Log(s)
	}
	return out
}

func kl(p, q []float64) float64 {
	s := 0.0
	for k := range p {
		s += math.Exp(p[k]) * (p[k] - q[k])
	}
	return s
}

func (g *Guard) score(ctx context.Context, x *tensor.Tensor) (scores []float64, predicted, rebuilt []int, err error) {
	z, err := g.M.Predict(ctx, x)
	if err != nil {
		return nil, nil, nil, err
	}
	q, err := g.M.Predict(ctx, g.rebuild(x))
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range x.N() {
		scores = append(scores, kl(logSoftmax(z.Row(i)), logSoftmax(q.Row(i))))
		predicted, rebuilt = append(predicted, oracle.Argmax(z.Row(i))), append(rebuilt, oracle.Argmax(q.Row(i)))
	}
	return scores, predicted, rebuilt, nil
}

// Detect is what detect.Detector does.
func (g *Guard) Detect(ctx context.Context, x *tensor.Tensor, include detect.Include) (*detect.Result, error) {
	r := &detect.Result{}
	var err error
	if r.Score, r.Predicted, r.Reconstructed, err = g.score(ctx, x); err != nil {
		return nil, err
	}
	for i, s := range r.Score {
		r.Adversarial = append(r.Adversarial, s > g.Threshold)
		r.Corrected = append(r.Corrected, r.Predicted[i])
		if s > g.Threshold {
			r.Corrected[i] = r.Reconstructed[i]
		}
		if g.Far != nil && g.Far(x.Row(i)) {
			if r.NotFinite == nil {
				r.NotFinite = make([]bool, x.N())
			}
			r.NotFinite[i], r.Score[i], r.Adversarial[i] = true, math.Inf(1), true
			r.Reconstructed[i], r.Corrected[i] = r.Predicted[i], r.Predicted[i]
		}
	}
	if include.Reconstruction {
		r.Reconstruction = g.rebuild(x)
	}
	return r, nil
}

// Judge is what counts as success of an adaptive attack on rows with the given
// labels: misclassified and unflagged or, if it wants the flag, right and
// flagged.
func (g *Guard) Judge(labels []int, wantsFlag bool) func(context.Context, []int, *tensor.Tensor) ([]bool, error) {
	return func(ctx context.Context, rows []int, adv *tensor.Tensor) ([]bool, error) {
		r, err := g.Detect(ctx, adv, detect.Include{})
		if err != nil {
			return nil, err
		}
		ok := make([]bool, len(rows))
		for k, i := range rows {
			wrong := r.Predicted[k] != labels[i]
			ok[k] = wrong != wantsFlag && r.Adversarial[k] == wantsFlag
		}
		return ok, nil
	}
}

// Info implements sdk.Classifier.
func (g *Guard) Info(ctx context.Context) (sdk.Info, error) { return g.M.Info(ctx) }

// Predict implements sdk.Classifier.
func (g *Guard) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return g.M.Predict(ctx, x)
}

// Forward implements sdk.Forwarder with the outputs output, reconstructed,
// sampled (one sample) and score.
func (g *Guard) Forward(ctx context.Context, x *tensor.Tensor, names ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	outP, pullP, err := g.M.Forward(ctx, x)
	if err != nil {
		return nil, nil, err
	}
	outQ, pullQ, err := g.M.Forward(ctx, g.rebuild(x))
	if err != nil {
		return nil, nil, err
	}
	n, z, q := x.N(), outP[sdk.Output], outQ[sdk.Output]
	out := make(map[string]*tensor.Tensor)
	for _, name := range names {
		t := tensor.New(n, 1)
		switch name {
		case sdk.Output:
			t = z
		case detect.OutputSampled:
			t = q.Reshape(n, 1, q.Stride())
		case detect.OutputReconstructed:
			t = tensor.New(q.Shape...)
			for i := range n {
				for k, v := range logSoftmax(q.Row(i)) {
					t.Row(i)[k] = float32(v)
				}
			}
		case detect.OutputScore:
			for i := range n {
				t.Data[i] = float32(kl(logSoftmax(z.Row(i)), logSoftmax(q.Row(i))))
			}
		default:
			return nil, nil, fmt.Errorf("unknown output %q", name)
		}
		out[name] = t
	}
	return out, func(ctx context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dz, dq := tensor.New(z.Shape...), tensor.New(q.Shape...)
		for i := range n {
			g.pullRow(dz.Row(i), dq.Row(i), z.Row(i), q.Row(i), cot, i)
		}
		dx, err := pullP(ctx, map[string]*tensor.Tensor{sdk.Output: dz})
		if err != nil {
			return nil, err
		}
		dr, err := pullQ(ctx, map[string]*tensor.Tensor{sdk.Output: dq})
		if err != nil {
			return nil, err
		}
		part := make([]float32, x.Stride())
		for i := range n {
			g.project(part, dr.Row(i), make([]float64, x.Stride()))
			for j, v := range part {
				dx.Row(i)[j] += v
			}
		}
		return dx, nil
	}, nil
}

func (g *Guard) pullRow(dz, dq, z, q []float32, cot map[string]*tensor.Tensor, i int) {
	p, r := logSoftmax(z), logSoftmax(q)
	if c := cot[sdk.Output]; c != nil {
		for k, v := range c.Row(i) {
			dz[k] += v
		}
	}
	if c := cot[detect.OutputSampled]; c != nil {
		for k, v := range c.Row(i) {
			dq[k] += v
		}
	}
	if c := cot[detect.OutputReconstructed]; c != nil {
		sum := float32(0)
		for _, v := range c.Row(i) {
			sum += v
		}
		for k, v := range c.Row(i) {
			dq[k] += v - sum*float32(math.Exp(r[k]))
		}
	}
	if c := cot[detect.OutputScore]; c != nil {
		w, s := float64(c.Row(i)[0]), kl(p, r)
		for k := range p {
			dz[k] += float32(w * math.Exp(p[k]) * (p[k] - r[k] - s))
			dq[k] += float32(w * (math.Exp(r[k]) - math.Exp(p[k])))
		}
	}
}
