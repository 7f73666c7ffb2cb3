package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// guard is a second opinion with all that stands around it, before it has a
// threshold.
type guard struct {
	opinion    detect.Opinion
	normalizer *vae.Normalizer // of vae.normalize; nil: none
	noise      *tensor.Tensor  // of a detect.Noisy opinion; nil: none
	heads      []oracle.Head
	source     *gradient.Source   // of gradients that the classifier lacks; nil: none
	replica    *launch.Classifier // that answers for reconstructions; nil: the classifier does
	hardened   *health.Hardened   // of a training that measured it, else nil
}

// opinion makes the opinion of the spec's method. Errors have a place in d.
func (s *Spec) opinion(d *spec.Document, p detect.Parts) (detect.Opinion, error) {
	m := s.Detector.Chosen()
	if m == nil {
		return nil, d.Errorf("detector.method", "is missing")
	}
	section := "detector"
	if _, coded := m.(detect.Coded); coded {
		if section = "vae"; s.VAE == nil {
			return nil, d.Errorf("detector.method", "%s needs a section vae", s.Detector.Method.Name)
		}
	}
	p.VAE, p.Seed = s.VAE, s.Seed
	o, err := m.Make(p)
	if err != nil {
		return nil, placeError(d, section, err)
	}
	return o, nil
}

// start is what a detector's weights begin as, where the spec names a file or
// another detector. The zero value stands for none.
type start struct {
	key        string // vae.weights, vae.from or that of a detect.Weighted
	weights    map[string]*tensor.Tensor
	normalizer *vae.Normalizer // of vae.from
}

// settled is the experiment with the layers that vae.from takes from another
// detector, or that vae: auto stands for: what is saved of it stands on its own.
func (e *Experiment) settled() (*Experiment, start, error) {
	if m, ok := e.Spec.Detector.Chosen().(detect.Weighted); ok {
		if key, file := m.Weights(); file != "" {
			return e.weightsFrom(key, file)
		}
	}
	v := e.Spec.VAE
	_, coded := e.Spec.Detector.Chosen().(detect.Coded)
	switch {
	case v == nil || !coded: // a section that the method has no use for
		return e, start{}, nil
	case v.Auto(): // the header did not tell the shape
		rows, err := e.trainRows()
		if err != nil {
			return nil, start{}, err
		}
		chosen, err := e.Spec.auto(e.Spec.Document, rows.Example(), e.c)
		if err != nil {
			return nil, start{}, e.Spec.Errorf("vae", "%v", err)
		}
		return e.With(func(s *Spec) { s.VAE = chosen }), start{}, nil
	case v.From != "":
		return e.from(v.From)
	case v.Weights != "":
		return e.weightsFrom("vae.weights", v.Weights)
	}
	return e, start{}, nil
}

// borrowed is the experiment with the layers that vae.from takes from another detector,
// for what looks at them before anything is trained.
func (e *Experiment) borrowed() (*Experiment, error) {
	v := e.Spec.VAE
	if _, coded := e.Spec.Detector.Chosen().(detect.Coded); !coded || v == nil || v.From == "" {
		return e, nil
	}
	own, _, err := e.from(v.From)
	return own, err
}

// weightsFrom takes weights from a file that the spec names under key.
func (e *Experiment) weightsFrom(key, file string) (*Experiment, start, error) {
	f, err := safetensors.Read(e.Spec.Abs(file))
	if err != nil {
		return nil, start{}, e.Spec.Errorf(key, "%v", err)
	}
	return e, start{key: key, weights: artifact.Weights(f.Tensors)}, nil
}

// from takes the layers and the weights of another detector.
func (e *Experiment) from(dir string) (*Experiment, start, error) {
	saved, err := findDetector(e.Spec.Abs(dir))
	if err != nil {
		return nil, start{}, e.Spec.Errorf("vae.from", "%v", err)
	}
	defer saved.remove()
	other, err := reopen(saved, e.c, OpenOptions{Options: e.o})
	if err == nil && other.Spec.VAE == nil {
		err = fmt.Errorf("%s has no auto-encoder", saved.Dir)
	}
	var norm *vae.Normalizer
	if err == nil {
		norm, err = savedNormalizer(saved.Detector)
	}
	if err != nil {
		return nil, start{}, e.Spec.Errorf("vae.from", "%v", err)
	}
	own := *other.Spec.VAE
	own.From, own.Weights = "", ""
	return e.With(func(s *Spec) { s.VAE = &own }), start{key: "vae.from", weights: saved.Weights(), normalizer: norm}, nil
}

// savedNormalizer is what a detector's file holds of vae.normalize.
func savedNormalizer(saved *artifact.Detector) (*vae.Normalizer, error) {
	n := saved.Normalize()
	if n == nil {
		return nil, nil
	}
	return vae.RestoreNormalizer(n.Mean, n.Std, saved.Meta.InputShape)
}

