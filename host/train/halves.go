package train

import (
	"context"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// overlaps reports whether the inner attack works on a batch in halves, one with
// the host and one with the classifier. Noise on the input is drawn for the whole batch.
func (a *attacker) overlaps() bool {
	return a.h.Through == "guard" && !a.smooth() && a.g.divisible()
}

// half is some rows of a batch on their way through the inner attack.
type half struct {
	a        *attacker
	pass     *vae.Pass
	lo, hi   int // of the batch
	b        *batch
	share    float64
	stepSize float32
	x, noise *tensor.Tensor
	rows     []int
	seen     *tensor.Tensor // reconstructions that the classifier is asked about

	dOut, dx view
	xs, eps  tensor.Tensor // what x and noise point to
	room     oracle.Room
	aside    oracle.Aside
}

// newHalf plans a half of up to batch rows; pass may be nil: one of its own.
func newHalf(a *attacker, pass *vae.Pass, batch int) *half {
	rows := (batch + 1) / 2
	if pass == nil {
		pass = a.g.m.NewPass(a.g.k, rows, 1, nn.Training)
	}
	h := &half{a: a, pass: pass, dOut: newView(rows, a.g.p.Example()), dx: newView(rows, a.g.m.Input), aside: oracle.NewAside(a.g.o.InTurns)}
	h.xs.Shape = append(tensor.Shape{0}, a.g.m.Input...)
	h.eps.Shape = tensor.Shape{0, a.g.m.LatentDim}
	h.x, h.noise = &h.xs, &h.eps
	return h
}

// begin takes rows [lo, hi).
func (h *half) begin(b *batch, x, noise *tensor.Tensor, draw nn.Draw, lo, hi int, share float64, stepSize float32) {
	h.lo, h.hi, h.rows = lo, hi, b.rows[lo:hi]
	h.b, h.share, h.stepSize = b, share, stepSize
	for _, t := range []struct{ to, from *tensor.Tensor }{{h.x, x}, {h.noise, noise}} {
		stride := t.from.Stride()
		t.to.Shape[0], t.to.Data = hi-lo, t.from.Data[lo*stride:hi*stride]
	}
	draw.Examples = draw.Examples[lo:hi]
	h.pass.SetDraw(draw)
	h.pass.ParamsOnly(false)
}

// see is the host's way there.
func (h *half) see() { h.seen, _, _ = h.pass.Forward(h.x, h.noise) }

// climb is the host's way back, and a step.
func (h *half) climb() {
	dx := h.pass.Backward(h.dx.of(h.hi-h.lo), nil, nil, nil)
	h.a.ascend(h.x, dx, h.b, h.lo, h.share, h.stepSize)
}

// Inquire implements oracle.Question: there and back.
func (h *half) Inquire(ctx context.Context) error {
	ans, err := h.a.g.classifier.ask(ctx, h.seen, &h.room)
	if err != nil {
		return err
	}
	dOut := h.dOut.of(h.seen.N())
	h.a.cotangents(dOut, ans.Output, h.rows)
	dx, err := ans.Gradient(ctx, dOut, nil)
	if err != nil {
		return err
	}
	copy(h.dx.of(h.seen.N()).Data, dx.Data)
	return nil
}

// inHalves makes the steps of the inner attack. While the classifier answers one
// half, the host works on the other; never are two calls under way. Rows have
// the bits that they have in a whole batch. next, if not nil, is the step on what was
// attacked: its parts go forward and to the classifier as soon as they are ready.
func (a *attacker) inHalves(ctx context.Context, b *batch, x, noise *tensor.Tensor, draw nn.Draw, share float64, stepSize float32, next *parts) error {
	n := x.N()
	mid := n - n/2
	a.halves[0].begin(b, x, noise, draw, mid, n, share, stepSize) // the last rows first, as parts have them
	a.halves[1].begin(b, x, noise, draw, 0, mid, share, stepSize)
	a.halves[0].see()
	turns := 2 * a.h.Steps
	var lost error
	for turn := range turns {
		now, other := a.halves[turn%2], a.halves[1-turn%2]
		now.aside.Ask(ctx, now)
		if turn > 0 { // the other has its answer
			other.climb()
		}
		if turn < turns-1 { // and a further step
			other.see()
		} else if next != nil {
			lost = next.forward(0)
		}
		if err := now.aside.Wait(); err != nil {
			return err
		}
	}
	if next != nil {
		return next.run(ctx, lost, a.halves[1])
	}
	a.halves[1].climb()
	return nil
}
