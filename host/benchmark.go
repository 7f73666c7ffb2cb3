package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/vaeguard/vaeguard/host/bench"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
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

// benchClasses is the number of classes where no data tells it.
const benchClasses = 10

// Bench measures the experiment's network and its classifier on synthetic
// data: see package bench. A classifier that has no weights yet is trained for
// one epoch on noise, in a temporary folder: what it computes costs the same.
func (e *Experiment) Bench(ctx context.Context, o BenchOptions) (*bench.Result, error) {
	s := e.Spec
	switch {
	case s.VAE == nil:
		return nil, s.Errorf("vae", "is missing: bench measures an auto-encoder")
	case s.Train == nil:
		return nil, s.Errorf("train", "is missing: bench measures training steps")
	}
	in, classes := e.inputShape(s)
	if in == nil {
		var err error
		if in, err = e.decoderShape(); err != nil {
			return nil, err
		}
	}
	if classes < 2 {
		classes = benchClasses
	}
	b := bench.Options{
		Threads: e.o.Threads, Samples: s.Detector.Samples, StepsOnly: o.StepsOnly, Budget: o.Budget, Progress: o.Progress,
		Model: func() (*vae.Model, error) {
			m, err := vae.Build(e.modelOptions(in), s.Seed)
			if err != nil {
				return nil, placeError(s, err)
			}
			return m, nil
		},
		Train: e.benchTraining(),
		Detect: detect.Options{Method: detect.Method(s.Detector.Method), Temperature: s.Detector.Temperature,
			Clip: s.Detector.ProbabilityClip, Seed: s.Seed},
	}
	for _, c := range s.Detector.Score {
		b.Detect.Scores = append(b.Detect.Scores, detect.NamedScore{Name: c.Name, Score: registry.As[detect.Score](c)})
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

// benchTraining is the spec's training without its data.
func (e *Experiment) benchTraining() train.Options {
	s, t := e.Spec, e.Spec.Train
	o := train.Options{
		Loss: registry.As[train.Loss](t.Loss),
		Setup: train.Setup{
			Temperature: s.Detector.Temperature, Clip: s.Detector.ProbabilityClip, Recon: t.Recon, SumELBO: t.ELBOReduction == "sum",
		},
		Beta: s.Detector.Beta, SumLatent: t.LatentReduction == "sum", InputNoise: t.InputNoise,
		Optimizer: registry.As[nn.Optimizer](t.Optimizer), Epochs: t.Epochs, BatchSize: t.BatchSize,
		ClipNorm: t.ClipNorm, ClipValue: t.ClipValue, Seed: s.Seed,
	}
	if h := t.Harden; h != nil {
		o.Harden = &train.Harden{Norm: h.Norm, Eps: h.Eps, Steps: h.Steps, Through: h.Through, Weight: h.Weight}
	}
	return o
}

// benchPlugin measures with the classifier: on both sides of the process
// boundary if it is a shipped one, else as a subprocess alone.
func (e *Experiment) benchPlugin(ctx context.Context, b bench.Options, in tensor.Shape, classes int, work string) (*bench.Result, error) {
	s := e.Spec
	config, err := json.Marshal(orEmpty(s.Classifier.Config))
	if err != nil {
		return nil, err
	}
	base, err := filepath.Abs(s.Abs("."))
	if err != nil {
		return nil, err
	}
	setup := classifierSetup{section: s.Classifier, base: s.Abs("."),
		config: sdk.Config{JSON: config, BaseDir: base, InputShape: in, Classes: classes, Seed: s.Seed}}
	p, err := pluginOf(s.Classifier, setup.base)
	if err != nil {
		return nil, err
	}
	if err := e.benchWeights(ctx, &setup, p.Shipped, p.Name, work); err != nil {
		return nil, err
	}
	if p.Shipped {
		b.Local = func(ctx context.Context) (sdk.Classifier, func() error, error) {
			c, err := e.configured(ctx, p.Name, setup.config)
			if err == nil {
				c, err = launch.Local(ctx, c)
			}
			return c, func() error { return nil }, err
		}
	}
	b.Remote = func(ctx context.Context) (sdk.Classifier, func() error, error) {
		c, err := startClassifier(ctx, setup, e.o)
		if err != nil {
			return nil, nil, err
		}
		return c, c.Close, nil
	}
	return bench.Run(ctx, b)
}

// configured is a shipped classifier in this process.
func (e *Experiment) configured(ctx context.Context, name string, config sdk.Config) (sdk.Classifier, error) {
	c := e.c.Classifiers[name]()
	if cc, ok := c.(sdk.Configurable); ok {
		if err := cc.Configure(ctx, config); err != nil {
			return nil, fmt.Errorf("classifier.config: %w", err)
		}
	}
	return c, nil
}

// benchWeights gives a classifier that is not ready some weights, and points
// the setup to them.
func (e *Experiment) benchWeights(ctx context.Context, setup *classifierSetup, shipped bool, name, work string) (err error) {
	var c sdk.Classifier
	if shipped {
		if c, err = e.configured(ctx, name, setup.config); err != nil {
			return err
		}
	} else {
		started, err := startClassifier(ctx, *setup, e.o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, started.Close()) }()
		c = started
	}
	info, err := c.Info(ctx)
	if err != nil || info.Ready {
		return err
	}
	t, ok := c.(sdk.Trainable)
	if !ok || !info.Trainable {
		return e.Spec.Errorf("classifier", "the plugin %s is neither ready nor trainable", info.Name)
	}
	const rows = 256
	data := sdk.TrainingData{X: tensor.New(append([]int{rows}, setup.config.InputShape...)...), Labels: make([]int, rows)}
	for i := range data.X.Data { // spread evenly in [0, 1)
		data.X.Data[i] = float32(i*7919%10007) / 10007
	}
	for i := range data.Labels {
		data.Labels[i] = i % setup.config.Classes
	}
	done, err := t.Fit(ctx, data, sdk.FitOptions{JSON: []byte(`{"epochs": 1}`), Seed: e.Spec.Seed, OutputDir: work, Progress: func(sdk.FitProgress) {}})
	if err != nil {
		return fmt.Errorf("train the classifier: %w", err)
	}
	setup.config.JSON, setup.config.BaseDir = done.ConfigJSON, work
	return nil
}
