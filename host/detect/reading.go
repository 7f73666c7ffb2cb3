package detect

import (
	"math"

	"github.com/vaeguard/vaeguard/sdk"
)

// floorP keeps the logarithm of a classifier's probability finite where it
// declares no logits.
const floorP = 1e-30

// reading turns what a classifier answers into log-probabilities, and
// gradients back. It works in float64 and row by row.
type reading struct {
	kind        sdk.OutputKind
	temperature float64 // of LogPT
	clip        float64 // floor of probabilities; 0: none
}

// logp is ln P of one row of output, without the clip.
func (r reading) logp(dst []float64, out []float32) {
	if r.kind == sdk.Probabilities {
		for c, v := range out {
			dst[c] = math.Log(math.Max(float64(v), floorP))
		}
		return
	}
	for c, v := range out {
		dst[c] = float64(v)
	}
	logSoftmax(dst)
}

// sharpen is ln P_T, P_T ∝ P^(1/T), in place.
func (r reading) sharpen(logp []float64) {
	if r.temperature == 1 {
		return
	}
	for c := range logp {
		logp[c] /= r.temperature
	}
	logSoftmax(logp)
}

// store rounds log-probabilities, floored at the clip.
func (r reading) store(dst []float32, logp []float64) {
	floor := r.floor()
	for c, v := range logp {
		dst[c] = float32(math.Max(v, floor))
	}
}

func (r reading) floor() float64 {
	if r.clip > 0 {
		return math.Log(r.clip)
	}
	return math.Inf(-1)
}

// pull adds to dout the gradient at one row of output, from the gradients at
// the stored ln P and (may be nil) ln P_T. What the clip floored has none.
func (r reading) pull(dout, out, dlogp, dlogpt []float32) {
	n := len(out)
	logp, d := make([]float64, n), make([]float64, n)
	r.logp(logp, out)
	floor := r.floor()
	for c, v := range dlogp {
		if logp[c] > floor {
			d[c] = float64(v)
		}
	}
	if dlogpt != nil {
		r.pullSharp(d, logp, dlogpt, floor)
	}
	if r.kind == sdk.Probabilities {
		for c, v := range out {
			dout[c] += float32(d[c] / math.Max(float64(v), floorP))
		}
		return
	}
	sum := 0.0
	for _, v := range d {
		sum += v
	}
	for c := range d {
		dout[c] += float32(d[c] - math.Exp(logp[c])*sum)
	}
}

// pullSharp adds to d, the gradient at ln P, that from ln P_T.
func (r reading) pullSharp(d, logp []float64, dlogpt []float32, floor float64) {
	sharp := append([]float64(nil), logp...)
	r.sharpen(sharp)
	sum := 0.0
	for c, v := range dlogpt {
		if sharp[c] > floor {
			sum += float64(v)
		}
	}
	for c, v := range dlogpt {
		g := 0.0
		if sharp[c] > floor {
			g = float64(v)
		}
		if r.temperature != 1 {
			g = (g - math.Exp(sharp[c])*sum) / r.temperature
		}
		d[c] += g
	}
}

// logSoftmax is x − ln Σ exp x in place. The largest term is left out of the
// sum of the others, so that the logarithm of a probability near 1 keeps its
// digits.
func logSoftmax(x []float64) {
	top := 0
	for c, v := range x {
		if v > x[top] {
			top = c
		}
	}
	largest, rest := x[top], 0.0
	for c, v := range x {
		if c != top {
			rest += math.Exp(v - largest)
		}
	}
	lse := math.Log1p(rest)
	for c := range x {
		x[c] = x[c] - largest - lse
	}
}

// argmax is the first largest entry.
func argmax[F float32 | float64](x []F) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
