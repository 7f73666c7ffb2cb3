package train

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// overlapFrom is from how much arithmetic of the auto-encoder's pass over half a
// batch on it is worth a call of the classifier more: about a millisecond.
const overlapFrom = 50e6

// overlaps reports whether the inner attack works on a batch in halves, one with
// the host and one with the classifier. It goes by what is to be computed alone:
// a classifier whose answers depend on the batch would else give bits that
// depend on the clock. A layer with batch statistics needs the whole batch, and a
// companion learns from what it is asked in order. Noise on the input is drawn for the
// whole batch.
func (a *attacker) overlaps() bool {
	g := a.g
	if g.o.InTurns || a.h.Through != "guard" || a.smooth() {
		return false
	}
	if _, ok := g.o.Classifier.(Companion); ok {
		return false
	}
	for _, p := range g.m.Params() {
		if p.Role == nn.Statistic {
			return false
		}
	}
	_, flops := vae.Total(g.m.Describe())
	return float64(flops)*float64(min(g.o.BatchSize, g.o.Train.N())/2) >= overlapFrom
}

// half is some rows of a batch on their way through the inner attack.
type half struct {
	a        *attacker
	pass     *vae.Pass
	lo, hi   int // of the batch
	x, noise *tensor.Tensor
	rows     []int
	seen     *tensor.Tensor // reconstructions that the classifier is asked about

	dOut, dx view
	xs, eps  tensor.Tensor // what x and noise point to
	room     oracle.Room

	answered chan struct{}
	err      error
	panicked any
}

// newHalf plans a half of up to batch rows; pass may be nil: one of its own.
func newHalf(a *attacker, pass *vae.Pass, batch int) *half {
	rows := (batch + 1) / 2
	if pass == nil {
		pass = a.g.m.NewPass(a.g.k, rows, 1, nn.Training)
	}
	h := &half{a: a, pass: pass, dOut: newView(rows, a.g.p.Example()), dx: newView(rows, a.g.m.Input), answered: make(chan struct{}, 1)}
	h.xs.Shape = append(tensor.Shape{0}, a.g.m.Input...)
	h.eps.Shape = tensor.Shape{0, a.g.m.LatentDim}
	h.x, h.noise = &h.xs, &h.eps
	return h
}

// begin takes rows [lo, hi).
func (h *half) begin(b *batch, x, noise *tensor.Tensor, draw nn.Draw, lo, hi int) {
	h.lo, h.hi, h.rows = lo, hi, b.rows[lo:hi]
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
func (h *half) climb(b *batch, share float64, stepSize float32) {
	dx := h.pass.Backward(h.dx.of(h.hi-h.lo), nil, nil, nil)
	h.a.ascend(h.x, dx, b, h.lo, share, stepSize)
}

// ask starts the classifier's part, there and back. It uses nothing of the
// engine.
func (h *half) ask(ctx context.Context) {
	go func() {
		defer func() {
			h.panicked = recover()
			h.answered <- struct{}{}
		}()
		h.err = h.inquire(ctx)
	}()
}

func (h *half) inquire(ctx context.Context) error {
	c := h.a.g.classifier
	ans, err := c.Forward(ctx, h.seen, &h.room)
	switch {
	case err != nil:
		return err
	case !ans.HasGradient():
		return fmt.Errorf("the classifier %s has no gradient, which this loss needs", c.Info().Name)
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

// wait waits for it.
func (h *half) wait() error {
	<-h.answered
	if h.panicked != nil {
		panic(h.panicked) // where the caller can recover from it
	}
	return h.err
}

// inHalves makes the steps of the inner attack. While the classifier answers one
// half, the host works on the other; never are two calls under way. Rows have
// the bits that they have in a whole batch.
func (a *attacker) inHalves(ctx context.Context, b *batch, x, noise *tensor.Tensor, draw nn.Draw, share float64, stepSize float32) error {
	n := x.N()
	mid := (n + 1) / 2
	a.halves[0].begin(b, x, noise, draw, 0, mid)
	a.halves[1].begin(b, x, noise, draw, mid, n)
	a.halves[0].see()
	turns := 2 * a.h.Steps
	for turn := range turns {
		now, other := a.halves[turn%2], a.halves[1-turn%2]
		now.ask(ctx)
		if turn > 0 { // the other has its answer
			other.climb(b, share, stepSize)
		}
		if turn < turns-1 { // and a further step
			other.see()
		}
		if err := now.wait(); err != nil {
			return err
		}
	}
	a.halves[1].climb(b, share, stepSize)
	return nil
}
