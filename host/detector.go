package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Detector is a detector in use, with its classifier running. Its
// methods may be called concurrently.
type Detector struct {
	*detect.Detector
	// Classifier is the guarded model, started once.
	Classifier *launch.Classifier
	// Replica is what answers for reconstructions, of OpenOptions.Replica; nil: Classifier.
	Replica *launch.Classifier
	// Gradient stands in for the gradients that the classifier lacks; nil if it
	// has its own, or if nothing needed any.
	Gradient *gradient.Source
	// Experiment is the spec that it was made from.
	Experiment *Experiment
	// Saved is what was read from, or written to, disk; nil for a detector
	// that was not saved.
	Saved *artifact.Detector
	// History is what each epoch of Experiment.Fit measured; nil for other detectors.
	History []train.Record

	// calibrated is what Detect says of the rows that set the threshold, and
	// nil for a detector that was opened.
	calibrated *detect.Result
	made       *guard // of one that was trained here; nil: it was opened

	stored *stored    // what it was opened from; nil: it was made
	config sdk.Config // that the classifier was started with, of one that was opened
}

// OpenOptions of Open.
type OpenOptions struct {
	Options
	// AnyClassifier accepts another classifier than the detector was made for.
	AnyClassifier bool
	// Replica answers for reconstructions in the classifier's place; nil: the
	// classifier does.
	Replica *Replica
	// Model is the classifier, a model of this program, in the place of the one that
	// the spec names; nil: that one. It must be the one that the detector was made
	// for, unless AnyClassifier is set, and must answer until Close.
	Model sdk.Classifier
	// Base is the folder for the spec's relative paths, such as the plugin's;
	// "": the one that the detector was trained from, or that of its pack.
	Base string
	// Classifier are overrides of the spec's section classifier, KEY=VALUE:
	// config.model=/srv/net.onnx, path=./plugin. Paths in them start from the
	// working folder. The classifier must still be the one that the detector was
	// made for, unless AnyClassifier is set.
	Classifier []string
	// AllowCommand are digests, "sha256:…", of commands that may be started
	// besides shipped plugins, and of what a detector asks for besides: the servers that rows
	// are sent to, variables of the environment, files that are not its own. The detector's
	// spec names them, and its author is not its user. The error of a detector that is
	// refused says which; see also Experiment.CommandDigest. What the caller names in
	// Classifier, and what this user has trained with, needs none.
	AllowCommand []string
	// AllowLock is a file as `vaeguard plugin lock` writes it: all that it pins on
	// this platform may be started; "": none.
	AllowLock string

	own bool // the detector was made from the caller's own spec
}

// Open reads a detector's folder, a run's or a pack, verifies it and starts its
// classifier, if that is a shipped plugin or one that OpenOptions or the user's own
// list allow; else it is a *launch.Error of launch.OpAllow. The caller must Close it.
func Open(dir string, c Components, o ...OpenOptions) (*Detector, error) {
	return OpenContext(context.Background(), dir, c, o...)
}

// OpenContext is Open with a context for the start of the classifier.
func OpenContext(ctx context.Context, dir string, c Components, opts ...OpenOptions) (*Detector, error) {
	var o OpenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	found, err := findDetector(dir)
	if err != nil {
		return nil, err
	}
	d, err := found.open(ctx, c, o)
	if err != nil {
		found.remove()
		return nil, err
	}
	return d, nil
}

// open starts the classifier of a saved detector and puts both together. The
// detector removes what was extracted when it is closed.
func (s *stored) open(ctx context.Context, c Components, o OpenOptions) (*Detector, error) {
	e, err := reopen(s, c, o)
	if err != nil {
		return nil, err
	}
	deps, trained, err := e.storedDeps(s)
	if err != nil {
		return nil, err
	}
	cl, err := e.launch(ctx, deps)
	if err != nil {
		return nil, e.Spec.Unexpanded(e.hintParts(s.Dir, trained, err))
	}
	d, err := e.restore(ctx, cl, s.Detector, o.AnyClassifier)
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	d.stored, d.config = s, deps.Config
	return d, nil
}

// storedDeps are what starts the classifier of a saved detector. trained says that its
// config and files are those that a Fit left.
func (e *Experiment) storedDeps(s *stored) (deps launch.Deps, trained bool, err error) {
	if deps, err = e.deps(sdk.Config{InputShape: s.Meta.InputShape, Classes: s.Meta.Classifier.Classes}); err != nil || s.ClassifierDir == "" {
		return deps, false, err
	}
	config, trained := launch.ReadFit(s.ClassifierDir, e.Spec.Classifier.Model.Config)
	if !trained {
		return deps, false, nil
	}
	if deps.Config.BaseDir, err = filepath.Abs(s.ClassifierDir); err != nil {
		return deps, true, err
	}
	deps.Config.JSON, err = e.overTrained(config, e.open.Classifier)
	return deps, true, err
}

