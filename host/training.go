package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// modelOptions are the auto-encoder's, without normalisation.
func (e *Experiment) modelOptions(in tensor.Shape) vae.Options {
	v := e.Spec.VAE
	return vae.Options{Input: in, Encoder: makers(v.Encoder), Decoder: makers(v.Decoder), LatentDim: v.LatentDim,
		LogVar: vae.LogVar(v.LogVar), Method: method(e.Spec)}
}

// buildModel makes the auto-encoder with initial weights, or those that the
// spec names.
func (e *Experiment) buildModel(in tensor.Shape) (*vae.Model, error) {
	s := e.Spec
	if s.VAE.From != "" {
		return e.modelFrom(in)
	}
	o := e.modelOptions(in)
	var err error
	if o.Normalize, err = e.normalizer(in); err != nil {
		return nil, err
	}
	m, err := vae.Build(o, s.Seed)
	if err != nil {
		return nil, placeError(s, err)
	}
	if s.VAE.Weights == "" {
		return m, nil
	}
	f, err := safetensors.Read(s.Abs(s.VAE.Weights))
	if err != nil {
		return nil, s.Errorf("vae.weights", "%v", err)
	}
	if err := m.Load(modelWeights(f.Tensors)); err != nil {
		return nil, s.Errorf("vae.weights", "%s: %v", s.VAE.Weights, err)
	}
	return m, nil
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
	weights := saved.Weights()
	o := other.modelOptions(in)
	mean, std := take(weights, "normalize.mean"), take(weights, "normalize.std")
	maps.DeleteFunc(weights, func(name string, _ *tensor.Tensor) bool {
		return strings.HasPrefix(name, "scale.") || strings.HasPrefix(name, gradient.SavedPrefix)
	})
	if mean != nil && std != nil {
		if o.Normalize, err = vae.NewNormalizer(wide(mean), wide(std), in); err != nil {
			return fail(err)
		}
	}
	m, err := vae.Build(o, other.Spec.Seed)
	if err != nil {
		return fail(err)
	}
	if err := m.Load(weights); err != nil {
		return fail(err)
	}
	v := *other.Spec.VAE
	v.From, v.Weights = e.Spec.VAE.From, ""
	e.Spec.VAE = &v
	return m, nil
}

// modelWeights drops what a detector's file holds beside the layers.
func modelWeights(all []safetensors.Named) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for _, t := range all {
		part, _, _ := strings.Cut(t.Name, ".")
		switch part {
		case "noise", "hidden", "normalize", "scale", "gradient":
		default:
			out[t.Name] = t.Tensor
		}
	}
	return out
}

