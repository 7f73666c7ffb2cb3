package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// buildModel makes the auto-encoder with initial weights, or those that the
// spec names.
func (e *Experiment) buildModel(in tensor.Shape) (*vae.Model, error) {
	s := e.Spec
	norm, err := s.VAE.Normalize.Make(in, e.trainRows)
	if err != nil {
		return nil, s.Errorf("vae.normalize", "%v", err)
	}
	m, err := vae.Build(vae.Options{Section: *s.VAE, Input: in, Method: method(s), Normalizer: norm}, s.Seed)
	if err != nil {
		return nil, placeError(s.Document, err)
	}
	if s.VAE.Weights == "" {
		return m, nil
	}
	f, err := safetensors.Read(s.Abs(s.VAE.Weights))
	if err != nil {
		return nil, s.Errorf("vae.weights", "%v", err)
	}
	if err := m.Load(artifact.Weights(f.Tensors)); err != nil {
		return nil, s.Errorf("vae.weights", "%s: %v", s.VAE.Weights, err)
	}
	return m, nil
}

// trainRows are the rows of data.train.
func (e *Experiment) trainRows() (*tensor.Tensor, error) {
	d, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return nil, err
	}
	return d.X, nil
}

// modelFrom takes the layers and the weights of another detector.
func (e *Experiment) modelFrom(in tensor.Shape) (*vae.Model, error) {
	fail := func(err error) (*vae.Model, error) { return nil, e.Spec.Errorf("vae.from", "%v", err) }
	saved, err := artifact.Load(e.Spec.Abs(e.Spec.VAE.From))
	if err != nil {
		return fail(err)
	}
	other, err := reopen(saved, e.c, OpenOptions{Options: e.o})
	if err != nil {
		return fail(err)
	}
	if other.Spec.VAE == nil {
		return fail(fmt.Errorf("%s has no auto-encoder", saved.Dir))
	}
	m, err := other.savedModel(in, saved)
	if err != nil {
		return fail(err)
	}
	v := *other.Spec.VAE
	v.From, v.Weights = e.Spec.VAE.From, ""
	e.Spec.VAE = &v
	return m, nil
}

// savedModel is the auto-encoder of a saved detector.
func (e *Experiment) savedModel(in tensor.Shape, saved *artifact.Detector) (*vae.Model, error) {
	o := vae.Options{Section: *e.Spec.VAE, Input: in, Method: method(e.Spec)}
	var err error
	if n := saved.Normalize(); n != nil {
		if o.Normalizer, err = vae.RestoreNormalizer(n.Mean, n.Std, in); err != nil {
			return nil, err
		}
	}
	m, err := vae.Build(o, e.Spec.Seed)
	if err != nil {
		return nil, err
	}
	return m, m.Load(saved.Weights())
}

// setup are the settings of losses and metrics that the section detector gives.
func (s *Spec) setup() train.Setup {
	return train.Setup{Temperature: s.Detector.Temperature, Clip: s.Detector.ProbabilityClip}
}

// network is what training made: the auto-encoder, or the student of
// method distillation.
type network struct {
	model   *vae.Model
	student *vae.Student
	heads   []oracle.Head
	history []train.Record
	source  *gradient.Source // of gradients that the classifier lacks, or nil
}

// trainHooks connect a training to its run directory.
type trainHooks struct {
	checkpoint func(*train.State) error
	resume     *train.State
	epoch      func(train.Record)
	warning    func(string)
}

// trainNetwork builds and trains what the detector's method needs.
func (e *Experiment) trainNetwork(ctx context.Context, cl sdk.Classifier, hooks trainHooks) (*network, error) {
	s := e.Spec
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	if in, err := e.Rows(dataset.RoleTrain); err == nil && !in.X.Example().Equal(info.InputShape) {
		return nil, s.Errorf("data.train", "examples are %v, the classifier takes %v", in.X.Example(), info.InputShape)
	}
	net := &network{}
	distill := s.Detector.Method == "distillation"
	switch s.Detector.Method {
	case "max_softmax", "feature_squeezing":
		return net, nil
	case "distillation":
		if s.Detector.Student == nil {
			return nil, s.Errorf("detector", "method distillation needs detector.student.layers")
		}
		net.student, err = vae.BuildStudent(info.InputShape, s.Detector.Student.Layers, info.NumClasses, s.Seed)
		if err != nil {
			return nil, placeError(s.Document, err)
		}
	default:
		if s.VAE == nil {
			return nil, s.Errorf("detector.method", "%s needs a section vae", s.Detector.Method)
		}
		build := e.buildModel
		if s.VAE.From != "" {
			build = e.modelFrom
		}
		if net.model, err = build(info.InputShape); err != nil {
			return nil, err
		}
	}
	if net.heads, err = e.heads(ctx, cl, info); err != nil {
		return nil, err
	}
	if s.Train == nil {
		if distill || s.VAE.Weights == "" && s.VAE.From == "" {
			return nil, s.Errorf("", "there is neither a section train nor vae.weights: nothing says where the guard's weights come from")
		}
		return net, nil
	}
	rows, err := e.trainRows()
	if err != nil {
		return nil, err
	}
	engine, err := kernel.New(kernel.Options{Threads: e.o.Threads})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	o := train.Options{
		Section: *s.Train, Engine: engine, Model: net.model, Student: net.student, Classifier: cl, Train: rows,
		Setup: s.setup(), Beta: s.Detector.Beta, Hidden: net.heads, Seed: s.Seed,
		Save: hooks.checkpoint, Resume: hooks.resume, Fingerprint: sha(s.Resolved()), Events: e.trainEvents(hooks),
	}
	if s.Data.Validation != nil {
		val, err := e.Rows(dataset.RoleValidation)
		if err != nil {
			return nil, err
		}
		o.Validation = val.X
	}
	run := train.Run
	if distill {
		run = train.Distill
	}
	result, err := run(ctx, o)
	if err != nil {
		var bad *train.BatchError
		if errors.As(err, &bad) || ctx.Err() != nil {
			return nil, err
		}
		return nil, fmt.Errorf("train: %w", err)
	}
	net.history = result.History
	return net, nil
}

// trainEvents turns the trainer's events into progress and records.
func (e *Experiment) trainEvents(hooks trainHooks) func(train.Event) {
	return func(ev train.Event) {
		if ev.Warning != "" && hooks.warning != nil {
			hooks.warning(ev.Warning)
		}
		values := map[string]float64{}
		for _, m := range ev.Metrics {
			values[m.Name] = m.Value
		}
		switch ev.Stage {
		case train.StagePredict:
			e.o.progress(Progress{Stage: "predict", Done: ev.Step, Total: ev.Steps, Ended: ev.Step == ev.Steps})
		case train.StageStep:
			e.o.progress(Progress{Stage: "detector", Done: (ev.Epoch-1)*ev.Steps + ev.Step, Total: ev.Epochs * ev.Steps,
				Epoch: ev.Epoch, Epochs: ev.Epochs, Metrics: values})
		case train.StageEpoch:
			e.o.progress(Progress{Stage: "detector", Done: ev.Epoch * ev.Steps, Total: ev.Epochs * ev.Steps,
				Epoch: ev.Epoch, Epochs: ev.Epochs, Ended: true, Metrics: values})
			if hooks.epoch != nil {
				hooks.epoch(train.Record{Epoch: ev.Epoch, Metrics: ev.Metrics, Rate: ev.Rate, Seconds: ev.Seconds, Improved: ev.Improved})
			}
		}
	}
}
