package gradient

import (
	"math"

	"github.com/vaeguard/vaeguard/sdk"
)

// tiny is the least probability that counts as one, as in the losses.
const tiny = 1e-30

// atLogits maps a cotangent dy at one row y of outputs to the one at logits
// behind it: through the softmax at the classifier's own answer, so that the
// part of the chain that is known stays exact. For KL(P ‖ Q) that is Q − P,
// bounded whatever Q is.
func atLogits(dz, y, dy []float32, kind sdk.OutputKind) {
	if kind == sdk.Logits {
		copy(dz, dy)
		return
	}
	sum := 0.0
	for c, q := range y {
		sum += float64(dy[c]) * max(float64(q), tiny)
	}
	for c, q := range y {
		dz[c] = float32(float64(dy[c])*max(float64(q), tiny) - float64(q)*sum)
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
			dl[c] *= max(float64(y[c]), tiny)
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
