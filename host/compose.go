package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/rundir"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Parts are what a guard is made of in a program that writes no spec. What is zero is
// as in a spec that leaves it out.
type Parts struct {
	Name string // "": guard
	Seed uint64 // same seed, same bits

	VAE    *vae.Section  // nil: layers that fit the shape of the rows, as vae: auto
	Method detect.Method // nil: the spec's default, AdversarialVAE
	// Train is how the network is trained. Its Loss, Optimizer and Schedule may be
	// types of the program's own, which the tables of Components lack; what is saved
	// then names them and has no section train.
	Train train.Section
	// Classifier is the model where it is none of this program: a plugin, an ONNX
	// file, a model on a server.
	Classifier launch.Section
	// Change sets further keys before the whole is checked; nil: none. The sections
	// above are in the spec then, and data and threshold belong to Fit and Calibrate.
	Change func(*Spec)
}

// base is a spec that leaves all out that it may, but for the training.
const base = `{api_version: vaeguard/v1, kind: Experiment, name: guard, vae: auto, train: {}}`

// Compose makes an experiment of parts, as Load does of a file, and checks it alike:
// Spec.Resolved is the file that says the same, Describe its layers. Fit trains it on
// rows in memory.
//
//	e, err := host.Compose(host.Parts{VAE: …, Train: train.Section{Epochs: 3}}, builtin.Components(), host.Options{})
//	d, err := e.Fit(ctx, model, x, nil)
//	t, err := d.InferThreshold(ctx, held, 95)
//	r, err := d.Detect(ctx, rows)
//	err = d.Save(ctx, "guards/first")
//
// Errors are spec.Errors by the keys of a spec.
func Compose(p Parts, c Components, o Options) (*Experiment, error) {
	lent := ""
	for _, e := range c.Classifiers.Entries() {
		if e.Default.Lent != "" {
			lent = e.Name
		}
	}
	s, err := ParseSpec("", []byte(base), c)
	if err != nil {
		return nil, err
	}
	s.Name, s.Seed, s.Classifier.Model = cmp.Or(p.Name, s.Name), p.Seed, p.Classifier
	if !p.Classifier.Named() {
		if lent == "" {
			return nil, errors.New("no classifier of Components stands for a model of this program: name a plugin")
		}
		s.Classifier.Model.Plugin = lent
	}
	if p.VAE != nil {
		defaults := *s.VAE
		defaults.Layers = ""
		filled := withDefaults(*p.VAE, defaults)
		s.VAE = &filled
	}
	if p.Method != nil {
		if s.Detector.Method, err = named(p.Method, c.Methods); err != nil {
			return nil, err
		}
		s.Detector.Score, s.Detector.Fusion = nil, detect.NoFusion // its own
	}
	if _, coded := s.Detector.Chosen().(detect.Coded); !coded && p.VAE == nil {
		s.VAE = nil
	}
	filled := withDefaults(p.Train, *s.Train)
	s.Train = &filled
	if p.Change != nil {
		p.Change(s)
	}
	return compose(s, c, o)
}

// compose has a spec of a program checked by what checks files.
func compose(s *Spec, c Components, o Options) (*Experiment, error) {
	own := map[string]any{}
	written := *s
	if s.Train != nil {
		t := *s.Train
		written.Train = &t
		if !on(c.Losses, t.Loss) {
			own["loss"], t.Loss = t.Loss, nil
		}
		if !on(c.Optimizers, t.Optimizer) {
			own["optimizer"], t.Optimizer = t.Optimizer, nil
		}
		if t.Schedule != nil && !on(c.Schedules, t.Schedule) {
			own["schedule"], t.Schedule = t.Schedule, nil
		}
	}
	checked, err := ParseSpec("", written.Resolved(), c)
	var faults spec.Errors
	if errors.As(err, &faults) {
		for i := range faults {
			faults[i].Pos = spec.Position{} // in a text that nobody has seen
		}
		return nil, faults
	}
	if err != nil {
		return nil, err
	}
	if l, ok := own["loss"].(train.Loss); ok {
		checked.Train.Loss = l
	}
	if l, ok := own["optimizer"].(nn.Optimizer); ok {
		checked.Train.Optimizer = l
	}
	if l, ok := own["schedule"].(nn.Schedule); ok {
		checked.Train.Schedule = l
	}
	return newExperiment(checked, c, o), nil
}

