package oracle

import (
	"math"

	"github.com/vaeguard/vaeguard/sdk"
)

// Reading turns rows of outputs into log-probabilities as a detector keeps
// them, float32 with a floor, and gradients back. Arithmetic is in float64,
// row by row.
type Reading struct {
	Kind        sdk.OutputKind
	Temperature float64 // of Sharpen, > 0; 1: P itself
	Clip        float64 // floor of stored probabilities, in [0, 1); 0: none
}

// Logits is the same reading of outputs that are logits, as a student's or a
// head's are.
func (r Reading) Logits() Reading {
	r.Kind = sdk.Logits
	return r
}

// LogP writes ln P of one row of outputs, without the clip.
func (r Reading) LogP(dst []float64, out []float32) { LogProbabilities(dst, out, r.Kind, 1) }

// P writes one row of outputs as probabilities, without the clip.
func (r Reading) P(dst, out []float32) {
	if r.Kind == sdk.Probabilities {
		copy(dst, out)
		return
	}
	row := make([]float64, len(out))
	r.LogP(row, out)
	for c, l := range row {
		dst[c] = float32(math.Exp(l))
	}
}

// Sharpen turns ln P into ln P_T, P_T ∝ P^(1/T), in place.
func (r Reading) Sharpen(logp []float64) {
	if r.Temperature == 1 {
		return
	}
	for c := range logp {
		logp[c] /= r.Temperature
	}
	LogSoftmax(logp)
}

// Store rounds log-probabilities, floored at the clip: they then no longer add
// up to one.
func (r Reading) Store(dst []float32, logp []float64) {
	floor := r.floor()
	for c, v := range logp {
		dst[c] = float32(max(v, floor))
	}
}

func (r Reading) floor() float64 {
	if r.Clip > 0 {
		return math.Log(r.Clip)
	}
	return math.Inf(-1)
}

// Pull adds to dout the gradient at one row of outputs, from the gradients at
// the stored ln P and (may be nil) at the stored ln P_T. What the clip floored
// has none.
func (r Reading) Pull(dout, out, dlogp, dlogpt []float32) {
	n := len(out)
	logp, d := make([]float64, n), make([]float64, n)
	r.LogP(logp, out)
	floor := r.floor()
	for c, v := range dlogp {
		if logp[c] > floor {
			d[c] = float64(v)
		}
	}
	if dlogpt != nil {
		r.pullSharp(d, logp, dlogpt, floor)
	}
	if r.Kind == sdk.Probabilities {
		for c, v := range out {
			dout[c] += float32(d[c] / max(float64(v), Floor))
		}
		return
	}
	exp(logp)
	PullSoftmax(d, logp)
	for c, v := range d {
		dout[c] += float32(v)
	}
}

// pullSharp adds to d, the gradient at ln P, that from ln P_T.
func (r Reading) pullSharp(d, logp []float64, dlogpt []float32, floor float64) {
	sharp, g := append([]float64(nil), logp...), make([]float64, len(d))
	r.Sharpen(sharp)
	for c, v := range dlogpt {
		if sharp[c] > floor {
			g[c] = float64(v)
		}
	}
	if r.Temperature != 1 {
		exp(sharp)
		PullSoftmax(g, sharp)
	}
	for c, v := range g {
		d[c] += v / r.Temperature
	}
}

// exp is e^x in place.
func exp(x []float64) {
	for c, v := range x {
		x[c] = math.Exp(v)
	}
}