func (e *Experiment) normalizer(in tensor.Shape) (*vae.Normalizer, error) {
	n := e.Spec.VAE.Normalize
	switch n.Mode {
	case "", "none":
		return nil, nil
	case "given":
		norm, err := vae.NewNormalizer(n.Mean, n.Std, in)
		if err != nil {
			return nil, e.Spec.Errorf("vae.normalize", "%v", err)
		}
		return norm, nil
	}
	d, err := e.Rows(RoleTrain)
	if err != nil {
		return nil, err
	}
	norm, err := vae.FitNormalizer(n.Mode, d.X)
	if err == nil { // in the precision of the file, so that a loaded detector has the same bits
		norm, err = vae.NewNormalizer(wide(narrow(norm.Mean)), wide(narrow(norm.Std)), in)
	}
	if err != nil {
		return nil, e.Spec.Errorf("vae.normalize", "%v", err)
	}
	return norm, nil
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
	if in, err := e.Rows(RoleTrain); err == nil && !in.X.Example().Equal(info.InputShape) {
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
		net.student, err = vae.BuildStudent(info.InputShape, makers(s.Detector.Student.Layers), info.NumClasses, s.Seed)
		if err != nil {
			return nil, placeError(s, err)
		}
	default:
		if s.VAE == nil {
			return nil, s.Errorf("detector.method", "%s needs a section vae", s.Detector.Method)
		}
		if net.model, err = e.buildModel(info.InputShape); err != nil {
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
	o, err := e.trainOptions(net)
	if err != nil {
		return nil, err
	}
	engine, err := kernel.New(kernel.Options{Threads: e.o.Threads})
	if err != nil {
		return nil, err
	}
	defer engine.Close()
	o.Engine, o.Classifier = engine, cl
	o.Checkpoint, o.Resume, o.CheckpointEvery = hooks.checkpoint, hooks.resume, s.Train.Checkpoint.Every
	o.Events = e.trainEvents(hooks)
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

func (e *Experiment) trainOptions(net *network) (train.Options, error) {
	s, t := e.Spec, e.Spec.Train
	rows, err := e.Rows(RoleTrain)
	if err != nil {
		return train.Options{}, err
	}
	o := train.Options{
		Model: net.model, Student: net.student, Train: rows.X,
		Loss: registry.As[train.Loss](t.Loss),
		Setup: train.Setup{
			Temperature: s.Detector.Temperature, Clip: s.Detector.ProbabilityClip, Recon: t.Recon, SumELBO: t.ELBOReduction == "sum",
		},
		Beta: s.Detector.Beta, SumLatent: t.LatentReduction == "sum", Hidden: net.heads, InputNoise: t.InputNoise,
		Optimizer: registry.As[nn.Optimizer](t.Optimizer),
		Epochs:    t.Epochs, BatchSize: t.BatchSize, ClipNorm: t.ClipNorm, ClipValue: t.ClipValue, Seed: s.Seed,
		Fingerprint: sha(s.Resolved()),
	}
	for _, h := range net.heads {
		o.Setup.HiddenWeights = append(o.Setup.HiddenWeights, h.Weight)
	}
	if t.Schedule != nil {
		o.Schedule = registry.As[nn.Schedule](*t.Schedule)
	}
	if h := t.Harden; h != nil {
		o.Harden = &train.Harden{Norm: h.Norm, Eps: h.Eps, Steps: h.Steps, Through: h.Through, Weight: h.Weight}
		for _, ball := range h.Also {
			o.Harden.Also = append(o.Harden.Also, train.Ball{Norm: ball.Norm, Eps: ball.Eps})
		}
	}
	if es := t.EarlyStopping; es != nil {
		o.EarlyStopping = &train.EarlyStopping{Monitor: es.Monitor, Patience: es.Patience, MinDelta: es.MinDelta, Mode: es.Mode}
	}
	if s.Data.Validation != nil {
		val, err := e.Rows(RoleValidation)
		if err != nil {
			return o, err
		}
		o.Validation = val.X
	}
	for i, name := range t.LogMetrics {
		m, err := e.c.Metrics.Lookup(name)
		if err != nil {
			return o, s.Errorf(fmt.Sprintf("train.log_metrics[%d]", i), "%v", err)
		}
		o.Metrics = append(o.Metrics, train.NamedMetric{Name: name, Metric: m})
	}
	return o, nil
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
			e.o.progress(Progress{Stage: "guard", Done: (ev.Epoch-1)*ev.Steps + ev.Step, Total: ev.Epochs * ev.Steps,
				Epoch: ev.Epoch, Epochs: ev.Epochs, Metrics: values})
		case train.StageEpoch:
			e.o.progress(Progress{Stage: "guard", Done: ev.Epoch * ev.Steps, Total: ev.Epochs * ev.Steps,
				Epoch: ev.Epoch, Epochs: ev.Epochs, Ended: true, Metrics: values})
			if hooks.epoch != nil {
				hooks.epoch(train.Record{Epoch: ev.Epoch, Metrics: ev.Metrics, Rate: ev.Rate, Seconds: ev.Seconds, Improved: ev.Improved})
			}
		}
	}
}
