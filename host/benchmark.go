package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/vaeguard/vaeguard/host/bench"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchOptions of Experiment.Bench.
type BenchOptions struct {
	NoPlugin  bool          // leave the classifier out
	StepsOnly bool          // leave the products and the single layers out
	Budget    time.Duration // of each part; 0: bench's default
	Progress  func(part string)
}

// Bench measures the experiment's network and its classifier on synthetic data:
// see package bench. The training is the one that the spec declares, except for
// its data and early stopping. A classifier that has no weights yet is trained
// for one epoch on noise, in a temporary folder: what it computes costs the
// same.
func (e *Experiment) Bench(ctx context.Context, o BenchOptions) (*bench.Result, error) {
	e, err := e.borrowed()
	if err != nil {
		return nil, err
	}
	s := e.Spec
	switch {
	case s.VAE == nil:
		return nil, s.Errorf("vae", "is missing: bench measures an auto-encoder")
	case s.Train == nil:
		return nil, s.Errorf("train", "is missing: bench measures training steps")
	}
	method, coded := s.Detector.Chosen().(detect.Coded)
	if !coded {
		return nil, s.Errorf("detector.method", "%s: bench measures an auto-encoder", s.Detector.Method.Name)
	}
	in, classes := s.inputShape(s.Document, e.c)
	if in == nil && s.VAE.Auto() {
		return nil, s.Errorf("vae", "auto: the shape of the data is not known")
	}
	if in == nil {
		var err error
		if in, err = s.decoderShape(); err != nil {
			return nil, err
		}
	}
	section := *s.Train
	section.EarlyStopping = nil // there are no validation rows, and no end
	b := bench.Options{
		Threads: e.o.Threads, Classes: classes, StepsOnly: o.StepsOnly, Budget: o.Budget, Progress: o.Progress,
		Model: func() (*vae.Model, error) { return s.coder(method, in) },
		Train: train.Options{Section: section, Setup: s.setup(), Seed: s.Seed},
		Fit: func(ctx context.Context, t train.Options) error {
			o, err := s.opinion(s.Document, detect.Parts{Input: in, Classes: classes})
			if err != nil {
				return err
			}
			f, ok := o.(detect.Fitter)
			if !ok {
				return s.Errorf("detector.method", "%s: bench measures an auto-encoder that is trained", s.Detector.Method.Name)
			}
			_, err = f.Fit(ctx, &t.Section, t)
			return err
		},
		Detect: s.Detector.Options(),
	}
	b.Detect.Seed = s.Seed
	opinion, err := s.opinion(s.Document, detect.Parts{Input: in, Classes: classes})
	if err != nil {
		return nil, err
	}
	if n, ok := opinion.(detect.Noisy); ok {
		b.Noise = n.DrawNoise(s.Seed)
	}
	if v, ok := opinion.(detect.Smoothing); ok {
		b.Voting = v
	}
	if len(s.Detector.HiddenLayers) > 0 {
		b.Heads = func(info sdk.Info) ([]oracle.Head, error) {
			heads, _, err := e.drawHeads(info)
			return heads, err
		}
	}
	if !s.Given("classifier") || o.NoPlugin {
		return bench.Run(ctx, b)
	}
	work, remove, err := launch.TempDir()
	if err != nil {
		return nil, err
	}
	defer remove()
	return e.benchPlugin(ctx, b, in, classes, work)
}

// coder is a new auto-encoder of the spec.
func (s *Spec) coder(method detect.Coded, in tensor.Shape) (*vae.Model, error) {
	m, err := vae.Build(vae.Options{Section: *s.VAE, Input: in, Coding: method.Coding()}, s.Seed)
	if err != nil {
		return nil, placeError(s.Document, "vae", err)
	}
	return m, nil
}

