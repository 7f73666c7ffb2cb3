package train

import (
	"context"
	"math"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Rowwise is an Objective whose gradient at a row of Step.Q depends on that row's P and
// Q and its weight alone. A training may then ask the classifier about some rows
// of a batch while others are still on their way.
type Rowwise interface {
	Objective
	// OutputGradient adds to s.DQ what Loss adds there, to the bit. s holds some rows of
	// a batch, with their Weights; of its tensors only X, P, Q and DQ are there.
	OutputGradient(s *Step)
}

// overlapFrom is from how much arithmetic of the auto-encoder's pass over half a
// batch on it is worth a call of the classifier more: about a millisecond.
const overlapFrom = 50e6

// divisible reports whether rows may go to the classifier in parts. It goes by what
// is to be computed alone, not by InTurns: a classifier whose answers depend on the batch
// would else give bits that depend on who looks at the clock. A layer with batch
// statistics needs the whole batch, and a companion learns from what it is asked in order.
func (g *guard) divisible() bool {
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

// parts are the rows of a step, which go forward and to the classifier one part
// after the other: while it answers for one, the host passes the next one forward. The
// way back is that of the whole batch, since a gradient is one chain over its rows. All
// bits are those of a step whose rows stay together.
type parts struct {
	g      *guard
	obj    Rowwise
	bounds []int // part i is rows bounds[i+1] ≤ r < bounds[i]: the last rows come first
	b      *batch
	x      *tensor.Tensor // of all rows, before input_noise

	q, dq, dx view // of all rows
	weights   []float64
	seen      [2]rows // reconstructions of parts, in turns
	in, noise rows
	room      oracle.Room
	aside     oracle.Aside
	asked     int  // which part the classifier has
	s         Step // of it
	cut       [4]rows
}

// rows is a tensor that shows some rows of another.
type rows struct{ t tensor.Tensor }

func (r *rows) of(t *tensor.Tensor, lo, hi int) *tensor.Tensor {
	stride := t.Stride()
	r.t.Shape = append(append(r.t.Shape[:0], hi-lo), t.Shape[1:]...)
	r.t.Data = t.Data[lo*stride : hi*stride]
	return &r.t
}

// newParts plans for steps of up to n rows; nil where they stay together.
func newParts(g *guard, n int) *parts {
	obj, ok := g.obj.(Rowwise)
	if !ok || !g.asks || len(g.hidden) > 0 || n < 2 || !g.divisible() {
		return nil
	}
	return makeParts(g, obj, n)
}

func makeParts(g *guard, obj Rowwise, n int) *parts {
	out := g.p.Example()
	return &parts{g: g, obj: obj, aside: oracle.NewAside(g.o.InTurns), q: newView(n, out), dq: newView(n, out), dx: newView(n, g.m.Input), weights: make([]float64, n)}
}

// begin takes a batch's rows: x is all of them, of which a part need not be ready yet.
func (p *parts) begin(b *batch, x *tensor.Tensor) {
	g, n := p.g, x.N()
	p.b, p.x = b, x
	p.bounds = append(p.bounds[:0], n)
	last := n / 2
	if examples := len(b.rows); n > examples && examples > 1 {
		last = examples / 2 // the attacked rows' last half is ready before the other
	}
	if last > 0 {
		p.bounds = append(p.bounds, n-last)
	}
	p.bounds = append(p.bounds, 0)
	for i := range n {
		p.weights[i] = g.s.Weight(i)
	}
	clear(p.dq.of(n).Data)
	p.q.of(n)
	p.dx.of(n)
	g.noise.of(n)
}

// forward passes part i forward.
func (p *parts) forward(i int) error {
	g, lo, hi := p.g, p.bounds[i+1], p.bounds[i]
	if i == 0 {
		g.pass.SetDraw(nn.Draw{Seed: g.o.Seed ^ streamLayers, Step: uint64(p.b.step), Examples: g.examples})
		g.pass.ParamsOnly(true)
	}
	examples, x := g.examples[lo:hi], p.x
	if g.o.InputNoise > 0 {
		x = &g.input.t
		g.noisy(p.in.of(x, lo, hi), p.cut[0].of(p.x, lo, hi), streamInput, p.b.epoch, examples)
	}
	normal(g.k, p.noise.of(&g.noise.t, lo, hi), g.o.Seed, streamCode, p.b.epoch, examples)
	rebuilt := p.seen[i%2].of(g.pass.ForwardRows(x, &g.noise.t, lo, hi), 0, hi-lo)
	if sum := g.k.SumSquares(rebuilt.Data); math.IsNaN(sum) || math.IsInf(sum, 0) {
		return errRebuilt // the classifier would only say that its input is bad
	}
	return nil
}

// run asks about all parts, of which the first has gone forward, with what error
// err says. late is a half of the inner attack whose last step is to be made; nil: none.
func (p *parts) run(ctx context.Context, err error, late *half) error {
	for i := range len(p.bounds) - 1 {
		if err != nil {
			return err
		}
		p.asked = i
		p.aside.Ask(ctx, p)
		if i == 0 && late != nil {
			late.climb()
		}
		if i+2 < len(p.bounds) {
			err = p.forward(i + 1)
		}
		if err := p.aside.Wait(); err != nil {
			return err
		}
	}
	return err
}

// Inquire implements oracle.Question: there and back.
func (p *parts) Inquire(ctx context.Context) error {
	g, i := p.g, p.asked
	lo, hi := p.bounds[i+1], p.bounds[i]
	x := &p.seen[i%2].t
	a, err := g.classifier.ask(ctx, x, &p.room)
	if err != nil {
		return err
	}
	q := p.cut[1].of(&p.q.t, lo, hi)
	copy(q.Data, a.Output.Data)
	p.s = Step{X: x, P: p.cut[2].of(&g.pRows.t, lo, hi), Q: q, DQ: p.cut[3].of(&p.dq.t, lo, hi), Weights: p.weights[lo:hi]}
	p.obj.OutputGradient(&p.s)
	dx, err := a.Gradient(ctx, p.s.DQ, nil)
	if err != nil {
		return err
	}
	copy(p.dx.t.Data[lo*p.dx.t.Stride():], dx.Data)
	return nil
}
