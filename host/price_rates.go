package host

import (
	"context"
	"encoding/json"
	"maps"
	"time"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	// callTime is what a call of a classifier in another process takes besides its work.
	callTime = 250 * time.Microsecond
	// askedRows is how many rows a source of gradients asks about at once.
	askedRows = 1000
	// priceTime is how long one kind of work is measured.
	priceTime = 60 * time.Millisecond
	// startTime is what processes, files and the report take.
	startTime = time.Second
)

// rates are what a row takes, in seconds.
type rates struct {
	fit                         float64 // of the classifier's training, an epoch
	epochs                      float64 // of that, where the spec does not say
	predict, gradient           float64 // of the classifier; a gradient with the answer
	many                        float64 // an answer of the classifier among a thousand
	forward, backward, backRows float64 // of the auto-encoder: forward, back to params, back to rows alone
	rebuild                     float64 // of the auto-encoder when scoring: one reconstruction
	score                       float64 // the same, all samples or votes
	step                        float64 // of the optimiser, a step
	samples                     float64 // or votes
	proofs                      float64 // noisy copies that a certificate rests on; 0: there are none
	learn                       float64 // of a surrogate's training, an example
	source                      gradient.Cost
	asks, measures              bool // training: for the loss, for metrics alone
	now                         func() time.Time
}

// priced is the classifier in this process; nil: it does not ship with the binary.
func (e *Experiment) priced(ctx context.Context, r *rates, in tensor.Shape, classes int, work string) (sdk.Classifier, error) {
	deps, err := e.deps(sdk.Config{InputShape: in, Classes: classes})
	if err != nil {
		return nil, err
	}
	p, err := e.Spec.Classifier.Model.Find(deps.Finder, deps.Base)
	if err != nil || !p.Shipped {
		return nil, err
	}
	if err := e.priceFit(ctx, r, &deps.Config, p, work); err != nil {
		return nil, err
	}
	c, err := e.configured(ctx, p.Name, deps.Config)
	if err != nil {
		return nil, err
	}
	return launch.Local(ctx, c, e.Spec.Classifier.Model.Preprocess)
}

// priceFit trains the classifier on a few rows of noise where the spec has it trained, on top
// of weights or not: an epoch, or as many as the plugin makes where the spec does not say.
// Options that noise does not suit are left out.
func (e *Experiment) priceFit(ctx context.Context, r *rates, config *sdk.Config, p launch.Plugin, work string) error {
	section := e.Spec.Classifier.Model.Train
	options := maps.Clone(section)
	if _, given := options["epochs"]; given {
		options["epochs"] = 1
	}
	texts := [][]byte{[]byte(`{"epochs": 1}`)}
	if section != nil {
		own, err := json.Marshal(options)
		if err != nil {
			return err
		}
		texts = append([][]byte{own}, texts...)
	}
	for i, text := range texts {
		began := r.now()
		first, last, steps, whole := began, began, 0, 0
		err := e.benchWeights(ctx, config, p, benchFit{options: text, again: section != nil, dir: work}, func(f sdk.FitProgress) {
			if last = r.now(); steps == 0 {
				first = last
			}
			steps, whole, r.epochs = steps+1, f.Steps, float64(f.Epoch)
		})
		if err != nil && i+1 < len(texts) && ctx.Err() == nil {
			continue
		}
		switch {
		case steps > 1:
			r.fit = last.Sub(first).Seconds() / float64(steps-1) * float64(max(whole, 1)) / benchRows
		case steps == 1:
			r.fit = last.Sub(began).Seconds() / benchRows
		}
		return err
	}
	return nil
}

// each is what f takes, by repeating it.
func (r *rates) each(f func() error) (float64, error) {
	if err := f(); err != nil { // the first warms up
		return 0, err
	}
	began, n := r.now(), 0
	for {
		if err := f(); err != nil {
			return 0, err
		}
		if n++; r.now().Sub(began) >= priceTime {
			return r.now().Sub(began).Seconds() / float64(n), nil
		}
	}
}

// measureClassifier measures answers and the classifier's own gradients; batch is how
// many rows it is asked about at once.
func (r *rates) measureClassifier(ctx context.Context, cl sdk.Classifier, info sdk.Info, in tensor.Shape, batch int) (err error) {
	x := noiseRows(batch, in)
	if r.predict, err = r.each(func() error { _, err := cl.Predict(ctx, x); return err }); err != nil {
		return err
	}
	r.gradient = 3 * r.predict
	if d, ok := cl.(sdk.Differentiable); ok && info.Gradient != sdk.NoGradient && r.source.Kind == gradient.Exact {
		dy := tensor.New(batch, info.NumClasses)
		for i := range batch {
			dy.Row(i)[i%info.NumClasses] = 1
		}
		if r.gradient, err = r.each(func() error { _, err := d.Gradient(ctx, x, dy); return err }); err != nil {
			return err
		}
	}
	r.many = r.predict/float64(batch) + callTime.Seconds()/askedRows
	r.predict = (r.predict + callTime.Seconds()) / float64(batch)
	r.gradient = (r.gradient + 2*callTime.Seconds()) / float64(batch)
	return nil
}

