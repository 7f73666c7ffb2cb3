package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Target is what an attack is aimed at: a classifier, and the detector around it
// if there is one.
type Target struct {
	Experiment *Experiment
	Classifier sdk.Classifier
	Detector   *Detector // nil for the target that a spec names
	// Unconstrained lets Attack make rows that the data's constraints call
	// impossible, for comparison.
	Unconstrained bool

	close func() error
	// judge, of Attack's last adaptive attack: whether rows evade the detector or, if that is what
	// it is for, raise a false alarm.
	judge func(ctx context.Context, rows []int, adv *tensor.Tensor) ([]bool, error)
}

// OpenTarget opens a detector, a run or a pack, or starts the classifier of a
// spec, which is trained again if the spec says so. Of o a spec takes Options
// alone: the rest is an error.
func OpenTarget(ctx context.Context, name string, set []string, c Components, o OpenOptions) (*Target, error) {
	if _, err := artifact.Resolve(name); err == nil || pack.Is(name) {
		d, err := OpenContext(ctx, name, c, o)
		if err != nil {
			return nil, err
		}
		return &Target{Experiment: d.Experiment, Classifier: d.Model(), Detector: d, close: d.Close}, nil
	}
	if o.Base != "" || len(o.Classifier) > 0 || o.AnyClassifier {
		return nil, fmt.Errorf("%s is a spec: what replaces places of a detector's classifier is for a detector", name)
	}
	e, err := Load(name, set, c, o.Options)
	if err != nil {
		return nil, err
	}
	work, remove, err := launch.TempDir()
	if err != nil {
		return nil, err
	}
	cl, err := e.StartClassifier(ctx, filepath.Join(work, rundir.ClassifierDir))
	if err != nil {
		remove()
		return nil, err
	}
	return &Target{Experiment: e, Classifier: cl, close: func() error {
		err := cl.Close()
		remove()
		return err
	}}, nil
}

// ClassNames are the names of the target's classes; nil if they have no names.
func (t *Target) ClassNames() []string {
	if t.Detector != nil {
		return t.Detector.ClassNames()
	}
	if rows := t.Experiment.rows.of[dataset.RoleTrain]; rows != nil {
		return rows.Classes
	}
	return nil
}

// The spaces that adversarial rows can be in: what meta of adv.npz says.
const (
	SpaceRaw   = "raw"   // as files have them
	SpaceGuard = "guard" // as the guard takes them
)

// ToRaw brings the rows of an attack back to raw ones, as the files are that they
// came from, where each step of the preparation can be undone, and says in which
// space they are then. What was found out about them is found out anew as they
// would come in again, rounded.
func (t *Target) ToRaw(ctx context.Context, adv *attack.Adversarial, targets []int) (space string, err error) {
	door, err := t.Experiment.Door()
	if err != nil {
		return SpaceGuard, nil //nolint:nilerror // there are no rows that could say what raw ones are
	}
	if door.Identity() {
		return SpaceRaw, nil
	}
	if !door.Restorable() {
		return SpaceGuard, nil
	}
	again := func(x *tensor.Tensor) (raw, rows *tensor.Tensor, classes []int, err error) {
		if raw, err = door.Undo(x); err != nil {
			return nil, nil, nil, err
		}
		if rows, err = door.Prepare(raw); err != nil {
			return nil, nil, nil, &refusedError{err}
		}
		z, err := t.Classifier.Predict(ctx, rows)
		if err != nil {
			return nil, nil, nil, err
		}
		classes = make([]int, z.N())
		for i := range classes {
			classes[i] = oracle.Argmax(z.Row(i))
		}
		return raw, rows, classes, nil
	}
	x, _, predicted, err := again(adv.X)
	var advX, advRows *tensor.Tensor
	var predictedAdv []int
	if err == nil {
		advX, advRows, predictedAdv, err = again(adv.XAdv)
	}
	var refused *refusedError
	if errors.As(err, &refused) { // by the door, as they would be when they are read
		return SpaceGuard, nil
	}
	if err != nil {
		return "", err
	}
	adv.X, adv.Predicted, adv.XAdv, adv.PredictedAdv = x, predicted, advX, predictedAdv
	if t.judge != nil {
		still, err := t.judge(ctx, attack.All(advRows.N()), advRows)
		if err != nil {
			return "", err
		}
		copy(adv.Success, still)
		return SpaceRaw, nil
	}
	for i, ok := range adv.Success {
		reached := adv.PredictedAdv[i] != adv.Y[i]
		if targets != nil {
			reached = adv.PredictedAdv[i] == targets[i]
		}
		adv.Success[i] = ok && reached
	}
	return SpaceRaw, nil
}

