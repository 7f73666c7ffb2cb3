package check

import (
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
)

// verdict compares derivatives by differences with those by the gradient.
type verdict struct {
	relative, cosine, factor float64 // factor: gradient ≈ factor·differences
	step                     int
}

func (v verdict) ok() bool {
	return v.relative <= relativePass || v.cosine >= cosinePass && v.factor <= scalePass && v.factor >= 1/scalePass
}

func judge(diff, grad []float64) verdict {
	var dg, dd, gg float64
	rel := make([]float64, len(diff))
	for i, d := range diff {
		g := grad[i]
		dg, dd, gg = dg+float64(d*g), dd+float64(d*d), gg+float64(g*g)
		rel[i] = math.Abs(d-g) / max(math.Abs(d), math.Abs(g), math.SmallestNonzeroFloat64)
	}
	slices.Sort(rel)
	v := verdict{relative: rel[len(rel)/2]}
	if dd > 0 && gg > 0 {
		v.cosine, v.factor = dg/math.Sqrt(dd)/math.Sqrt(gg), dg/dd
	}
	return v
}

// suggest names the usual mistake that explains a failure.
func (p *probe) suggest(pts points, v verdict) string {
	const alike = 0.95
	near := func(a, b float64) bool { return a > b/scalePass && a < b*scalePass }
	zero := !slices.ContainsFunc(pts.grad, func(g float64) bool { return g != 0 })
	switch {
	case zero:
		return "a gradient that is always zero"
	case v.cosine <= -alike:
		return "the wrong sign"
	case v.cosine >= alike && near(v.factor, 1.0/probeRows):
		return "a factor of N: a mean over the batch instead of a sum"
	case v.cosine >= alike && near(v.factor, probeRows):
		return "a factor of N: each row counted N times"
	case v.cosine >= alike && near(v.factor, 1/float64(p.info.NumClasses)):
		return "a mean over the classes instead of a sum"
	case v.cosine >= alike:
		return fmt.Sprintf("a factor of %.3g", v.factor)
	case p.info.Output == sdk.Logits && judge(pts.softmax, pts.grad).cosine >= alike:
		return "the gradient of the probabilities, where the output is logits"
	case p.info.Output == sdk.Probabilities && judge(pts.log, pts.grad).cosine >= alike:
		return "the gradient of the logits, where the output is probabilities"
	case len(pts.reordered[0]) > 0 && math.Abs(judge(pts.diff, pts.reordered[0]).cosine) >= alike:
		return "a transposed layout: the gradient's channels are in another place than the input's"
	case len(pts.reordered[1]) > 0 && math.Abs(judge(pts.diff, pts.reordered[1]).cosine) >= alike:
		return "a transposed layout: the gradient's rows and columns are swapped"
	}
	return ""
}