// measureSource replaces the classifier's own gradients by those that the spec asks for.
func (e *Experiment) measureSource(r *rates, in tensor.Shape, classes, batch int) error {
	c := r.source
	if c.Kind == gradient.Exact {
		return nil
	}
	r.gradient = r.predict + r.many*float64(c.PerRow)
	if c.Surrogate == nil {
		return nil
	}
	s, err := vae.BuildStudent(in, c.Surrogate.Layers, classes, e.Spec.Seed)
	if err != nil {
		return placeError(e.Spec.Document, "classifier.surrogate", err)
	}
	k, err := kernel.New(kernel.Options{Threads: e.o.Threads})
	if err != nil {
		return err
	}
	defer k.Close()
	run, x, dy := s.NewRunner(k, batch), noiseRows(batch, in), tensor.New(batch, classes)
	both, err := r.each(func() error {
		run.Forward(x)
		clear(dy.Data)
		run.Backward(dy)
		return nil
	})
	r.gradient += both / float64(batch)
	r.learn = 1.5 * both / float64(batch) // the gradient at the params too
	return err
}

// noiseRows are rows of numbers spread evenly in [0, 1).
func noiseRows(n int, in tensor.Shape) *tensor.Tensor {
	x := tensor.Batch(n, in)
	for i := range x.Data {
		x.Data[i] = float32(i*7919%10007) / 10007
	}
	return x
}

// measureCoder measures the auto-encoder in training and in scoring, each in its precision.
func (e *Experiment) measureCoder(r *rates, method detect.Coded, in tensor.Shape, classes, batch int) error {
	s := e.Spec
	m, err := s.coder(method, in)
	if err != nil {
		return err
	}
	opinion, err := s.opinion(s.Document, detect.Parts{Input: in, Classes: classes})
	if err != nil {
		return err
	}
	r.samples = 1
	if n, ok := opinion.(detect.Noisy); ok {
		r.samples = float64(max(1, n.DrawNoise(s.Seed).N()))
	}
	votes := 0
	if v, ok := opinion.(detect.Smoothing); ok { // each with a code of its own
		votes, r.proofs = v.Votes().N, float64(v.Votes().Proof.Votes)
		r.samples = float64(votes)
	}
	if err := e.measureTraining(r, m, in, batch); err != nil {
		return err
	}
	k, err := kernel.New(kernel.Options{Threads: e.o.Threads, Precision: s.Detector.Precision})
	if err != nil {
		return err
	}
	defer k.Close()
	few, draws := batch, 1
	if votes == 0 {
		few, draws = max(1, batch/int(r.samples)), int(r.samples)
	}
	x := noiseRows(few, in)
	var score func() error
	if votes > 0 {
		scoring, noise := m.NewPass(k, few, draws, nn.Inference), tensor.New(few*draws, m.LatentDim)
		score = func() error { scoring.Forward(x, noise); return nil }
	} else { // as detection does it
		scoring, noise := detect.Sampling(detect.FromVAE(m), draws).NewPass(k), tensor.New(draws, m.LatentDim)
		out := &detect.Second{Rebuilt: tensor.Batch(few*draws, m.Input)}
		score = func() error { scoring.Forward(out, x, noise); return nil }
	}
	if r.score, err = r.each(score); err != nil {
		return err
	}
	r.score /= float64(few)
	if votes > 0 {
		r.score *= float64(votes)
	}
	r.rebuild = r.score / r.samples
	return nil
}

// measureTraining measures the passes of a training step and the optimiser.
func (e *Experiment) measureTraining(r *rates, m *vae.Model, in tensor.Shape, batch int) error {
	s := e.Spec
	k, err := kernel.New(kernel.Options{Threads: e.o.Threads, Precision: s.Train.Precision})
	if err != nil {
		return err
	}
	defer k.Close()
	x, d := noiseRows(batch, in), noiseRows(batch, in)
	examples := make([]uint64, batch)
	for i := range examples {
		examples[i] = uint64(i)
	}
	grads, state := nn.NewGrads(m.Params()), nn.NewOptimizerState(s.Train.Optimizer, m.Params())
	pass := m.NewPass(k, batch, 1, nn.Training)
	noise := tensor.New(batch, m.LatentDim)
	forward := func() error {
		pass.SetDraw(nn.Draw{Seed: s.Seed, Examples: examples})
		pass.Forward(x, noise)
		return nil
	}
	if r.forward, err = r.each(forward); err != nil {
		return err
	}
	both := func(g *nn.Grads) (float64, error) {
		pass.ParamsOnly(g != nil)
		t, err := r.each(func() error {
			_ = forward()
			pass.Backward(d, nil, nil, g)
			return nil
		})
		return max(t-r.forward, 0), err
	}
	if r.backRows, err = both(nil); err != nil {
		return err
	}
	if r.backward, err = both(grads); err != nil {
		return err
	}
	if r.step, err = r.each(func() error { grads.Zero(); state.Step(k, grads, 0); return nil }); err != nil {
		return err
	}
	n := float64(batch)
	r.forward, r.backward, r.backRows = r.forward/n, r.backward/n, r.backRows/n
	return nil
}

// asked finds out what the training asks the classifier for.
func (s *Spec) asked(r *rates, info sdk.Info) {
	r.asks = true
	setup := s.setup()
	setup.X, setup.Output, setup.Recon = dataset.InMemory(noiseRows(64, tensor.Shape{8})), info.Output, s.Train.Recon // what a loss asks for is no matter of the shape
	if o, err := s.Train.Loss.Make(setup); err == nil {                                                               // one that noise does not suit may ask
		r.asks = o.UsesClassifier() || s.Train.Harden != nil
	}
	for _, m := range s.Train.LogMetrics {
		r.measures = r.measures || registry.As[train.Metric](m).UsesClassifier()
	}
}