// named is a component by the name that the table has for its type.
func named[T any](v T, table registry.Table[T]) (registry.Component, error) {
	for _, e := range table.Entries() {
		if sameType(e.Default, v) {
			return registry.Component{Kind: table.Kind(), Name: e.Name, Value: v}, nil
		}
	}
	return registry.Component{}, fmt.Errorf("the %s %T has no name: add it to the table of Components, which whoever opens the guard needs too", table.Kind(), v)
}

// on reports whether a table has a component of v's type.
func on[T any](table registry.Table[T], v T) bool {
	_, err := named(v, table)
	return err == nil
}

// sameType compares two components, each a struct or a pointer to one.
func sameType(a, b any) bool {
	bare := func(v any) reflect.Type {
		t := reflect.TypeOf(v)
		if t != nil && t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		return t
	}
	return a != nil && b != nil && bare(a) == bare(b)
}

// withDefaults is a section with the default of each key that is zero. Where a key
// has a default, zero is no legal value.
func withDefaults[T any](s, defaults T) T {
	v, d := reflect.ValueOf(&s).Elem(), reflect.ValueOf(defaults)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			v.Field(i).Set(d.Field(i))
		}
	}
	return s
}

// ownTraining says by which types of the program the network is trained that no
// table names; nil: there are none.
func (e *Experiment) ownTraining() *artifact.Training {
	t := e.Spec.Train
	if t == nil || on(e.c.Losses, t.Loss) && on(e.c.Optimizers, t.Optimizer) && (t.Schedule == nil || on(e.c.Schedules, t.Schedule)) {
		return nil
	}
	out := &artifact.Training{Loss: typed(t.Loss, e.c.Losses), Optimizer: typed(t.Optimizer, e.c.Optimizers), Epochs: t.Epochs, BatchSize: t.BatchSize}
	if t.Schedule != nil {
		out.Schedule = typed(t.Schedule, e.c.Schedules)
	}
	return out
}

// typed is the name of a component, or its Go type.
func typed[T any](v T, table registry.Table[T]) string {
	if c, err := named(v, table); err == nil {
		return c.Name
	}
	return fmt.Sprintf("Go %T", v)
}

// absent is why a section's classifier cannot be started by itself: it stands for a
// model of the program, and nobody lends one. nil: it can.
func (c Components) absent(s launch.Section) error {
	shipped, err := c.Classifiers.Lookup(s.Plugin)
	if s.Key() != "plugin" || err != nil || shipped.Lent == "" {
		return nil
	}
	for _, name := range shipped.Env {
		if os.Getenv(name) != "" {
			return nil
		}
	}
	return &launch.Error{Op: "start", Plugin: s.Plugin, Err: errors.New(shipped.Lent)}
}

// Fit trains the experiment's detector on rows x, (N, example…) in the classifier's
// units, and starts its classifier: model, a classifier of this program, or for nil
// the one that the spec names. validation are rows for validation metrics and early
// stopping; nil: none. The detector has no threshold yet: see InferThreshold and
// Calibrate. The caller must Close it; x must not change while Fit runs.
//
// The same rows, parts and seed give the same bits. A context that ends leaves
// nothing behind.
func (e *Experiment) Fit(ctx context.Context, model sdk.Classifier, x, validation *tensor.Tensor) (_ *Detector, err error) {
	if x == nil || x.N() == 0 {
		return nil, errors.New("there are no rows to train on")
	}
	if e.Spec.Classifier.Model.Train != nil {
		return nil, e.Spec.Errorf("classifier.train", "goes with rows that have labels, in a file: see Experiment.TrainTo")
	}
	own := *e
	e = &own
	e.lent, e.rows = model, newRows()
	if err := e.hold(dataset.RoleTrain, x); err != nil {
		return nil, err
	}
	if validation != nil {
		if err := e.hold(dataset.RoleValidation, validation); err != nil {
			return nil, err
		}
	}
	e, from, err := e.settled()
	if err != nil {
		return nil, err
	}
	cl, err := e.StartClassifier(ctx, "")
	if err != nil {
		return nil, err
	}
	work, remove, err := launch.TempDir()
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	defer remove()
	run, err := rundir.Create(filepath.Join(work, "run"), false, false)
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	defer run.Close()
	source, err := e.gradientSource(ctx, cl, e.gradientEvents(run.Event))
	defer func() {
		if err != nil {
			err = errors.Join(closeSource(source, err), cl.Close())
		}
	}()
	if err != nil {
		return nil, err
	}
	g, err := e.makeGuard(ctx, modelOf(cl, source), from)
	if err == nil {
		err = e.fit(ctx, modelOf(cl, source), g, from, run)
	}
	if err != nil {
		return nil, err
	}
	if source, err = e.settleSource(ctx, source); err != nil {
		return nil, err
	}
	g.source = source
	d, err := g.detector(ctx, e, cl, detect.State{})
	if err != nil {
		return nil, err
	}
	if s, err := run.ReadCheckpoint(); err == nil && s != nil {
		d.History = s.Progress.History
	}
	return d, nil
}

