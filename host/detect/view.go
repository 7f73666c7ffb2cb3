package detect

import (
	"context"
	"fmt"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// outputter is a classifier that gives hidden layers without keeping a tape.
type outputter interface {
	Outputs(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, error)
}

// view is all that is known of a batch of n instances.
type view struct {
	x       *tensor.Tensor
	noise   *tensor.Tensor // (S, latent) or nil
	samples int
	mean    *tensor.Tensor // of the codes, (n, latent), or nil
	rebuilt *tensor.Tensor // (n·S, example…); nil: x' is x

	outP, outR   *tensor.Tensor   // the classifier's answers on x and x'; outR is outP if x' is x
	student      *tensor.Tensor   // (n, classes) logits, or nil
	hidden       []*tensor.Tensor // per head: the layer on x, then on x', (n + n·S, features)
	hiddenShapes []tensor.Shape   // as the classifier gave them
	pull         sdk.Pullback     // of the classifier on x, then x'
	gradients    bool             // pull was asked for

	evidence Evidence
}

// look rebuilds x and asks the classifier once, on inputs and reconstructions
// together. With gradients it keeps the way back.
func (d *Detector) look(ctx context.Context, p *pass, x, noise *tensor.Tensor, gradients bool) (*view, error) {
	v := &view{x: x, noise: noise, samples: d.samples, gradients: gradients}
	n, stride := x.N(), x.Stride()
	all := x
	if d.rebuilds() {
		if noise != nil {
			v.samples = noise.N()
		}
		all = tensor.Batch(n*(1+v.samples), d.input)
		copy(all.Data, x.Data)
		v.rebuilt = all.Rows(n, all.N())
		if d.o.Method == Squeezing {
			for r := range n * v.samples {
				d.o.Squeezers[r%v.samples].Squeeze(v.rebuilt.Row(r), all.Data[r/v.samples*stride:][:stride], d.input)
			}
		} else {
			v.mean = tensor.New(n, d.latent)
			p.coder.rebuild(v.rebuilt, v.mean, x, noise)
			if err := v.checkRebuilt(); err != nil {
				return nil, err
			}
		}
	}
	if d.o.Method == Distillation {
		v.student = tensor.New(n, d.info.NumClasses)
		var err error
		blocks(n, rows, func(lo, hi int) {
			z := p.runner.Forward(x.Rows(lo, hi))
			if z.Stride() != d.info.NumClasses {
				err = fmt.Errorf("the student answers %d classes, the classifier has %d", z.Stride(), d.info.NumClasses)
				return
			}
			copy(v.student.Rows(lo, hi).Data, z.Data)
		})
		if err != nil {
			return nil, err
		}
	}
	if err := d.ask(ctx, v, all); err != nil {
		return nil, err
	}
	d.gather(p.engine, v)
	return v, nil
}

// checkRebuilt refuses reconstructions that are not finite, as of an input far
// outside of what the auto-encoder was trained on. The classifier would refuse
// them too, and with them the whole batch.
func (v *view) checkRebuilt() error {
	stride := v.rebuilt.Stride()
	for i, f := range v.rebuilt.Data {
		if f-f != 0 { // NaN or an infinity
			return &RowError{Row: i / stride / v.samples, Message: "its reconstruction is not finite: the input is far outside of what the guard was trained on"}
		}
	}
	return nil
}

// ask sends all rows to the classifier in one call.
func (d *Detector) ask(ctx context.Context, v *view, all *tensor.Tensor) error {
	names := []string{sdk.Output}
	for _, h := range d.o.Hidden {
		names = append(names, sdk.HiddenPrefix+h.Name)
	}
	outs, err := map[string]*tensor.Tensor(nil), error(nil)
	switch c := d.o.Classifier.(type) {
	case sdk.Forwarder:
		if o, ok := d.o.Classifier.(outputter); ok && !v.gradients {
			outs, err = o.Outputs(ctx, all, names...)
		} else if !v.gradients && len(names) == 1 {
			outs, err = predict(ctx, c, all)
		} else {
			outs, v.pull, err = c.Forward(ctx, all, names...)
		}
	case outputter:
		outs, err = c.Outputs(ctx, all, names...)
	default:
		outs, err = predict(ctx, d.o.Classifier, all)
	}
	if err != nil {
		return fmt.Errorf("classifier: %w", err)
	}
	if g, ok := d.o.Classifier.(sdk.Differentiable); ok && v.gradients && v.pull == nil && len(names) == 1 && d.info.Gradient != sdk.NoGradient {
		v.pull = func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
			return g.Gradient(ctx, all, cots[sdk.Output])
		}
	}
	out, n := outs[sdk.Output], v.x.N()
	if out == nil || len(out.Shape) != 2 || out.N() != all.N() || out.Stride() != d.info.NumClasses {
		return fmt.Errorf("classifier: want %d×%d outputs", all.N(), d.info.NumClasses)
	}
	v.outP, v.outR = out.Rows(0, n), out.Rows(0, n)
	if v.rebuilt != nil {
		v.outR = out.Rows(n, all.N())
	}
	for _, h := range d.o.Hidden {
		t := outs[sdk.HiddenPrefix+h.Name]
		if t == nil || t.N() != all.N() || t.Stride() != h.Kernel.N() {
			return fmt.Errorf("classifier: hidden layer %s: want %d×%d", h.Name, all.N(), h.Kernel.N())
		}
		v.hidden = append(v.hidden, t.Reshape(all.N(), t.Stride()))
		v.hiddenShapes = append(v.hiddenShapes, t.Shape)
	}
	return nil
}