// benchPlugin measures with the classifier: on both sides of the process
// boundary if it is a shipped one, else as a subprocess alone.
func (e *Experiment) benchPlugin(ctx context.Context, b bench.Options, in tensor.Shape, classes int, work string) (*bench.Result, error) {
	deps, err := e.deps(sdk.Config{InputShape: in, Classes: classes})
	if err != nil {
		return nil, err
	}
	p, err := e.Spec.Classifier.Model.Find(deps.Finder, deps.Base)
	if err != nil {
		return nil, err
	}
	if err := e.benchWeights(ctx, &deps.Config, p, benchFit{options: []byte(`{"epochs": 1}`), dir: work}, func(sdk.FitProgress) {}); err != nil {
		return nil, err
	}
	b.Classes = deps.Config.Classes
	if p.Shipped {
		b.Local = func(ctx context.Context) (sdk.Classifier, func() error, error) {
			c, err := e.configured(ctx, p.Name, deps.Config)
			if err == nil {
				c, err = launch.Local(ctx, c, e.Spec.Classifier.Model.Preprocess)
			}
			return c, func() error { return nil }, err
		}
	}
	b.Remote = func(ctx context.Context) (sdk.Classifier, func() error, error) {
		c, err := e.launch(ctx, deps)
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	}
	return bench.Run(ctx, b)
}

// configured is a shipped classifier in this process.
func (e *Experiment) configured(ctx context.Context, name string, config sdk.Config) (sdk.Classifier, error) {
	shipped, err := e.c.Classifiers.Lookup(name)
	if err != nil {
		return nil, err
	}
	c := shipped.New()
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	config.InputShape = e.Spec.Classifier.Model.Preprocess.Told(config.InputShape, info.Layout)
	if cc, ok := c.(sdk.Configurable); ok {
		if err := cc.Configure(ctx, config); err != nil {
			return nil, fmt.Errorf("classifier.config: %w", err)
		}
	}
	return c, nil
}

// benchClasses is the number of classes that a classifier is trained for where
// neither the data nor itself tells one.
const benchClasses = 10

// benchRows is on how many rows it is trained.
const benchRows = 256

// benchFit is a training on noise.
type benchFit struct {
	options []byte
	again   bool   // also of a classifier that is ready
	dir     string // for its files
}

// benchWeights gives a classifier that is not ready some weights, and points
// the config to them. The config gets the classifier's number of classes where
// the data tells none.
func (e *Experiment) benchWeights(ctx context.Context, config *sdk.Config, p launch.Plugin, o benchFit, progress func(sdk.FitProgress)) (err error) {
	ask := func() (info sdk.Info, c sdk.Classifier, stop func() error, err error) {
		stop = func() error { return nil }
		if p.Shipped {
			c, err = e.configured(ctx, p.Name, *config)
		} else {
			var started *launch.Classifier
			var deps launch.Deps
			if deps, err = e.deps(*config); err == nil {
				started, err = e.launch(ctx, deps)
			}
			if err == nil {
				c, stop = started, started.Close
			}
		}
		if err == nil {
			info, err = c.Info(ctx)
		}
		return info, c, stop, err
	}
	info, c, stop, err := ask()
	if config.Classes == 0 && (err != nil || info.NumClasses == 0) {
		if c != nil {
			err = stop()
		}
		config.Classes = benchClasses
		if info, c, stop, err = ask(); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	config.Classes = info.NumClasses
	if info.Ready && !o.again {
		return nil
	}
	t, ok := c.(sdk.Trainable)
	if !ok || !info.Trainable {
		if info.Ready {
			return nil
		}
		return e.Spec.Errorf("classifier", "the plugin %s is neither ready nor trainable", info.Name)
	}
	const rows = benchRows
	example := config.InputShape
	if len(info.InputShape) > 0 {
		example = info.InputShape
	}
	data := sdk.TrainingData{X: tensor.Batch(rows, example), Labels: make([]int, rows)}
	for i := range data.X.Data { // spread evenly in [0, 1)
		data.X.Data[i] = float32(i*7919%10007) / 10007
	}
	for i := range data.Labels {
		data.Labels[i] = i % config.Classes
	}
	if o.again { // a training of the spec's may look at such rows
		data.ValX, data.ValLabels = data.X, data.Labels
	}
	done, err := t.Fit(ctx, data, sdk.FitOptions{JSON: o.options, Seed: e.Spec.Seed, OutputDir: o.dir, Progress: progress})
	if err != nil {
		return fmt.Errorf("train the classifier: %w", err)
	}
	config.JSON, config.BaseDir = done.ConfigJSON, o.dir
	return nil
}
