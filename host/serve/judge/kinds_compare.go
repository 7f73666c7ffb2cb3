package judge

import (
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// votes are rows by what a comparison says of them.
type votes struct {
	logits, probabilities int
	off                   int // they agree by neither reading
	alike                 int // they agree by both, and say nothing
}

func (v votes) telling() int { return v.logits + v.probabilities + v.off }

func (v votes) and(w votes) votes {
	return votes{v.logits + w.logits, v.probabilities + w.probabilities, v.off + w.off, v.alike + w.alike}
}

// most is the reading of most rows, and how many those are.
func (v votes) most() (sdk.OutputKind, int) {
	if v.probabilities > v.logits {
		return sdk.Probabilities, v.probabilities
	}
	return sdk.Logits, v.logits
}

// compareRows compares an answer, of either kind, with probabilities, row by row.
func compareRows(own, given *tensor.Tensor) votes {
	var v votes
	p := make([]float64, given.Stride())
	for i := range given.N() {
		row := given.Row(i)
		asProbabilities := variation(own.Row(i), func(c int) float64 { return float64(row[c]) })
		asLogits := math.Inf(1)
		if finite(row) {
			oracle.Softmax(p, row)
			asLogits = variation(own.Row(i), func(c int) float64 { return p[c] })
		}
		switch near, far := min(asLogits, asProbabilities), max(asLogits, asProbabilities); {
		case !finite(own.Row(i)): // nothing can be said
			v.alike++
		case !(near <= agrees):
			v.off++
		case far < differs:
			v.alike++
		case near == asLogits:
			v.logits++
		default:
			v.probabilities++
		}
	}
	return v
}

// variation is the total variation of two distributions, 0 to 1; where q is none it may be more, and where it has no
// numbers it is infinite.
func variation(p []float32, q func(int) float64) float64 {
	sum := 0.0
	for c, v := range p {
		sum += math.Abs(float64(v) - q(c))
	}
	if math.IsNaN(sum) {
		return math.Inf(1)
	}
	return sum / 2
}

// looksLike reports whether an answer may be of a kind. That decides nothing but whether it is looked at closer.
func looksLike(given *tensor.Tensor, of sdk.OutputKind) bool {
	distributions := 0
	for i := range given.N() {
		row := given.Row(i)
		if !finite(row) {
			return false
		}
		sum, within := 0.0, true
		for _, v := range row {
			sum += float64(v)
			within = within && v >= 0 && v <= 1
		}
		if within && math.Abs(sum-1) <= agrees {
			distributions++
		}
	}
	if of == sdk.Probabilities {
		return distributions == given.N()
	}
	return distributions < given.N()
}

func finite(row []float32) bool {
	for _, v := range row {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// convert turns an answer into one of the other kind, want: logits of probabilities are their logarithms.
func convert(given *tensor.Tensor, want sdk.OutputKind) *tensor.Tensor {
	out := tensor.New(given.N(), given.Stride())
	row := make([]float64, given.Stride())
	for i := range given.N() {
		if want == sdk.Logits {
			oracle.LogProbabilities(row, given.Row(i), sdk.Probabilities, 1)
		} else {
			oracle.Softmax(row, given.Row(i))
		}
		for c, v := range row {
			out.Row(i)[c] = float32(v)
		}
	}
	return out
}
