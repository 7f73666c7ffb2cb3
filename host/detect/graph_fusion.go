package detect

import (
	"math"

	"github.com/vaeguard/vaeguard/host/graph"
)

// graph writes Fuse as nodes of an ONNX graph.
func (f *Fusion) graph(b *graph.Builder, scores []graph.Value) graph.Value {
	logp := make([]graph.Value, len(scores))
	for j, t := range f.tails {
		logp[j] = b.Unsqueeze(t.graph(b, scores[j]), 1)
	}
	all, n := b.Concat(1, logp...), len(logp)
	switch f.Rule {
	case Fisher:
		return b.Mul(b.Sum(all, 1), b.Number(graph.Double, -2))
	case Tippett:
		least := b.ArgMax(b.Neg(all), 1)
		return b.Neg(b.Pick(all, least))
	}
	angle := b.Mul(b.Exp(all), b.Number(graph.Double, math.Pi))
	sin := b.Op("Sin", []graph.Value{angle})
	cos := b.Op("Sin", []graph.Value{b.Add(angle, b.Number(graph.Double, math.Pi/2))}) // Cos of float64 is not in every runtime
	mean := b.Mean(b.Div(cos, sin), graph.Double, n, 1)
	return b.Neg(b.Log(b.Div(arccot(b, mean), b.Number(graph.Double, math.Pi))))
}

// arccot is atan2(1, c), in (0, π), of float64, which runtimes have no arctangent of:
// the angle of 1/|c| or |c|, whichever is at most 1, by three halvings and its series.
func arccot(b *graph.Builder, c graph.Value) graph.Value {
	one := b.Number(graph.Double, 1)
	abs := b.Abs(c)
	large := b.Greater(abs, one)
	t := b.Where(large, b.Div(one, b.Max(abs, one)), abs)
	const halvings = 3
	for range halvings { // atan t = 2·atan(t/(1 + √(1 + t²)))
		t = b.Div(t, b.Add(one, b.Sqrt(b.Add(one, b.Mul(t, t)))))
	}
	square, sum := b.Mul(t, t), b.Number(graph.Double, 0)
	const terms = 10 // t ≤ tan(π/32): the first one left out is below 1e-21
	for k := terms - 1; k >= 0; k-- {
		sign := float64(1 - 2*(k%2))
		sum = b.Add(b.Mul(sum, square), b.Number(graph.Double, sign/float64(2*k+1)))
	}
	angle := b.Mul(b.Mul(sum, t), b.Number(graph.Double, 1<<halvings)) // of t
	half, whole := b.Number(graph.Double, math.Pi/2), b.Number(graph.Double, math.Pi)
	negative := b.Greater(b.Number(graph.Double, 0), c)
	ofLarge := b.Where(negative, b.Sub(whole, angle), angle)
	ofSmall := b.Where(negative, b.Add(half, angle), b.Sub(half, angle))
	return b.Where(large, ofLarge, ofSmall)
}

// graph writes logp of scores, (n), as nodes.
func (t tail) graph(b *graph.Builder, s graph.Value) graph.Value {
	m := len(t.at)
	num := func(v float64) graph.Value { return b.Number(graph.Double, v) }
	above := b.Sub(num(t.log[m-1]), b.Div(b.Sub(s, num(t.at[m-1])), num(t.scale)))
	above = b.Max(above, num(minLogP))
	inside := num(t.log[0])
	if m > 1 {
		slopes := make([]float64, m-1)
		for i := range slopes {
			slopes[i] = (t.log[i+1] - t.log[i]) / (t.at[i+1] - t.at[i])
		}
		reached := b.Cast(b.AtLeast(b.Unsqueeze(s, 1), b.Doubles(t.at, 1, m)), graph.Float)
		i := b.Sub(b.Sum(reached, 1), b.Number(graph.Float, 1))
		i = b.Op("Clip", []graph.Value{i, b.Floats([]float32{0}), b.Floats([]float32{float32(m - 2)})})
		i = b.Cast(i, graph.Int64)
		at := func(v []float64) graph.Value { return b.Gather(b.Doubles(v, len(v)), i, 0) }
		inside = b.Add(at(t.log[:m-1]), b.Mul(b.Sub(s, at(t.at[:m-1])), at(slopes)))
	}
	low := b.AtLeast(num(t.at[0]), s)
	return b.Where(low, num(t.log[0]), b.Where(b.AtLeast(s, num(t.at[m-1])), above, inside))
}
