package gradient

import (
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
)

// atLogits maps a cotangent dy at one row y of outputs to the one at the logits
// z of the surrogate. Logits stand for logits. From probabilities the way leads
// over their logarithms, where the cotangent of KL(P ‖ Q) is −P, bounded
// whatever Q is, and through the surrogate's own softmax: that gives softmax(z)
// − P, the gradient of the divergence from the surrogate. The classifier's own Q
// in its place would be the gradient of nothing: where a forest's answer jumps,
// the surrogate's slope does not belong to it.
func atLogits(dz, z, y, dy []float32, kind sdk.OutputKind) {
	if kind == sdk.Logits {
		copy(dz, dy)
		return
	}
	d, p := make([]float64, len(z)), make([]float64, len(z))
	atLogs(d, y, dy, kind)
	oracle.Softmax(p, z)
	oracle.PullSoftmax(d, p)
	for c, v := range d {
		dz[c] = float32(v)
	}
}

// atLogs maps it to the one at the numbers of which differences are taken:
// logits, or the logarithms of probabilities. It reports whether there is
// anything but zeros.
func atLogs(dl []float64, y, dy []float32, kind sdk.OutputKind) bool {
	some := false
	for c, d := range dy {
		dl[c] = float64(d)
		if kind == sdk.Probabilities {
			dl[c] *= max(float64(y[c]), oracle.Floor)
		}
		some = some || dl[c] != 0
	}
	return some
}

// along is Σ dl·(f(up) − f(down)) with f the logits, or ln(p + floor).
func along(dl []float64, up, down []float32, kind sdk.OutputKind, floor float64) float64 {
	sum := 0.0
	for c, d := range dl {
		if d == 0 || up[c] == down[c] {
			continue
		}
		if kind == sdk.Probabilities {
			sum += d * math.Log((float64(up[c])+floor)/(float64(down[c])+floor))
		} else {
			sum += d * (float64(up[c]) - float64(down[c]))
		}
	}
	return sum
}
