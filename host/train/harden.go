package train

import (
	"context"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// attacker is the inner attack of hardened training: a few projected gradient
// steps from a random start that raise CE(M(G(x + δ)), argmax M(x)) (Madry et
// al. 2018, arXiv:1706.06083, through the reconstruction).
type attacker struct {
	g        *guard
	h        *Harden
	balls    []Ball
	lo, hi   []float32 // the box: one number or one per feature
	both     view      // (2n): clean rows, then attacked ones
	attacked rows      // the latter
	start    view
	noise    view
	shake    view // with Smooth: the noise that the step adds to the attacked rows
	shaken   view
	dOut     view
	prob     []float64
	radius   []float32
	unit     []float32 // of δ, one for each feature; nil: the input's
	halves   []*half   // two, where host and classifier work at the same time; else none
}

func newAttacker(g *guard, batch int) (*attacker, error) {
	a := &attacker{g: g, h: g.o.Harden, balls: g.o.Harden.balls(), both: newView(2*batch, g.m.Input), noise: newView(batch, tensor.Shape{g.m.LatentDim}),
		start: newView(batch, g.m.Input), dOut: newView(batch, g.p.Example()), prob: make([]float64, g.p.Stride()), radius: make([]float32, 1)}
	a.lo, a.hi = a.h.Lo, a.h.Hi
	if a.lo == nil || a.hi == nil {
		a.lo, a.hi = g.classifier.Info().Lo, g.classifier.Info().Hi
	}
	if len(a.lo) == 0 || len(a.hi) == 0 {
		var err error
		if a.lo, a.hi, err = rangeOf(g.o.Train); err != nil {
			return nil, fmt.Errorf("data.train: %w", err)
		}
	}
	for _, v := range [][]float32{a.lo, a.hi} {
		if len(v) != 1 && len(v) != g.m.Input.Size() {
			return nil, fmt.Errorf("train.harden: the box has %d numbers, want 1 or %d", len(v), g.m.Input.Size())
		}
	}
	if a.smooth() {
		a.shake, a.shaken = newView(batch, g.m.Input), newView(batch, g.m.Input)
	}
	if batch > 1 && a.overlaps() {
		a.halves = []*half{newHalf(a, g.pass, batch), newHalf(a, nil, batch)}
	}
	return a, a.measure()
}

// smooth reports whether the attack goes through noise on the input.
func (a *attacker) smooth() bool { return a.g.o.Smooth && a.g.o.InputNoise > 0 }

// measure finds the unit of δ.
func (a *attacker) measure() (err error) {
	if a.h.EpsUnit == "" {
		return nil
	}
	unit := a.h.Unit
	if unit == nil {
		if unit, err = dataset.Deviations(a.g.o.Train); err != nil {
			return fmt.Errorf("data.train: %w", err)
		}
	}
	if len(unit) != a.g.m.Input.Size() {
		return fmt.Errorf("train.harden: %d deviations for %d features", len(unit), a.g.m.Input.Size())
	}
	for _, s := range unit {
		if !(s > 0) {
			s = 1
		}
		a.unit = append(a.unit, float32(s))
	}
	return nil
}

// rangeOf is the least and the largest number of x.
func rangeOf(x dataset.Examples) (lo, hi []float32, err error) {
	a, b := float32(math.Inf(1)), float32(math.Inf(-1))
	for row, err := range dataset.Each(x) {
		if err != nil {
			return nil, nil, err
		}
		for _, v := range row {
			a, b = min(a, v), max(b, v)
		}
	}
	return []float32{a}, []float32{b}, nil
}

// ramp is the share of the radius at a step: from a fifth of it to all of it
// over the first third of the training.
func ramp(step, total int) float64 {
	return min(1, .2+float64(step)/(.3*float64(total)))
}

// ball is the ball of row i of a batch, at its share of the radius.
func (a *attacker) ball(i int, share float64) (linf bool, eps float32) {
	b := a.balls[i%len(a.balls)]
	return b.Norm == "linf", float32(b.Eps * share)
}

// extend is the batch's rows followed by their attacked versions. The attack in halves
// goes on with the step on them, if next is not nil, and then moved is true.
func (a *attacker) extend(ctx context.Context, b *batch, next *parts) (both *tensor.Tensor, moved bool, err error) {
	g, n := a.g, len(b.rows)
	copy(a.both.of(n).Data, b.x.Data)
	share, stepSize := ramp(b.step, b.total), float32(.75)
	if a.h.Steps == 1 {
		stepSize = 1.25
	}
	delta := a.start.of(n)
	a.randomStart(delta, b, share)
	x := a.both.between(n, 2*n)
	a.place(x.Data, b.x.Data, delta.Data)

	noise := a.noise.of(n)
	normal(g.k, noise, g.o.Seed, streamAttack, b.epoch, b.examples)
	draw := nn.Draw{Seed: g.o.Seed ^ streamAttack, Step: uint64(b.step), Examples: b.examples}
	if len(a.halves) > 0 && n > 1 {
		x = a.attacked.of(x, 0, n)
		if both = a.both.of(2 * n); next != nil {
			g.compare(b, both)
			next.begin(b, both)
		}
		err := a.inHalves(ctx, b, x, noise, draw, share, stepSize, next)
		return both, next != nil, err
	}
	g.pass.SetDraw(draw)
	g.pass.ParamsOnly(false)
	if a.smooth() {
		a.drawShake(b)
	}
	for range a.h.Steps {
		dx, err := a.gradient(ctx, x, noise, b)
		if err != nil {
			return nil, false, err
		}
		a.ascend(x, dx, b, 0, share, stepSize)
	}
	return a.both.of(2 * n), false, nil
}

// drawShake draws the noise that step will add to the attacked rows.
func (a *attacker) drawShake(b *batch) {
	g, shake := a.g, a.shake.of(len(b.rows))
	g.examples = g.examples[:0]
	for _, e := range b.examples {
		g.examples = append(g.examples, g.attacked(e))
	}
	normal(g.k, shake, g.o.Seed, streamInput, b.epoch, g.examples)
	g.k.Scale(shake.Data, shake.Data, float32(g.o.InputNoise), 0)
	g.examples = append(g.examples[:0], b.examples...)
}

// ascend moves rows x, the batch's from first on, along their gradients; δ is
// what they differ by from the clean ones.
func (a *attacker) ascend(x, dx *tensor.Tensor, b *batch, first int, share float64, stepSize float32) {
	stride := x.Stride()
	for i := range x.N() {
		row, clean, d := a.start.data[(first+i)*stride:][:stride], b.x.Row(first+i), dx.Row(i)
		for j, v := range x.Row(i) {
			row[j] = v - clean[j]
		}
		for j, u := range a.unit {
			row[j] /= u
			d[j] *= u // the chain rule has the same factor
		}
		if linf, eps := a.ball(first+i, share); linf {
			ascendSign(row, d, stepSize*eps, eps)
		} else {
			ascendL2(row, d, stepSize*eps, eps)
		}
		a.place(x.Row(i), clean, row)
	}
}

// randomStart draws each row's δ uniformly from its ball.
func (a *attacker) randomStart(delta *tensor.Tensor, b *batch, share float64) {
	a.startIn(delta, b, share, streamStart, streamRadius)
}

// startIn is randomStart with random numbers of other streams.
func (a *attacker) startIn(delta *tensor.Tensor, b *batch, share float64, start, radius uint64) {
	g, d := a.g, delta.Stride()
	key := func(stream uint64) kernel.Key {
		return kernel.Key{Seed: g.o.Seed, Stream: stream + uint64(b.epoch)}
	}
	for i, e := range b.examples {
		row := delta.Row(i)
		linf, eps := a.ball(i, share)
		if linf {
			g.k.Uniform(row, key(start), e*uint64(d))
			g.k.Scale(row, row, 2*eps, -eps)
			continue
		}
		g.k.Normal(row, key(start), e*uint64(d))
		g.k.Uniform(a.radius, key(radius), e)
		scale(row, float64(eps)*math.Pow(float64(a.radius[0]), 1/float64(d))/max(norm(row), 1e-12))
	}
}

// place writes x + δ, kept in the box; a number of x beyond it may move back, no farther out.
func (a *attacker) place(dst, x, delta []float32) {
	for i, v := range x {
		lo, hi, d := a.lo[i%len(a.lo)], a.hi[i%len(a.hi)], delta[i]
		if a.unit != nil {
			d *= a.unit[i%len(a.unit)]
		}
		dst[i] = min(max(v+d, min(lo, v)), max(hi, v))
	}
}

// gradient is that of the rows' summed cross-entropy at the label that the
// classifier gives the clean row.
func (a *attacker) gradient(ctx context.Context, x, noise *tensor.Tensor, b *batch) (*tensor.Tensor, error) {
	g := a.g
	seen := x
	if a.smooth() {
		seen = a.shaken.of(x.N())
		copy(seen.Data, x.Data)
		g.k.Add(seen.Data, a.shake.of(x.N()).Data)
	}
	if a.h.Through == "guard" {
		seen, _, _ = g.pass.Forward(seen, noise)
	}
	ans, err := g.classifier.forward(ctx, seen)
	if err != nil {
		return nil, err
	}
	dOut := a.dOut.of(x.N())
	a.cotangents(dOut, ans.Output, b.rows)
	dx, err := g.classifier.pull(ctx, ans, dOut, nil)
	if err != nil || a.h.Through != "guard" {
		return dx, err
	}
	return g.pass.Backward(dx, nil, nil, nil), nil
}

// cotangents are the gradients of the cross-entropies of rows.
func (a *attacker) cotangents(d, out *tensor.Tensor, rows []int) {
	for i, r := range rows {
		a.crossEntropy(d.Row(i), out.Row(i), oracle.Argmax(a.g.p.Row(r)))
	}
}

// crossEntropy writes the gradient of −ln Q[label] at one row of outputs.
func (a *attacker) crossEntropy(d, q []float32, label int) {
	if a.g.classifier.Info().Output == sdk.Probabilities {
		clear(d)
		d[label] = float32(-1 / max(float64(q[label]), oracle.Floor))
		return
	}
	oracle.LogProbabilities(a.prob, q, sdk.Logits, 1)
	for j, l := range a.prob {
		d[j] = float32(math.Exp(l))
	}
	d[label]--
}

// ascendSign is a step along the gradient's sign, projected onto the L∞ ball.
func ascendSign(delta, g []float32, step, eps float32) {
	for j, v := range g {
		switch {
		case v > 0:
			delta[j] += step
		case v < 0:
			delta[j] -= step
		}
		delta[j] = min(max(delta[j], -eps), eps)
	}
}

// ascendL2 is a step along the gradient, projected onto the L2 ball.
func ascendL2(delta, g []float32, step, eps float32) {
	if n := norm(g); n > 0 {
		f := float64(step) / n
		for j, v := range g {
			delta[j] += float32(f * float64(v))
		}
	}
	if n := norm(delta); n > float64(eps) {
		scale(delta, float64(eps)/n)
	}
}

func norm(v []float32) float64 {
	sum := 0.0
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

func scale(v []float32, f float64) {
	for i, x := range v {
		v[i] = float32(f * float64(x))
	}
}

// decay is the factor of the learning rate in hardened training: down to a
// twentieth over the last two fifths.
func (h *Harden) decay(step, total int) float64 {
	if h == nil || float64(step) <= .6*float64(total) {
		return 1
	}
	return max(.05, float64(total-step)/(.4*float64(total)))
}
