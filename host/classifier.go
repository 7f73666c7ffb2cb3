package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
)

// deps are what starts a spec's classifier for examples of a shape. The config
// is the spec's.
func (e *Experiment) deps(c sdk.Config) (launch.Deps, error) {
	s := e.Spec
	var err error
	c.Seed = s.Seed
	if c.JSON, err = s.Classifier.Model.ConfigJSON(); err != nil {
		return launch.Deps{}, err
	}
	if c.BaseDir, err = filepath.Abs(s.Abs(".")); err != nil {
		return launch.Deps{}, err
	}
	return launch.Deps{Finder: e.finder(), Consent: e.consent(), Base: s.Abs("."), Config: c, Threads: e.o.Threads, Logger: e.o.logger(), CheckSchema: s.checkSchema}, nil
}

// launch starts the spec's classifier, with its preprocessing before it. A
// trained one has its config and the folder of its files in d.
func (e *Experiment) launch(ctx context.Context, d launch.Deps) (*launch.Classifier, error) {
	model, process := e.Spec.Classifier.Model, e.Spec.Classifier.Process
	if e.lent != nil {
		d.Config.JSON = nil // of another model
		cl, err := launch.Lend(ctx, e.lent, model, process, d)
		return cl, e.Spec.placePreprocess(err)
	}
	if err := e.c.absent(model); err != nil {
		return nil, err
	}
	cl, err := launch.New(ctx, model, process, d)
	return cl, e.Spec.placePreprocess(err)
}

// Confinement says what the processes of the spec's classifier are kept from when it is started on this
// machine. It starts nothing; the error is that of a plugin that is not found.
func (e *Experiment) Confinement() (launch.Confinement, error) {
	c := e.Spec.Classifier
	return launch.Held(c.Model, c.Process, launch.Deps{Finder: e.finder(), Consent: e.consent(), Base: e.Spec.Abs(".")})
}

// placePreprocess gives what a model finds wrong with classifier.preprocess its
// place in the file; other errors stay as they are.
func (s *Spec) placePreprocess(err error) error {
	var l *launch.Error
	var keys registry.FieldErrors
	if errors.As(err, &l) && l.Op == launch.OpPreprocess && errors.As(err, &keys) {
		return s.Faults("classifier.preprocess", keys)
	}
	return err
}

// StartClassifier starts the experiment's classifier for the data at hand. If
// the spec has a section classifier.train it is trained into dir, unless an
// earlier call left the finished result there. The caller must Close it.
func (e *Experiment) StartClassifier(ctx context.Context, dir string) (*launch.Classifier, error) {
	model, role := e.Spec.Classifier.Model, dataset.RoleTrain
	if other := e.Spec.Data.Describing(); model.Train == nil && other != "" {
		role = other // nothing is trained, and any rows tell what a row is
	}
	rows, err := e.Rows(role)
	if err != nil {
		return nil, err
	}
	if err := e.checkRead(); err != nil {
		return nil, err
	}
	d, err := e.deps(sdk.Config{InputShape: rows.Example().Clone(), Classes: len(rows.Classes)})
	if err != nil {
		return nil, err
	}
	if d.Rows, err = dataset.Take(rows.Examples(), indices(min(16, rows.N()))); err != nil {
		return nil, err
	}
	if model.Train != nil {
		if done, ok := launch.ReadFit(dir, model.Config); ok {
			d.Config.JSON, d.Config.BaseDir = done, dir
			return e.launch(ctx, d)
		}
	}
	cl, err := e.launch(ctx, d)
	if err != nil {
		return nil, err
	}
	if model.Train == nil {
		var info sdk.Info
		if info, err = cl.Info(ctx); err == nil && !info.Ready {
			err = e.Spec.Errorf("classifier", "the plugin %s is not trained: give classifier.train, or weights in classifier.config", info.Name)
		}
	} else {
		err = e.fitClassifier(ctx, cl, dir)
	}
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	return cl, nil
}

// streamedClassifier says why rows that are not in memory train no classifier.
const streamedClassifier = "the rows stay in their file, and classifier.train needs them in memory: train the classifier on some of them (limit, range) in a spec of its own and name its weights here, or bring a trained one"