// makeGuard makes the second opinion around a classifier, with the weights that
// its training starts from.
func (e *Experiment) makeGuard(ctx context.Context, cl sdk.Classifier, from start) (*guard, error) {
	s := e.Spec
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := e.trainRows()
	if err == nil && !rows.Example().Equal(info.InputShape) {
		return nil, s.Errorf("data.train", "examples are %v, the classifier takes %v", rows.Example(), info.InputShape)
	}
	g := &guard{normalizer: from.normalizer}
	if _, coded := s.Detector.Chosen().(detect.Coded); coded && s.VAE != nil && g.normalizer == nil && from.key != "vae.from" {
		if g.normalizer, err = s.VAE.Normalize.Make(info.InputShape, e.trainRows); err != nil {
			return nil, s.Errorf("vae.normalize", "%v", err)
		}
	}
	if g.opinion, err = s.opinion(s.Document, detect.Parts{Input: info.InputShape, Classes: info.NumClasses, Info: &info, Normalizer: g.normalizer}); err != nil {
		return nil, err
	}
	if err := artifact.CheckNames(g.opinion.Params()); err != nil {
		return nil, s.Errorf("detector.method", "%s: %v", s.Detector.Method.Name, err)
	}
	if from.weights != nil {
		if err := nn.Load(g.opinion.Params(), from.weights); err != nil {
			return nil, s.Errorf(from.key, "%v", err)
		}
	}
	if n, ok := g.opinion.(detect.Noisy); ok {
		g.noise = n.DrawNoise(s.Seed)
	}
	g.heads, err = e.heads(ctx, cl, info)
	return g, err
}

// fit trains the detector's opinion, if it is one that is trained. What there is
// to tell and to keep goes into the run.
func (e *Experiment) fit(ctx context.Context, cl sdk.Classifier, g *guard, from start, run *rundir.Dir) error {
	s := e.Spec
	fitter, ok := g.opinion.(detect.Fitter)
	if !ok || s.Train == nil && from.weights != nil {
		return nil
	}
	resume, err := run.ReadCheckpoint()
	if err != nil {
		return err
	}
	o := train.Options{
		Classifier: cl, ClassNames: e.classNames(), Setup: s.setup(), Hidden: g.heads, Seed: s.Seed,
		Save: run.WriteCheckpoint, Resume: resume, Fingerprint: s.fingerprint(resume), Events: e.trainEvents(run),
	}
	if s.Train != nil {
		o.Section = *s.Train
	}
	if o.Train, err = e.trainRows(); err != nil {
		return err
	}
	if o.Validation, err = e.optional(dataset.RoleValidation); err != nil {
		return err
	}
	if o.Engine, err = kernel.New(kernel.Options{Threads: e.o.Threads, Precision: o.Precision}); err != nil {
		return err
	}
	defer o.Engine.Close()
	if message := emulated("train.precision", o.Engine); message != "" {
		e.o.logger().Warn(message)
		_ = run.Event("warning", map[string]any{"message": message})
	}
	if o.Judge, err = s.judge(ctx, cl, g); err != nil {
		return err
	}
	o.JudgeName = s.judgeName()
	made, err := fitter.Fit(ctx, s.Train, o)
	if err == nil {
		g.hardened = e.hardened(made, run)
		return nil
	}
	if ctx.Err() != nil {
		return err
	}
	var bad *train.BatchError
	if errors.As(err, &bad) {
		return run.DumpBatch(o.Train, err)
	}
	if s.Train == nil {
		return s.Errorf("", "%v", err)
	}
	return fmt.Errorf("train: %w", err)
}

// classNames are those of the labels, as far as rows have been read; nil: none.
func (e *Experiment) classNames() []string {
	if e.rows.door == nil {
		return nil
	}
	return e.rows.door.Classes
}

// setup are the settings of losses and metrics that the section detector gives.
func (s *Spec) setup() train.Setup {
	return train.Setup{Temperature: s.Detector.Temperature, Clip: s.Detector.ProbabilityClip}
}

// trainEvents turns the trainer's events into progress and the run's records.
func (e *Experiment) trainEvents(run *rundir.Dir) func(train.Event) {
	return func(ev train.Event) {
		if ev.Warning != "" {
			e.o.logger().Warn(ev.Warning)
			_ = run.Event("warning", map[string]any{"message": e.Spec.Unexpand(ev.Warning)})
		}
		values := map[string]float64{}
		for _, m := range ev.Metrics {
			values[m.Name] = m.Value
		}
		switch ev.Stage {
		case train.StagePredict:
			e.o.progress(Progress{Stage: "predict", Done: ev.Step, Total: ev.Steps, Ended: ev.Step == ev.Steps})
		case train.StageResume:
			e.o.progress(Progress{Stage: StageDetector, Done: ev.Epoch*ev.Steps + ev.Step, Total: ev.Epochs * ev.Steps, Epoch: ev.Epoch, Epochs: ev.Epochs})
		case train.StageStep:
			e.o.progress(Progress{Stage: StageDetector, Done: (ev.Epoch-1)*ev.Steps + ev.Step, Total: ev.Epochs * ev.Steps,
				Epoch: ev.Epoch, Epochs: ev.Epochs, Metrics: values})
		case train.StageEpoch:
			e.o.progress(Progress{Stage: StageDetector, Done: ev.Epoch * ev.Steps, Total: ev.Epochs * ev.Steps,
				Epoch: ev.Epoch, Epochs: ev.Epochs, Ended: true, Metrics: values})
			run.Record(train.Record{Epoch: ev.Epoch, Metrics: ev.Metrics, Rate: ev.Rate, Seconds: ev.Seconds, Improved: ev.Improved})
		}
	}
}