// hold makes rows in memory those of a role, with a digest as a file's have one.
func (e *Experiment) hold(role dataset.Role, x *tensor.Tensor) error {
	if e.rows.door == nil {
		door, err := signature.New(e.Spec.Data, dataset.Source{}, x.Example(), dataset.About{})
		if err != nil {
			return e.Spec.faultsAt("data", err)
		}
		e.rows.door = door
	}
	prepared, err := e.rows.door.Prepare(x)
	if err != nil {
		return e.Spec.Errorf("data."+string(role), "%v", err)
	}
	e.rows.of[role] = &dataset.Data{X: prepared, Index: indices(x.N()), Features: e.rows.door.Columns(), Source: digestOf(x)}
	return nil
}

// digestOf is the sha256 of a tensor's numbers, float32 in little-endian order.
func digestOf(x *tensor.Tensor) string {
	h, row := sha256.New(), []byte(nil)
	for i := range x.N() {
		row = row[:0]
		for _, v := range x.Row(i) {
			row = binary.LittleEndian.AppendUint32(row, math.Float32bits(v))
		}
		_, _ = h.Write(row) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}

// InferThreshold sets the threshold below which percentile per cent of the scores of
// x lie, by numpy's linear interpolation: for rows of which about so many are known
// to be normal. Calibrate makes a promise in its place.
func (d *Detector) InferThreshold(ctx context.Context, x *tensor.Tensor, percentile float64) (detect.Threshold, error) {
	return d.Calibrate(ctx, x, detect.Rule{Percentile: &percentile})
}

// Calibrate sets the threshold from raw rows x, (N, example…), that were used for
// nothing else; x may be nil for a given value and a single score. What the guard does
// with them is its health, which Save keeps. After an error the former threshold stays.
func (d *Detector) Calibrate(ctx context.Context, x *tensor.Tensor, rule detect.Rule) (detect.Threshold, error) {
	if err := rule.Validate(); err != nil {
		return detect.Threshold{}, fmt.Errorf("threshold: %w", err)
	}
	if x == nil {
		d.calibrated = nil
		return d.Detector.Calibrate(ctx, nil, rule)
	}
	rows, err := d.Prepare(x)
	if err != nil {
		return detect.Threshold{}, err
	}
	t, seen, err := d.CalibrateDetect(ctx, rows.X, nil, rule, healthParts)
	if err != nil {
		return t, err
	}
	rows.Source = digestOf(x)
	d.Experiment.rows.of[dataset.RoleCalibration] = rows
	if d.calibrated = seen; rule.Percentile != nil { // its rows may be a mixture
		d.calibrated = nil
	}
	return t, nil
}

// Save writes the detector into a folder, whole or not at all, which Open, the command
// line and Python open too; a dir that exists is an error. A model of this program is
// not in it: who opens it needs the model again, in OpenOptions.Model, and meta.json
// says so. Saving changes nothing but Saved.
func (d *Detector) Save(ctx context.Context, dir string) error {
	if d.Saved == nil {
		return d.save(ctx, dir, "", d.made)
	}
	changed := *d.Saved
	changed.State, changed.Meta.Base = d.State(), relativeBase(dir, d.Experiment.Spec.Abs("."))
	if d.calibrated != nil {
		judged, err := d.health(ctx, d.calibrated, d.Experiment.rows.of[dataset.RoleCalibration], dataset.RoleCalibration, d.Classifier.Answered())
		if err != nil {
			return err
		}
		changed.Meta.Health = judged
	}
	if err := artifact.Save(dir, &changed, false); err != nil {
		return err
	}
	saved, err := artifact.Load(dir)
	if err != nil {
		return err
	}
	d.Saved = saved
	return nil
}
