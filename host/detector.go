package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Detector is a guard at work: a detector with its classifier running. Its
// methods may be called concurrently.
type Detector struct {
	*detect.Detector
	// Classifier is the guarded model, started once.
	Classifier *launch.Classifier
	// Gradient stands in for the gradients that the classifier lacks; nil if it
	// has its own, or if nothing needed any.
	Gradient *gradient.Source
	// Experiment is the spec that it was made from.
	Experiment *Experiment
	// Saved is what was read from, or written to, disk; nil for a detector
	// that was not saved.
	Saved *artifact.Detector
}

// OpenOptions of Open.
type OpenOptions struct {
	Options
	// AnyClassifier accepts another classifier than the detector was made for.
	AnyClassifier bool
	// Base is the folder for the spec's relative paths, such as the plugin's;
	// "": the one that the detector was trained from.
	Base string
}

// Open reads a detector's folder, or a run's, verifies it and starts its
// classifier. The caller must Close it.
func Open(dir string, c Components, o ...OpenOptions) (*Detector, error) {
	return OpenContext(context.Background(), dir, c, o...)
}

// OpenContext is Open with a context for the start of the classifier.
func OpenContext(ctx context.Context, dir string, c Components, opts ...OpenOptions) (*Detector, error) {
	var o OpenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	saved, err := artifact.Load(dir)
	if err != nil {
		return nil, err
	}
	e, err := reopen(saved, c, o)
	if err != nil {
		return nil, err
	}
	deps, err := e.deps(sdk.Config{InputShape: saved.Meta.InputShape, Classes: saved.Meta.Classifier.Classes})
	if err != nil {
		return nil, err
	}
	if saved.ClassifierDir != "" {
		if trained, ok := launch.ReadFit(saved.ClassifierDir, e.Spec.Classifier.Model.Config); ok {
			if deps.Config.BaseDir, err = filepath.Abs(saved.ClassifierDir); err != nil {
				return nil, err
			}
			deps.Config.JSON = trained
		}
	}
	cl, err := e.start(ctx, deps)
	if err != nil {
		return nil, e.Spec.Unexpanded(err)
	}
	d, err := e.restore(ctx, cl, saved, o.AnyClassifier)
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	return d, nil
}

// Reopen reads the resolved spec of a saved detector, without starting
// anything.
func Reopen(saved *artifact.Detector, c Components) (*Experiment, error) {
	return reopen(saved, c, OpenOptions{})
}

// reopen reads the resolved spec of a saved detector.
func reopen(saved *artifact.Detector, c Components, o OpenOptions) (*Experiment, error) {
	base := o.Base
	if base == "" {
		base = saved.Meta.Base
		if base == "" {
			base = saved.Dir
		}
		if _, err := os.Stat(base); err != nil {
			base = saved.Dir
		}
	}
	s, err := parse(filepath.Join(base, artifact.SpecFile), saved.Spec, c, true)
	if err != nil {
		return nil, fmt.Errorf("detector %s: %w", saved.Dir, err)
	}
	return newExperiment(s, c, o.Options), nil
}

// restore puts a saved detector together around its classifier.
func (e *Experiment) restore(ctx context.Context, cl *launch.Classifier, saved *artifact.Detector, anyClassifier bool) (_ *Detector, err error) {
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	if !anyClassifier {
		if err := saved.CheckClassifier(info); err != nil {
			return nil, err
		}
	}
	s := e.Spec
	net := &network{}
	if net.source, err = e.reopenSource(ctx, cl, saved); err != nil {
		return nil, fmt.Errorf("detector %s: gradient: %w", saved.Dir, err)
	}
	defer func() {
		if err != nil {
			err = closeSource(net.source, err)
		}
	}()
	switch s.Detector.Method {
	case "max_softmax", "feature_squeezing":
	case "distillation":
		if net.student, err = vae.BuildStudent(info.InputShape, s.Detector.Student.Layers, info.NumClasses, s.Seed); err == nil {
			err = net.student.Load(saved.Weights())
		}
	default:
		net.model, err = e.savedModel(info.InputShape, saved)
	}
	if err != nil {
		return nil, fmt.Errorf("detector %s: %s: %w", saved.Dir, artifact.WeightsFile, err)
	}
	var heads []oracle.Head
	for _, h := range s.Detector.HiddenLayers {
		k := saved.HeadKernel(h.Name)
		if k == nil {
			return nil, fmt.Errorf("detector %s: %s has no kernel for hidden layer %s", saved.Dir, artifact.WeightsFile, h.Name)
		}
		heads = append(heads, oracle.Head{Name: h.Name, Weight: h.Weight, Kernel: k})
	}
	d, err := e.assemble(ctx, cl, net, heads, saved.Noise(), saved.State)
	if err != nil {
		return nil, err
	}
	d.Saved = saved
	if a := saved.Scale(); a != nil {
		e.standard = &dataset.Standard{Mean: a.Mean, Std: a.Std}
	}
	return d, nil
}