// heads are the softmax heads on hidden layers that the spec asks for: random
// projections, or ones trained to predict the class.
func (e *Experiment) heads(ctx context.Context, cl sdk.Classifier, info sdk.Info) ([]oracle.Head, error) {
	out, trained, err := e.drawHeads(info)
	if err != nil || len(trained) == 0 {
		return out, err
	}
	rows, err := e.trainRows()
	if err != nil {
		return nil, err
	}
	k, err := kernel.New(kernel.Options{Threads: e.o.Threads})
	if err != nil {
		return nil, err
	}
	defer k.Close()
	return out, train.FitHeads(ctx, k, cl, rows, trained, e.Spec.Seed)
}

// drawHeads are all heads as they begin, and those that learn, which share their kernels
// with them.
func (e *Experiment) drawHeads(info sdk.Info) (out, trained []oracle.Head, err error) {
	for i, h := range e.Spec.Detector.HiddenLayers {
		features := 0
		var names []string
		for _, l := range info.Hidden {
			names = append(names, l.Name)
			if l.Name == h.Name {
				features = l.Shape.Size()
			}
		}
		if features == 0 {
			return nil, nil, e.Spec.Errorf(fmt.Sprintf("detector.hidden_layers[%d].name", i), "the classifier has no hidden layer %q; it has %v", h.Name, names)
		}
		units := h.Units
		if h.Trained() {
			units = info.NumClasses
		}
		head := oracle.Head{Name: h.Name, Weight: h.Weight, Kernel: oracle.DrawHead(e.Spec.Seed, h.Name, features, units)}
		if h.Trained() {
			trained = append(trained, head)
		}
		out = append(out, head)
	}
	return out, trained, nil
}

// save writes the detector to dir. classifierDir holds the files of a
// classifier that was trained here, or is "".
func (d *Detector) save(ctx context.Context, dir, classifierDir string, g *guard) error {
	info, err := d.Classifier.Info(ctx)
	if err != nil {
		return err
	}
	e := d.Experiment
	contents := artifact.Contents{Noise: g.noise, Heads: g.heads}
	if g.normalizer != nil {
		mean, std := g.normalizer.Float32()
		contents.Normalize = &artifact.Affine{Mean: mean, Std: std}
	}
	door, err := e.Door()
	if err != nil {
		return err
	}
	contents.Prepare = door.Tensors()
	meta := artifact.Meta{
		Name: e.Spec.Title(), Method: e.Spec.Detector.Method.Name, Seeds: map[string]uint64{"spec": e.Spec.Seed},
		InputShape: info.InputShape, Classifier: artifact.ClassifierOf(info), Gradient: d.gradientReport(),
		LatentDim: g.opinion.Form().Code, Data: map[string]string{},
	}
	if e.lent != nil {
		meta.Classifier.Lent = fmt.Sprintf("Go %T", e.lent)
	}
	written := e.Spec
	if own := e.ownTraining(); own != nil {
		meta.Training, written = own, e.With(func(s *Spec) { s.Train = nil }).Spec
	}
	sig := door.Signature
	if meta.Signature = &sig; len(info.Classes) > 0 {
		sig.Classes = info.Classes
	}
	if d.Gradient != nil {
		contents.Gradient = d.Gradient.Saved()
	}
	meta.Precision = e.Spec.precisions(len(g.opinion.Params()) > 0)
	meta.Hardened = g.hardened
	if meta.Health, err = d.trainedHealth(ctx); err != nil {
		return err
	}
	if d.Gradient != nil && meta.Health != nil {
		d.Gradient.Judged(meta.Health.Queries)
		meta.Gradient = d.gradientReport()
	}
	if g.noise != nil {
		meta.Samples = g.noise.N()
	}
	meta.Base = relativeBase(dir, e.Spec.Abs("."))
	if rows := e.rows.of[dataset.RoleTrain]; rows != nil && len(meta.Classifier.Labels) == 0 {
		meta.Classifier.Labels = rows.Classes
	}
	for role, rows := range e.rows.of {
		meta.Data[string(role)] = rows.Source
	}
	canaries, err := d.makeCanaries(ctx)
	if err != nil {
		return err
	}
	saved := &artifact.Detector{Canaries: canaries, Spec: written.Resolved(), Tensors: artifact.Tensors(g.opinion.Params(), contents),
		State: d.State(), ClassifierDir: classifierDir, Meta: meta}
	if err := artifact.Save(dir, saved, false); err != nil {
		return err
	}
	if d.Saved, err = artifact.Load(dir); err != nil {
		return err
	}
	if e.open == nil {
		e.rememberAsks(storedIn(d.Saved, dir))
	}
	return nil
}