func predict(ctx context.Context, c sdk.Classifier, x *tensor.Tensor) (map[string]*tensor.Tensor, error) {
	y, err := c.Predict(ctx, x)
	return map[string]*tensor.Tensor{sdk.Output: y}, err
}

// gather makes the evidence that scores read.
func (d *Detector) gather(e *kernel.Engine, v *view) {
	n, k := v.x.N(), d.info.NumClasses
	ev := Evidence{Samples: v.samples, X: v.x, Rebuilt: v.rebuilt, Clip: d.o.Clip,
		LogP: tensor.New(n, k), ZP: v.outP, ZQ: v.outR}
	ev.LogPT = ev.LogP
	if d.o.Temperature != 1 {
		ev.LogPT = tensor.New(n, k)
	}
	row := make([]float64, k)
	for i := range n {
		d.read.logp(row, v.outP.Row(i))
		d.read.store(ev.LogP.Row(i), row)
		if d.o.Temperature != 1 {
			d.read.sharpen(row)
			d.read.store(ev.LogPT.Row(i), row)
		}
	}
	ev.LogQ = ev.LogP
	source, reader := v.outR, d.read
	if v.student != nil {
		source, reader.kind, ev.ZQ = v.student, sdk.Logits, v.student
	}
	if source != v.outR || v.rebuilt != nil {
		ev.LogQ = tensor.New(source.N(), k)
		for i := range source.N() {
			reader.logp(row, source.Row(i))
			reader.store(ev.LogQ.Row(i), row)
		}
	}
	if d.read.kind == sdk.Probabilities {
		ev.ZP = ev.LogP
		if v.student == nil {
			ev.ZQ = ev.LogQ
		}
	}
	for j, h := range d.o.Hidden {
		logp := h.forward(e, v.hidden[j], d.read)
		ev.HiddenP = append(ev.HiddenP, logp.Rows(0, n))
		ev.HiddenQ = append(ev.HiddenQ, logp.Rows(n, logp.N()))
		ev.HiddenWeights = append(ev.HiddenWeights, h.Weight)
	}
	v.evidence = ev
}

// forward is log-softmax(hidden·kernel), (rows, units).
func (h Head) forward(e *kernel.Engine, hidden *tensor.Tensor, r reading) *tensor.Tensor {
	rows, units := hidden.N(), h.Kernel.Stride()
	out := tensor.New(rows, units)
	e.Gemm(out.Data, units, kernel.Dense(hidden.Data, rows, hidden.Stride()),
		kernel.Dense(h.Kernel.Data, h.Kernel.N(), units), kernel.Epilogue{})
	r.kind = sdk.Logits
	row := make([]float64, units)
	for i := range rows {
		r.logp(row, out.Row(i))
		r.store(out.Row(i), row)
	}
	return out
}

// backward is the gradient at hidden, from dlogp at forward's result.
func (h Head) backward(e *kernel.Engine, hidden, dlogp *tensor.Tensor, r reading) *tensor.Tensor {
	rows, units, features := hidden.N(), h.Kernel.Stride(), h.Kernel.N()
	z, dz := tensor.New(rows, units), tensor.New(rows, units)
	e.Gemm(z.Data, units, kernel.Dense(hidden.Data, rows, features),
		kernel.Dense(h.Kernel.Data, features, units), kernel.Epilogue{})
	r.kind = sdk.Logits
	for i := range rows {
		r.pull(dz.Row(i), z.Row(i), dlogp.Row(i), nil)
	}
	dh := tensor.New(rows, features)
	e.Gemm(dh.Data, features, kernel.Dense(dz.Data, rows, units),
		kernel.Dense(h.Kernel.Data, features, units).T(), kernel.Epilogue{})
	return dh
}