// overTrained is the config that a Fit ended with, and in it what the caller
// gives of config.
func (e *Experiment) overTrained(config []byte, given []string) ([]byte, error) {
	var m map[string]any
	for _, one := range given {
		key, ok := strings.CutPrefix(strings.TrimSpace(one), "config.")
		if !ok {
			continue
		}
		if m == nil {
			if err := json.Unmarshal(config, &m); err != nil {
				return nil, err
			}
		}
		key = key[:strings.IndexAny(key+"=", ".[=")]
		m[key] = e.Spec.Classifier.Model.Config[key]
	}
	if m == nil {
		return config, nil
	}
	return json.Marshal(m)
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
	fault := func(what string, err error) error { return fmt.Errorf("detector %s: %s: %w", saved.Dir, what, err) }
	g := &guard{noise: saved.Noise()}
	if e.open != nil && e.open.Replica != nil {
		if g.replica, err = e.startReplica(ctx, *e.open.Replica, info); err != nil {
			return nil, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, g.replica.Close())
			}
		}()
	}
	if g.source, err = e.reopenSource(ctx, cl, saved); err != nil {
		return nil, fault("gradient", err)
	}
	defer func() {
		if err != nil {
			err = closeSource(g.source, err)
		}
	}()
	if g.normalizer, err = savedNormalizer(saved); err != nil {
		return nil, fault(artifact.WeightsFile, err)
	}
	if g.opinion, err = e.Spec.opinion(e.Spec.Document, detect.Parts{Input: info.InputShape, Classes: info.NumClasses, Info: &info, Normalizer: g.normalizer}); err != nil {
		return nil, fault(artifact.SpecFile, err)
	}
	if params := g.opinion.Params(); params != nil {
		if err := nn.Load(params, saved.Weights()); err != nil {
			return nil, fault(artifact.WeightsFile, err)
		}
	}
	for _, h := range e.Spec.Detector.HiddenLayers {
		k := saved.HeadKernel(h.Name)
		if k == nil {
			return nil, fault(artifact.WeightsFile, fmt.Errorf("there is no kernel for hidden layer %s", h.Name))
		}
		g.heads = append(g.heads, oracle.Head{Name: h.Name, Weight: h.Weight, Kernel: k})
	}
	d, err := g.detector(ctx, e, cl, saved.State)
	if err != nil {
		return nil, err
	}
	d.Saved, d.made = saved, nil
	return d, nil
}

// detector is the second opinion at work beside its classifier.
func (g *guard) detector(ctx context.Context, e *Experiment, cl *launch.Classifier, state detect.State) (*Detector, error) {
	o := e.Spec.Detector.Options()
	o.Classifier, o.Opinion, o.Noise, o.Hidden = modelOf(cl, g.source), g.opinion, g.noise, g.heads
	if g.replica != nil {
		o.Rebuilt = g.replica
	}
	o.State, o.Seed, o.Threads = state, e.Spec.Seed, e.o.Threads
	if err := e.mendScores(&o); err != nil {
		return nil, err
	}
	if err := e.warnEmulated(o.Precision); err != nil {
		return nil, err
	}
	inner, err := detect.New(ctx, o)
	if err != nil {
		return nil, err
	}
	return &Detector{Detector: inner, Classifier: cl, Replica: g.replica, Gradient: g.source, Experiment: e, made: g}, nil
}

// mendScores gives a detector the method's own scores where its spec names
// none, or one that it cannot have had: files of a while ago name the same score
// for every method whose spec named none. Where only a person can tell, it warns.
func (e *Experiment) mendScores(o *detect.Options) error {
	if o.Scores != nil && (e.Spec.Ignored() == nil || o.State.Threshold == nil || len(o.Scores) > 1) {
		return nil
	}
	named, fusion, err := e.Spec.ownScores(e.Spec.Document, e.c)
	if err != nil {
		return err
	}
	own := (&detect.Section{Score: named}).NamedScores()
	if o.Scores == nil {
		o.Scores, o.Fusion = own, fusion
		return nil
	}
	if len(own) == 0 || o.Scores[0].Name == own[0].Name {
		return nil
	}
	fused := len(own) > 1 && len(o.State.Reference) == len(own)
	blind := o.Opinion.Form() == detect.Form{} && detect.NeedsOf(o.Scores[0].Score).Q
	if fused || blind {
		o.Scores, o.Fusion = own, fusion
		return nil
	}
	e.o.logger().Warn("the detector was saved by an earlier version, which wrote the same score for every spec that named none: if its spec named none, its threshold is that of the method's own score; train it again, or calibrate it",
		"score", o.Scores[0].Name, "own", own[0].Name)
	return nil
}

// Detect scores, flags and corrects x, raw rows (N, example…) as files hold
// them: they go through the detector's door. A detector without threshold is an
// error.
func (d *Detector) Detect(ctx context.Context, x *tensor.Tensor) (*detect.Result, error) {
	return d.DetectInclude(ctx, x, detect.Include{})
}

// DetectInclude is Detect with optional parts of the result.
func (d *Detector) DetectInclude(ctx context.Context, x *tensor.Tensor, include detect.Include) (*detect.Result, error) {
	rows, err := d.Prepare(x)
	if err != nil {
		return nil, err
	}
	return d.Detector.Detect(ctx, rows.X, include)
}

// Threshold is the one in use; the zero value if there is none.
func (d *Detector) Threshold() detect.Threshold {
	if t := d.State().Threshold; t != nil {
		return *t
	}
	return detect.Threshold{}
}

// ClassNames are the names of the classes, in order; nil if they have no names.
func (d *Detector) ClassNames() []string {
	if names := d.Experiment.classNames(); len(names) > 0 {
		return names
	}
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

// Close ends the classifier's process. That of a detector of Open closes its
// experiment too.
func (d *Detector) Close() error {
	err := errors.Join(closeSource(d.Gradient, d.Detector.Close()), d.Classifier.Close())
	if d.Replica != nil {
		err = errors.Join(err, d.Replica.Close())
	}
	if d.stored != nil {
		err = errors.Join(err, d.Experiment.Close())
		d.stored.remove()
	}
	return err
}
