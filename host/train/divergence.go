package train

import (
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
)

// Divergence is KL(P_T ‖ Q) between a classifier's outputs, row by row, in
// float64. The zero value is not ready; NewDivergence is.
type Divergence struct {
	output      sdk.OutputKind
	temperature float64
	clip        float64

	p, lp, q, lq []float64
}

// NewDivergence measures outputs of a kind. temperature sharpens P alone; 0
// means 1. clip is a floor for both, 0: none. The references clip at 1e-7,
// which caps the divergence at ln 1e7 and kills the gradient where Q < 1e-7.
func NewDivergence(output sdk.OutputKind, temperature, clip float64) *Divergence {
	if temperature == 0 {
		temperature = 1
	}
	return &Divergence{output: output, temperature: temperature, clip: clip}
}

// Row is KL(P_T ‖ Q) in nats of one row of outputs. If dq is not nil, weight
// times the gradient at q is added: Q − P at logits, −P/max(Q, 1e-30) at
// probabilities. underflow reports a Q of 0 where P is not.
func (d *Divergence) Row(p, q, dq []float32, weight float64) (kl float64, underflow bool) {
	d.grow(len(p))
	oracle.LogProbabilities(d.lp, p, d.output, d.temperature)
	oracle.LogProbabilities(d.lq, q, d.output, 1)
	for j := range d.p {
		d.p[j] = math.Exp(d.lp[j])
		d.q[j] = math.Exp(d.lq[j])
		if d.output == sdk.Probabilities {
			d.q[j] = float64(q[j])
			if d.temperature == 1 {
				d.p[j] = float64(p[j])
			}
		}
	}
	if d.clip > 0 {
		return d.clipped(dq, weight), false
	}
	for j, v := range d.p {
		if v > 0 {
			kl += v * (d.lp[j] - d.lq[j])
		}
		if d.output == sdk.Probabilities && d.q[j] < oracle.Floor && v >= oracle.Floor {
			underflow = true
		}
	}
	if dq == nil {
		return kl, underflow
	}
	for j := range dq {
		if d.output == sdk.Probabilities {
			dq[j] -= float32(weight * d.p[j] / max(d.q[j], oracle.Floor))
		} else {
			dq[j] += float32(weight * (d.q[j] - d.p[j]))
		}
	}
	return kl, underflow
}

// clipped is Row with both probabilities in [clip, 1], not renormalised, and
// no gradient below.
func (d *Divergence) clipped(dq []float32, weight float64) (kl float64) {
	dot := 0.0
	for j := range d.p {
		p, q := min(max(d.p[j], d.clip), 1), min(max(d.q[j], d.clip), 1)
		kl += p * math.Log(p/q)
		g := 0.0
		if d.q[j] >= d.clip {
			g = -p / q
		}
		d.lq[j] = g
		dot += g * d.q[j]
	}
	for j := range dq {
		g := d.lq[j]
		if d.output == sdk.Logits {
			g = d.q[j] * (g - dot)
		}
		dq[j] += float32(weight * g)
	}
	return kl
}

func (d *Divergence) grow(n int) {
	if len(d.p) != n {
		d.p, d.lp, d.q, d.lq = make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	}
}
