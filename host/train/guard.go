package train

import (
	"context"
	"errors"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// learner is what the loop trains.
type learner interface {
	params() []*nn.Param
	// reports are the metrics whose values step and validate write after the
	// loss.
	reports() []NamedMetric
	// step adds the gradients of a batch's loss to g.
	step(ctx context.Context, b *batch, g *nn.Grads, values []float64) error
	// validate measures the validation rows, with the same names.
	validate(ctx context.Context, values []float64) error
	// underflows counts since the last call.
	underflows() int
	// differentiates reports whether steps need gradients of the classifier.
	differentiates() bool
}

// guard trains an auto-encoder.
type guard struct {
	o          *Options
	k          *kernel.Engine
	m          *vae.Model
	obj        Objective
	asks       bool        // the loss reads the classifier
	classifier *classifier // nil: not needed
	metrics    []NamedMetric
	rows       []float64

	p, valP           *tensor.Tensor   // the classifier's outputs, once
	unasked           *unasked         // rows whose answers p lacks; nil: there is no such
	hidden, valHidden []*tensor.Tensor // heads' logits, once
	factors           rowWeights       // of class_weight

	pass, valPass *vae.Pass
	valChunks     [2]*chunk // of validation rows, in turns
	attack        *attacker // nil: no hardening
	parts         *parts    // nil: all rows of a step go to the classifier at once
	proof         *proof    // nil: how robust it is is not measured
	s             Step
	front         front
	under         int

	target, input, noise, unit view
	pRows, dQ                  view
	hiddenRows, dHidden        []view
	dUnit, dClassifier         view
	dMu, dLogVar               view
	weights                    []float64
	examples                   []uint64
}

func newGuard(ctx context.Context, o *Options) (*guard, error) {
	g := &guard{o: o, k: o.Engine, m: o.Model}
	batch := min(o.BatchSize, o.Train.N())
	setup := &o.Setup
	setup.X = o.Train
	if f := o.Model.Normalize; f != nil {
		setup.Scale, setup.Offset = f.Scale(), f.Offset()
	}
	setup.Recon, setup.SumELBO = o.Recon, o.ELBOReduction == "sum"
	setup.HiddenWeights = nil
	for _, h := range o.Hidden {
		setup.HiddenWeights = append(setup.HiddenWeights, h.Weight)
	}
	rows := batch
	if o.Harden != nil {
		rows = 2 * batch
	}
	if o.Classifier != nil {
		info, err := o.Classifier.Info(ctx)
		if err != nil {
			return nil, wrap(err)
		}
		setup.Output = info.Output
	}
	setup.plain = NewDivergence(setup.Output, 1, 0)
	var err error
	if g.obj, err = o.Loss.Make(*setup); err != nil {
		return nil, err
	}
	g.asks = g.obj.UsesClassifier() || o.Harden != nil
	if c, ok := o.Classifier.(Companion); ok && g.asks {
		if err := c.Prepare(ctx); err != nil {
			return nil, wrap(err)
		}
	}
	if err := g.consult(ctx, rows); err != nil {
		return nil, err
	}
	g.plan(rows)
	g.parts = newParts(g, rows)
	if o.Validation != nil {
		g.valPass = g.m.NewPass(g.k, min(o.BatchSize, o.Validation.N()), 1, nn.Inference)
	}
	if o.Harden != nil {
		if g.attack, err = newAttacker(g, batch); err == nil {
			g.proof = newProof(g)
		}
	}
	return g, err
}

// consult asks the classifier, once for each row, if anything needs it.
func (g *guard) consult(ctx context.Context, rows int) error {
	o := g.o
	if g.asks {
		g.metrics = own()
	}
	needed := g.asks
	for _, m := range o.metrics() {
		needed = needed || m.Metric.UsesClassifier()
	}
	g.metrics = add(g.metrics, o.metrics())
	if !needed && !o.ClassWeight.given() {
		return nil
	}
	var heads []oracle.Head
	if g.asks {
		heads = o.Hidden
	}
	size := max(rows, 256)
	var err error
	if g.classifier, err = newClassifier(ctx, o.Classifier, g.k, heads, size); err != nil {
		return err
	}
	report := func(done, of int) {
		if o.Events != nil {
			o.Events(Event{Stage: StagePredict, Epochs: o.Epochs, Step: done, Steps: of})
		}
	}
	if due(o) {
		g.unasked = newUnasked(g, heads)
	} else if g.p, g.hidden, err = g.classifier.table(ctx, o.Train, size, report); err != nil {
		return err
	}
	if o.Validation != nil {
		if g.valP, g.valHidden, err = g.classifier.table(ctx, dataset.InMemory(o.Validation), size, func(int, int) {}); err != nil {
			return err
		}
	}
	if g.factors, err = o.weigh(ctx, g.p, g.valP); !needed { // any more
		g.classifier, g.p, g.valP = nil, nil, nil
	}
	return err
}

// plan takes the memory of a step of up to rows rows.
func (g *guard) plan(rows int) {
	in, d := g.m.Input, tensor.Shape{g.m.LatentDim}
	g.pass = g.m.NewPass(g.k, rows, 1, nn.Training)
	g.rows = make([]float64, rows)
	g.noise, g.dMu, g.dLogVar = newView(rows, d), newView(rows, d), newView(rows, d)
	g.dUnit = newView(rows, in)
	if g.o.Harden != nil {
		g.target = newView(rows, in)
	}
	if g.o.Harden != nil || g.factors.train != nil {
		g.weights = make([]float64, rows)
	}
	g.examples = make([]uint64, 0, rows)
	if g.o.InputNoise > 0 {
		g.input = newView(rows, in)
	}
	if g.m.Normalize != nil {
		g.unit, g.dClassifier = newView(rows, in), newView(rows, in)
	}
	if g.classifier == nil {
		return
	}
	g.pRows, g.dQ = newView(rows, g.p.Example()), newView(rows, g.p.Example())
	for _, h := range g.hidden {
		g.hiddenRows = append(g.hiddenRows, newView(rows, h.Example()))
		g.dHidden = append(g.dHidden, newView(rows, h.Example()))
	}
	g.s.HiddenP = make([]*tensor.Tensor, len(g.hidden))
	g.s.DHiddenQ = make([]*tensor.Tensor, len(g.hidden))
}

func (g *guard) params() []*nn.Param { return g.m.Params() }

func (g *guard) reports() []NamedMetric { return g.metrics }

func (g *guard) differentiates() bool { return g.asks }

func (g *guard) underflows() int {
	n := g.under
	g.under = 0
	return n
}

// errRebuilt is the fault of a batch, or of the params, and not of the classifier.
var errRebuilt = errors.New("the reconstruction is not finite")

// step implements learner.
func (g *guard) step(ctx context.Context, b *batch, grads *nn.Grads, values []float64) error {
	x, n, moved := b.x, len(b.rows), false
	s := &g.s
	if err := g.unasked.ask(ctx, b); err != nil {
		return err
	}
	if g.attack != nil {
		var err error
		if x, moved, err = g.attack.extend(ctx, b, g.parts); err != nil {
			return err
		}
	}
	if !moved {
		g.compare(b, x)
	}
	rows := x.N()
	var mu, logvar, dx *tensor.Tensor
	var err error
	if g.parts != nil {
		if !moved {
			g.parts.begin(b, x)
			err = g.parts.run(ctx, g.parts.forward(0), nil)
		}
		if err != nil {
			return err
		}
		s.Rebuilt, mu, logvar = g.pass.Join(rows)
		s.Q, dx = &g.parts.q.t, &g.parts.dx.t
		g.evidence()
		values[0] = g.obj.Loss(s)
	} else {
		if mu, logvar, err = g.forward(b, x); err != nil {
			return err
		}
		g.evidence()
		a, err := g.ask(ctx, s)
		if err != nil {
			return err
		}
		values[0] = g.obj.Loss(s)
		if g.asks {
			if dx, err = g.classifier.pull(ctx, a, s.DQ, s.DHiddenQ); err != nil {
				return err
			}
		}
	}
	g.under += s.Underflows
	s.Underflows = 0
	if dx != nil {
		if f := g.m.Normalize; f != nil {
			d := g.dClassifier.of(rows)
			f.Gradient(g.k, d, dx)
			dx = d
		}
		g.k.Add(s.DUnitRebuilt.Data, dx.Data)
	}
	dMu, dLogVar := g.latent(s, mu, logvar, &values[0])
	g.pass.BackwardRaw(s.DUnitRebuilt, dMu, dLogVar, grads)
	g.measure(s, n, values[1:], 1)
	return nil
}

// compare says of the rows x of a batch, the attacked ones last, what they are
// compared with, and their weights.
func (g *guard) compare(b *batch, x *tensor.Tensor) {
	s, n := &g.s, len(b.rows)
	s.X, s.Count = b.x, n
	g.examples = append(g.examples[:0], b.examples...)
	if x.N() == n {
		s.Weights = g.plain(b)
	} else {
		s.X = g.target.of(2 * n)
		copy(s.X.Data, b.x.Data)
		copy(s.X.Data[len(b.x.Data):], b.x.Data)
		s.Weights = g.share(b)
		for _, e := range b.examples {
			g.examples = append(g.examples, g.attacked(e))
		}
	}
	g.recall(b)
}

// forward passes all rows forward.
func (g *guard) forward(b *batch, x *tensor.Tensor) (mu, logvar *tensor.Tensor, err error) {
	rows := x.N()
	if g.o.InputNoise > 0 {
		x = g.noisy(g.input.of(rows), x, streamInput, b.epoch, g.examples)
	}
	noise := g.noise.of(rows)
	normal(g.k, noise, g.o.Seed, streamCode, b.epoch, g.examples)
	g.pass.SetDraw(nn.Draw{Seed: g.o.Seed ^ streamLayers, Step: uint64(b.step), Examples: g.examples})
	g.pass.ParamsOnly(true)
	g.s.Rebuilt, mu, logvar = g.pass.Forward(x, noise)
	if sum := g.k.SumSquares(g.s.Rebuilt.Data); g.asks && (math.IsNaN(sum) || math.IsInf(sum, 0)) {
		return nil, nil, errRebuilt // the classifier would only say that its input is bad
	}
	return mu, logvar, nil
}

// evidence completes what compare and a pass forward leave for the loss.
func (g *guard) evidence() {
	s := &g.s
	s.UnitX, s.UnitRebuilt = g.units(s.X, g.pass)
	s.DUnitRebuilt = g.dUnit.of(s.N())
	clear(s.DUnitRebuilt.Data)
}

// attacked is the key of the noise of an example's attacked row.
func (g *guard) attacked(example uint64) uint64 { return example + uint64(g.o.Train.N()) }

// noisy is dst: x with noise of input_noise.
func (g *guard) noisy(dst, x *tensor.Tensor, stream uint64, epoch int, examples []uint64) *tensor.Tensor {
	normal(g.k, dst, g.o.Seed, stream, epoch, examples)
	g.k.Scale(dst.Data, dst.Data, float32(g.o.InputNoise), 0)
	g.k.Add(dst.Data, x.Data)
	return dst
}

// plain are the rows' weights without hardening; nil: alike.
func (g *guard) plain(b *batch) []float64 {
	if g.factors.train == nil {
		return nil
	}
	n := len(b.rows)
	for i, r := range b.rows {
		g.weights[i] = g.factors.train[r] / float64(n)
	}
	return g.weights[:n]
}

// share are the rows' weights in hardened training.
func (g *guard) share(b *batch) []float64 {
	n, w := len(b.rows), g.o.Harden.Weight
	ws := g.weights[:2*n]
	for i, r := range b.rows {
		ws[i], ws[n+i] = (1-w)/float64(n), w/float64(n)
		if f := g.factors.train; f != nil {
			ws[i], ws[n+i] = ws[i]*f[r], ws[n+i]*f[r]
		}
	}
	return ws
}

// units are x and the pass's reconstruction in the model's units.
func (g *guard) units(x *tensor.Tensor, p *vae.Pass) (ux, rebuilt *tensor.Tensor) {
	f := g.m.Normalize
	if f == nil {
		return x, p.Raw()
	}
	ux = g.unit.of(x.N())
	f.Apply(g.k, ux, x)
	return ux, p.Raw()
}