// fitClassifier trains the classifier into dir. An unfinished earlier Fit starts again.
func (e *Experiment) fitClassifier(ctx context.Context, cl *launch.Classifier, dir string) error {
	rows, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return err
	}
	if rows.Labels == nil {
		return e.Spec.Errorf("data.train", "has no labels, which classifier.train needs")
	}
	if rows.Stored != nil {
		return e.Spec.Errorf("data.train", streamedClassifier)
	}
	data := sdk.TrainingData{X: rows.X, Labels: rows.Labels}
	if e.Spec.Data.Validation != nil {
		held, err := e.Rows(dataset.RoleValidation)
		if err != nil {
			return err
		}
		if held.Labels != nil {
			data.ValX, data.ValLabels = held.X, held.Labels
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	section := e.Spec.Classifier.Model.Train
	options, err := json.Marshal(section)
	if err != nil {
		return err
	}
	epochs, _ := section["epochs"].(int)
	done, err := cl.Fit(ctx, data, sdk.FitOptions{JSON: options, Seed: e.Spec.Seed, OutputDir: dir, Progress: func(p sdk.FitProgress) {
		e.o.progress(Progress{Stage: "classifier", Done: (p.Epoch-1)*p.Steps + p.Step, Total: max(epochs, p.Epoch) * p.Steps,
			Epoch: p.Epoch, Epochs: epochs, Ended: p.Step == p.Steps, Metrics: p.Metrics})
	}})
	if err != nil {
		return fmt.Errorf("train the classifier: %w", err)
	}
	info, err := cl.Info(ctx)
	if err != nil {
		return err
	}
	return launch.WriteFit(dir, info.Schema, done.ConfigJSON)
}

// checkSchema holds the section classifier against the schema that the plugin
// itself declares: one that has no plugin.yaml is first known when it runs.
func (s *Spec) checkSchema(schema []byte) error {
	if err := spec.CheckSchema(schema); len(schema) > 0 && err != nil { // the plugin's fault, not the spec's
		m := s.Classifier.Model
		name := cmp.Or(m.Plugin, m.Path, strings.Join(m.Command, " "))
		return &launch.Error{Op: "describe", Plugin: name, Err: fmt.Errorf("the plugin's schema: %w", err)}
	}
	if faults := s.CheckConfig(schema, "classifier.config"); len(faults) > 0 {
		return faults
	}
	return nil
}

// gradientSource stands before a classifier that lacks the gradients that the
// spec asks for; nil if it has them. events receives what it does.
func (e *Experiment) gradientSource(ctx context.Context, cl sdk.Classifier, events func(gradient.Event)) (*gradient.Source, error) {
	info, err := cl.Info(ctx)
	if err != nil {
		return nil, err
	}
	if !gradient.Needed(e.Spec.Classifier.Gradient.Kind, info) {
		return nil, nil
	}
	o := e.gradientOptions()
	o.Events = events
	if o.Train, err = e.trainRows(); err != nil {
		return nil, err
	}
	if o.Validation, err = e.optional(dataset.RoleValidation); err != nil {
		return nil, err
	}
	return gradient.New(ctx, cl, o)
}

// gradientOptions are those of the spec, without rows.
func (e *Experiment) gradientOptions() gradient.Options {
	return gradient.Options{Section: e.Spec.Classifier.Gradient, Layers: e.c.Surrogate, Seed: e.Spec.Seed, Threads: e.o.Threads}
}

// gradientEvents turns a source's events into progress, the log and
// events.jsonl.
func (e *Experiment) gradientEvents(event func(kind string, fields map[string]any) error) func(gradient.Event) {
	return func(g gradient.Event) {
		fields := map[string]any{"queries": g.Queries.Total(), "queries_for_gradients": g.Queries.Gradients}
		if g.Message != "" {
			fields["message"] = g.Message
			if g.Warning {
				e.o.logger().Warn(g.Message)
			} else {
				e.o.logger().Info(g.Message)
			}
		}
		metrics := map[string]float64{"queries": float64(g.Queries.Total())}
		if f := g.Fidelity; f != nil {
			metrics["agreement"], metrics["kl"] = f.Agreement, f.KL
			fields["agreement"], fields["kl"], fields["held_out"] = f.Agreement, f.KL, f.N
		}
		if f := g.Rebuilt; f != nil {
			fields["agreement_rebuilt"], fields["kl_rebuilt"] = f.Agreement, f.KL
		}
		switch g.Stage {
		case gradient.StageAsk, gradient.StageFit:
			e.o.progress(Progress{Stage: string(g.Stage), Done: g.Done, Total: g.Total, Ended: g.Done == g.Total, Metrics: metrics})
			return
		case gradient.StageRefit:
			fields["epoch"] = g.Epoch
		case gradient.StageChosen:
			if g.Fidelity != nil {
				e.o.progress(Progress{Stage: "fidelity", Done: 1, Total: 1, Ended: true, Metrics: metrics})
			}
		}
		_ = event(string(g.Stage), fields)
	}
}

// settleSource ends a source's training. One that nothing has needed is closed,
// unless the spec asks for its gradients by name: for attacks.
func (e *Experiment) settleSource(ctx context.Context, s *gradient.Source) (*gradient.Source, error) {
	if s == nil {
		return nil, nil
	}
	if kind := e.Spec.Classifier.Gradient.Kind; kind != gradient.Auto && kind != gradient.Exact {
		if err := s.Prepare(ctx); err != nil {
			return s, err
		}
	}
	if s.Report().Kind == "" {
		return nil, s.Close()
	}
	s.Freeze()
	return s, nil
}

// reopenSource is the gradient of a saved detector; nil if it is the
// classifier's own.
func (e *Experiment) reopenSource(ctx context.Context, cl sdk.Classifier, saved *artifact.Detector) (*gradient.Source, error) {
	if saved.Meta.Gradient == nil {
		return nil, nil
	}
	return gradient.Reopen(ctx, cl, e.gradientOptions(), *saved.Meta.Gradient, saved.Gradient())
}

// Model is the classifier as attacks see it: with the gradients of its Source
// where it has none of its own.
func (d *Detector) Model() sdk.Classifier { return modelOf(d.Classifier, d.Gradient) }

func modelOf(cl sdk.Classifier, s *gradient.Source) sdk.Classifier {
	if s != nil {
		return s
	}
	return cl
}

// closeSource joins the error of closing a source that may be nil.
func closeSource(s *gradient.Source, err error) error {
	if s == nil {
		return err
	}
	return errors.Join(err, s.Close())
}

// gradientReport says where gradients come from; nil: from the classifier.
func (d *Detector) gradientReport() *gradient.Report {
	if d.Gradient == nil {
		return nil
	}
	r := d.Gradient.Report()
	return &r
}