// assemble makes the detector of a network.
func (e *Experiment) assemble(ctx context.Context, cl *launch.Classifier, net *network, heads []oracle.Head, noise *tensor.Tensor, state detect.State) (*Detector, error) {
	s := e.Spec
	o := detect.Options{
		Method: detect.Method(s.Detector.Method), Classifier: modelOf(cl, net.source), Noise: noise,
		Fusion: s.Detector.Fusion, Temperature: s.Detector.Temperature, Clip: s.Detector.ProbabilityClip,
		Hidden: heads, Seed: s.Seed, Threads: e.o.Threads, State: state,
	}
	if net.model != nil {
		o.Autoencoder = detect.Of(net.model)
	}
	if net.student != nil {
		o.Student = detect.OfStudent(net.student)
	}
	if len(s.Detector.Score) > 0 && (s.Given("detector.score") || len(heads) == 0 && o.Method == detect.VAE) {
		for _, c := range s.Detector.Score {
			o.Scores = append(o.Scores, detect.NamedScore{Name: c.Name, Score: registry.As[detect.Score](c)})
		}
	} else {
		names, fusion := detect.DefaultScores(o.Method)
		for _, n := range names {
			sc, err := e.c.Scores.Lookup(n)
			if err != nil {
				return nil, err
			}
			o.Scores = append(o.Scores, detect.NamedScore{Name: n, Score: sc})
		}
		o.Fusion = fusion
	}
	inner, err := detect.New(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Detector{Detector: inner, Classifier: cl, Gradient: net.source, Experiment: e}, nil
}

// Detect scores, flags and corrects x, (N, example…), in the classifier's
// shape and units. A detector without threshold is an error.
func (d *Detector) Detect(ctx context.Context, x *tensor.Tensor) (*detect.Result, error) {
	return d.DetectInclude(ctx, x, detect.Include{})
}

// DetectInclude is Detect with optional parts of the result.
func (d *Detector) DetectInclude(ctx context.Context, x *tensor.Tensor, include detect.Include) (*detect.Result, error) {
	return d.Detector.Detect(ctx, d.Scale(x), include)
}

// Scale maps raw features as the experiment's `scale: standard` does; x
// itself if there is none.
func (d *Detector) Scale(x *tensor.Tensor) *tensor.Tensor {
	s := d.Experiment.standard
	if s == nil || x.Stride() != len(s.Mean) {
		return x
	}
	y := x.Clone()
	s.Apply(y)
	return y
}

// Threshold is the one in use; its zero value if there is none.
func (d *Detector) Threshold() detect.Threshold {
	if t := d.State().Threshold; t != nil {
		return *t
	}
	return detect.Threshold{}
}

// ClassNames are the names of the classes, in order; nil if nobody named them.
func (d *Detector) ClassNames() []string {
	if d.Saved == nil {
		return nil
	}
	return d.Saved.Meta.Classifier.Labels
}

// Digest is the identity of the detector on disk, "" if it was not saved.
func (d *Detector) Digest() string {
	if d.Saved == nil {
		return ""
	}
	return d.Saved.Digest
}

// Close ends the classifier's process.
func (d *Detector) Close() error {
	return errors.Join(closeSource(d.Gradient, d.Detector.Close()), d.Classifier.Close())
}

// save writes the detector to dir. classifierDir holds the files of a
// classifier that was trained here, or is "".
func (d *Detector) save(ctx context.Context, dir, classifierDir string, net *network, force bool) error {
	info, err := d.Classifier.Info(ctx)
	if err != nil {
		return err
	}
	e := d.Experiment
	var params []*nn.Param
	switch {
	case net.model != nil:
		params = net.model.Params()
	case net.student != nil:
		params = net.student.Params()
	}
	o := d.Options()
	contents := artifact.Contents{Noise: o.Noise, Heads: o.Hidden}
	if net.model != nil && net.model.Normalize != nil {
		mean, std := net.model.Normalize.Float32()
		contents.Normalize = &artifact.Affine{Mean: mean, Std: std}
	}
	if e.standard != nil {
		contents.Scale = &artifact.Affine{Mean: e.standard.Mean, Std: e.standard.Std}
	}
	var report *gradient.Report
	if d.Gradient != nil {
		r := d.Gradient.Report()
		report = &r
		contents.Gradient = d.Gradient.Saved()
	}
	base, err := filepath.Abs(e.Spec.Abs("."))
	if err != nil {
		return err
	}
	if v := e.Spec.VAE; v != nil && v.From != "" { // its layers are here: what is saved stands on its own
		own := *v
		own.From = ""
		e.Spec.VAE = &own
	}
	saved := &artifact.Detector{
		Spec: e.Spec.Resolved(), Tensors: artifact.Tensors(params, contents), State: d.State(), ClassifierDir: classifierDir,
		Meta: artifact.Meta{
			Name: e.Spec.Title(), Method: e.Spec.Detector.Method, Seeds: map[string]uint64{"spec": e.Spec.Seed},
			InputShape: info.InputShape, Classifier: artifact.ClassifierOf(info), Gradient: report,
			Data: map[string]string{}, Base: base,
		},
	}
	if rows := e.rows[dataset.RoleTrain]; rows != nil && len(saved.Meta.Classifier.Labels) == 0 {
		saved.Meta.Classifier.Labels = rows.Classes
	}
	if net.model != nil {
		saved.Meta.LatentDim = net.model.LatentDim
	}
	if o.Noise != nil {
		saved.Meta.Samples = o.Noise.N()
	}
	for role, rows := range e.rows {
		saved.Meta.Data[string(role)] = rows.Source
	}
	if err := artifact.Save(dir, saved, force); err != nil {
		return err
	}
	d.Saved, err = artifact.Load(dir)
	return err
}