// refusedError is the door's refusal of rows that were brought back to raw ones.
type refusedError struct{ error }

// Close ends the classifier.
func (t *Target) Close() error { return t.close() }

// Attack runs an attack. labels may be nil: the classifier's own predictions
// are attacked. targets are classes to reach, one per row; nil: any but the
// label. Adaptive attacks need a detector and choose their classes themselves: they succeed where the
// detector says so, with its own noise.
func (t *Target) Attack(ctx context.Context, x *tensor.Tensor, labels, targets []int, a attack.Attack, seed uint64, progress func(done, total int)) (*attack.Adversarial, error) {
	o := attack.Options{Seed: seed, Progress: progress, Targets: targets}
	t.judge = nil
	m := t.Classifier
	if ad, ok := a.(attack.Adaptive); ok {
		if t.Detector == nil {
			return nil, fmt.Errorf("an adaptive attack targets a detector: name one, not a spec")
		}
		if targets != nil {
			return nil, fmt.Errorf("an adaptive attack chooses the classes itself: leave out the target")
		}
		m, o.Threshold = t.Detector.Target(ad.FreshNoise(), seed)
		z, err := t.Classifier.Predict(ctx, x) // what logit matching imitates
		if err != nil {
			return nil, err
		}
		o.Pool, o.PoolLabels = z, make([]int, z.N())
		for i := range o.PoolLabels {
			o.PoolLabels[i] = oracle.Argmax(z.Row(i))
		}
		if labels == nil {
			labels = o.PoolLabels
		}
		t.judge = t.Detector.judges(ad, labels)
		o.Judge = t.judge
	}
	if rows, err := t.Experiment.trainRows(); err == nil { // else the rows at hand bound the attack
		info, err := t.Classifier.Info(ctx)
		if err != nil {
			return nil, err
		}
		if o.Box, err = attack.BoxOfTrain(info, rows); err != nil {
			return nil, err
		}
		if o.Deviations, err = dataset.Deviations(rows); err != nil {
			return nil, err
		}
	}
	if !t.Unconstrained {
		var err error
		if o.Constraints, err = t.Experiment.Constraints(); err != nil {
			return nil, err
		}
	}
	return attack.Run(ctx, m, x, labels, a, o)
}

// judges is what counts as success of an adaptive attack on rows with the given labels.
func (d *Detector) judges(a attack.Adaptive, labels []int) func(context.Context, []int, *tensor.Tensor) ([]bool, error) {
	return func(ctx context.Context, rows []int, adv *tensor.Tensor) ([]bool, error) {
		r, err := d.Detector.Detect(ctx, adv, detect.Include{})
		if err != nil {
			return nil, err
		}
		ok := make([]bool, len(rows))
		for k, i := range rows {
			wrong := r.Predicted[k] != labels[i]
			ok[k] = wrong != a.WantsFlag() && r.Adversarial[k] == a.WantsFlag()
		}
		return ok, nil
	}
}

// Constraints say which rows of the experiment's data are possible, in the space
// that is attacked; nil: any. Attack, Evaluate and benchmarks take them from here.
func (e *Experiment) Constraints() (*attack.Constraints, error) {
	if e.Spec.Data.Columns == nil {
		return nil, nil
	}
	door, err := e.Door()
	if err != nil {
		return nil, err
	}
	limits, groups, err := door.Limits()
	if err != nil || limits == nil {
		return nil, err
	}
	c := &attack.Constraints{Groups: groups}
	for _, l := range limits {
		c.Columns = append(c.Columns, attack.Column(l))
	}
	return c, nil
}

// ParseAttack makes an attack from its name and options (eps=0.1).
func ParseAttack(name string, set []string, c Components) (attack.Attack, error) {
	comp, err := spec.ParseComponent("attack", name, set, c.Tables()...)
	if err != nil {
		return nil, err
	}
	return registry.As[attack.Attack](comp), nil
}

// ReadAttacks reads a YAML list of attacks.
func ReadAttacks(file string, c Components) ([]registry.Component, error) {
	return spec.ReadComponents(file, "attack", c.Tables()...)
}
