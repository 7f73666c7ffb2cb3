package scores

import (
	"math"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// JS is mean_s of the Jensen–Shannon divergence of softmax(z/T) on the input
// and on its reconstruction, in nats, in [0, ln 2] (MagNet: Meng and Chen
// 2017, arXiv:1705.09064, with T = 10 and 40). The detector's own temperature
// plays no part.
type JS struct {
	Temperature float64 `yaml:"temperature" check:"> 0" doc:"softens both predictions"`
}

var _ detect.DifferentiableScore = (*JS)(nil)

// Needs implements detect.Requirer.
func (*JS) Needs() detect.Needs { return detect.Needs{Q: true} }

// Score implements detect.Score.
func (j *JS) Score(dst []float64, e detect.Evidence) {
	p, q := make([]float64, e.LogP.Stride()), make([]float64, e.LogP.Stride())
	for i := range dst {
		j.soften(p, e.LogP.Row(i), e.Clip)
		sum := 0.0
		for s := range e.Samples {
			j.soften(q, e.LogQ.Row(i*e.Samples+s), e.Clip)
			for c := range p {
				m := logMean(p[c], q[c])
				sum += 0.5 * (klTerm(p[c], m) + klTerm(q[c], m))
			}
		}
		dst[i] = sum / float64(e.Samples)
	}
}

// ScoreGrad implements detect.DifferentiableScore. With m = (p+q)/2,
// ∂JS/∂ln p = ½·p·ln(p/m), and the softening adds its own Jacobian.
func (j *JS) ScoreGrad(c detect.Cotangents, e detect.Evidence, weight []float64) {
	k := e.LogP.Stride()
	p, q, dp, dq := make([]float64, k), make([]float64, k), make([]float64, k), make([]float64, k)
	for i, w := range weight {
		j.soften(p, e.LogP.Row(i), e.Clip)
		w /= float64(e.Samples)
		clear(dp)
		for s := range e.Samples {
			row := i*e.Samples + s
			j.soften(q, e.LogQ.Row(row), e.Clip)
			for c := range p {
				m := logMean(p[c], q[c])
				dp[c] += w * 0.5 * math.Exp(p[c]) * (p[c] - m)
				dq[c] = w * 0.5 * math.Exp(q[c]) * (q[c] - m)
			}
			j.softenGrad(c.LogQ, row, dq, q, e.Clip)
		}
		j.softenGrad(c.LogP, i, dp, p, e.Clip)
	}
}

// soften is log-softmax(x/T); at T = 1, x is one already (a clipped one stays
// as it is).
func (j *JS) soften(dst []float64, x []float32, clip float64) {
	for c, v := range x {
		dst[c] = float64(v) / j.Temperature
	}
	if j.Temperature == 1 && clip > 0 {
		return
	}
	oracle.LogSoftmax(dst)
}

// softenGrad adds the gradient before soften to row i of dx. It uses up dy, the
// gradient at y, and y itself.
func (j *JS) softenGrad(dx *tensor.Tensor, i int, dy, y []float64, clip float64) {
	if j.Temperature != 1 || clip == 0 {
		for c, l := range y {
			y[c] = math.Exp(l)
		}
		oracle.PullSoftmax(dy, y)
	}
	row := dx.Row(i)
	for c := range row {
		row[c] += float32(dy[c] / j.Temperature)
	}
}

// logMean is ln((e^a + e^b)/2).
func logMean(a, b float64) float64 {
	if a < b {
		a, b = b, a
	}
	return a + math.Log1p(math.Exp(b-a)) - math.Ln2
}

// Graph implements detect.GraphedScore.
func (j *JS) Graph(b *graph.Builder, e detect.GraphedEvidence) graph.Value {
	soften := func(x graph.Value) graph.Value {
		if j.Temperature == 1 && e.Clip > 0 {
			return x
		}
		return b.LogSoftmax(b.Div(x, b.Number(graph.Double, j.Temperature)))
	}
	p, q := soften(e.LogP), soften(e.LogQ)
	m := b.Log(b.Mul(b.Add(b.Exp(p), b.Exp(q)), b.Number(graph.Double, 0.5)))
	m = b.Max(m, b.Number(graph.Double, -745)) // where both are 0 to float64
	sum := b.Add(klGraph(b, p, m, false), klGraph(b, q, m, false))
	return e.Samplewise(b, b.Mul(sum, b.Number(graph.Double, 0.5)))
}
