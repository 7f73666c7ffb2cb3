package detect

import (
	"context"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// view is all that is known of a batch of n instances.
type view struct {
	x       *tensor.Tensor
	noise   *tensor.Tensor // (S, latent) or nil
	samples int
	second  Second         // Rebuilt is x', nil: x' is x
	all     *tensor.Tensor // x, then x': what the classifier is asked about

	answer     oracle.Answer  // of the classifier on x, then x': n + n·S rows
	outP, outR *tensor.Tensor // its outputs on x and x'; outR is outP if x' is x
	lost       []bool         // instances whose x' is not finite, with x in its place; nil: none, and one is an error
	votes      bool           // x' are copies that vote, each by itself
	voids      []bool         // those of them that are not finite, and vote for no class; nil: none
	gradients  bool           // the way back was asked for

	evidence Evidence
}

// second takes the second opinion: what the host does before the classifier is
// asked. An instance whose reconstruction is not finite is an error of its row,
// unless lost has a place to mark it.
func (d *Detector) second(ctx context.Context, p *pass, x, noise *tensor.Tensor, gradients bool, lost []bool) (*view, error) {
	v := &view{x: x, noise: noise, samples: d.samples, gradients: gradients, lost: lost, votes: d.voting != nil}
	n := x.N()
	v.all = x
	if d.rebuilds() {
		if noise != nil {
			v.samples = noise.N()
		}
		v.all = tensor.Batch(n*(1+v.samples), d.input)
		copy(v.all.Data, x.Data)
		v.second.Rebuilt = v.all.Rows(n, v.all.N())
	}
	if d.form.Logits {
		v.second.Logits = tensor.New(n, d.info.NumClasses)
	}
	if d.form.Code > 0 {
		v.second.Code = tensor.New(n, d.form.Code)
	}
	d.opine(ctx, p, v)
	return v, v.checkRebuilt()
}

// inquire asks the classifier once, on inputs and reconstructions together, or on
// reconstructions alone where its answer on the inputs is given. It uses
// nothing of a pass, so that the pass may work on other rows meanwhile.
func (d *Detector) inquire(ctx context.Context, v *view, given *tensor.Tensor) error {
	if !v.gradients && (given != nil || d.o.Rebuilt != nil) {
		return d.askApart(ctx, v, v.all, given)
	}
	return d.ask(ctx, v, v.all)
}

// opine takes the second opinion.
func (d *Detector) opine(ctx context.Context, p *pass, v *view) {
	if ctx.Value(stepKey{}) == nil {
		p.second.Forward(&v.second, v.x, v.noise)
		return
	}
	if _, ok := p.second.(*coding); ok {
		v.second.ctx = ctx
	} else {
		_, end := begin(ctx, "opinion")
		defer end(nil)
	}
	p.second.Forward(&v.second, v.x, v.noise)
}

// checkRebuilt finds reconstructions that are not finite, as of an input far
// outside of what the auto-encoder was trained on. The classifier would refuse
// them, and with them the whole batch: the input takes their place, or it is an error.
// Of copies that vote only those that are not finite are replaced, and are void.
func (v *view) checkRebuilt() error {
	if v.second.Rebuilt == nil {
		return nil
	}
	stride := v.second.Rebuilt.Stride()
	for i, f := range v.second.Rebuilt.Data {
		if f-f != 0 { // NaN or an infinity
			if at := i / stride / v.samples; v.lost != nil {
				if v.votes {
					v.spoil(i / stride)
					copy(v.second.Rebuilt.Row(i/stride), v.x.Row(at))
					v.lost[at] = true
					continue
				}
				if v.lost[at] {
					continue
				}
				v.lost[at] = true
				for s := range v.samples {
					copy(v.second.Rebuilt.Row(at*v.samples+s), v.x.Row(at))
				}
				continue
			}
			return &RowError{Row: i / stride / v.samples, Message: "its reconstruction is not finite: the input is far from what the detector was trained on"}
		}
	}
	return nil
}

// still clears the gradients dx of lost rows.
func (v *view) still(dx *tensor.Tensor) {
	for i, lost := range v.lost {
		if lost {
			clear(dx.Row(i))
		}
	}
}

// void reports whether copy r of all is, and so votes for no class.
func (v *view) void(r int) bool { return v.voids != nil && v.voids[r] }

// spoil makes copy r of all void.
func (v *view) spoil(r int) {
	if v.voids == nil {
		v.voids = make([]bool, v.x.N()*v.samples)
	}
	v.voids[r] = true
}

// ask sends all rows to the classifier in one call.
func (d *Detector) ask(ctx context.Context, v *view, all *tensor.Tensor) (err error) {
	name := "P and Q"
	if v.second.Rebuilt == nil {
		name = "P"
	}
	ctx, end := begin(ctx, name)
	defer func() { end(err) }()
	if v.gradients {
		v.answer, err = d.oracle.Forward(ctx, all, nil)
	} else {
		v.answer, err = d.oracle.Predict(ctx, all, nil)
	}
	if err != nil {
		return err
	}
	out, n := v.answer.Output, v.x.N()
	v.outP, v.outR = out.Rows(0, n), out.Rows(0, n)
	if v.second.Rebuilt != nil {
		v.outR = out.Rows(n, all.N())
	}
	return nil
}

// gather makes the evidence that scores read.
func (d *Detector) gather(e *kernel.Engine, v *view) {
	n, k := v.x.N(), d.info.NumClasses
	ev := Evidence{Samples: v.samples, X: v.x, Rebuilt: v.second.Rebuilt, Clip: d.o.Clip,
		LogP: tensor.New(n, k), ZP: v.outP, ZQ: v.outR}
	ev.LogPT = ev.LogP
	if d.o.Temperature != 1 {
		ev.LogPT = tensor.New(n, k)
	}
	row := make([]float64, k)
	for i := range n {
		d.read.LogP(row, v.outP.Row(i))
		d.read.Store(ev.LogP.Row(i), row)
		if d.o.Temperature != 1 {
			d.read.Sharpen(row)
			d.read.Store(ev.LogPT.Row(i), row)
		}
	}
	ev.LogQ = ev.LogP
	source, reader := v.outR, d.read
	if v.second.Logits != nil {
		source, reader, ev.ZQ = v.second.Logits, d.read.Logits(), v.second.Logits
	}
	if source != v.outR || v.second.Rebuilt != nil {
		ev.LogQ = tensor.New(source.N(), k)
		for i := range source.N() {
			reader.LogP(row, source.Row(i))
			reader.Store(ev.LogQ.Row(i), row)
		}
	}
	ev.TopP, ev.TopQ = tops(v.outP), tops(source)
	if d.read.Kind == sdk.Probabilities {
		ev.ZP = ev.LogP
		if v.second.Logits == nil {
			ev.ZQ = ev.LogQ
		}
	}
	for j, h := range d.o.Hidden {
		logp := h.LogP(e, v.answer.Hidden[j], d.read)
		ev.HiddenP = append(ev.HiddenP, logp.Rows(0, n))
		ev.HiddenQ = append(ev.HiddenQ, logp.Rows(n, logp.N()))
		ev.HiddenWeights = append(ev.HiddenWeights, h.Weight)
	}
	v.evidence = ev
}

// tops are the rows' first classes.
func tops(t *tensor.Tensor) []int {
	out := make([]int, t.N())
	for i := range out {
		out[i] = oracle.Argmax(t.Row(i))
	}
	return out
}
