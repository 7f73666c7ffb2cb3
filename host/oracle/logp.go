// Package oracle turns what a classifier answers into named things, once for
// all callers: log-probabilities in float64 and the way back from them, the
// floor of probabilities, arg-max, softmax heads on hidden layers, and the
// question itself, with a tape or without.
//
// What stays elsewhere: the classifiers that vaeguard trains take the softmax
// of host/kernel in float32 (host/nn does not know this package), and losses
// and scores compute divergences of the log-probabilities themselves.
package oracle

import (
	"math"

	"github.com/vaeguard/vaeguard/sdk"
)

// Floor is the least probability whose logarithm is taken where a classifier
// answers in probabilities.
const Floor = 1e-30

// Level is what margins between classes are taken of, the number itself for
// logits or ln max(v, Floor) of a probability, and its derivative.
func Level(kind sdk.OutputKind, v float32) (level, slope float64) {
	if kind == sdk.Probabilities {
		p := max(float64(v), Floor)
		return math.Log(p), 1 / p
	}
	return float64(v), 1
}

// LogProbabilities writes the logarithms of the probabilities of one row
// of at least one output, sharpened by a temperature > 0: log-softmax of out/T
// for logits, of ln max(out, Floor)/T for probabilities, which for T = 1 are
// taken as they are. dst has the length of out.
func LogProbabilities(dst []float64, out []float32, kind sdk.OutputKind, temperature float64) {
	for c, v := range out {
		l := float64(v)
		if kind == sdk.Probabilities {
			l = math.Log(max(l, Floor))
		}
		dst[c] = l / temperature
	}
	if kind == sdk.Probabilities && temperature == 1 {
		return
	}
	LogSoftmax(dst)
}

// LogSoftmax is x − ln Σ exp x in place, of at least one number. The largest
// term is left out of the sum of the others, so that the logarithm of a
// probability near 1 keeps its digits: ln(1 + rest) and not ln of a sum that
// has swallowed the rest.
func LogSoftmax(x []float64) {
	top := Argmax(x)
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

// Softmax writes exp z/Σ exp z of a row of at least one logit.
func Softmax(dst []float64, z []float32) {
	top := float64(z[Argmax(z)])
	sum := 0.0
	for _, v := range z {
		sum += math.Exp(float64(v) - top)
	}
	for c, v := range z {
		dst[c] = math.Exp(float64(v)-top) / sum
	}
}

// PullSoftmax turns d, the gradient at log-softmax(z), into the one at z, in
// place: d − p·Σ d with p = softmax(z).
func PullSoftmax(d, p []float64) {
	sum := 0.0
	for _, v := range d {
		sum += v
	}
	for c := range d {
		d[c] = d[c] - p[c]*sum
	}
}
