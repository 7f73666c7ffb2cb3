package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/launch"
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
	return launch.Deps{Finder: Plugins(), Base: s.Abs("."), Config: c, Threads: e.o.Threads, Logger: e.o.logger(), CheckSchema: s.checkSchema}, nil
}

// start starts the spec's classifier. A trained one has its config and the
// folder of its files in d.
func (e *Experiment) start(ctx context.Context, d launch.Deps) (*launch.Classifier, error) {
	return launch.New(ctx, e.Spec.Classifier.Model, e.Spec.Classifier.Process, d)
}

// StartClassifier starts the experiment's classifier for the data at hand. If
// the spec has a section classifier.train it is trained into dir, unless an
// earlier call left the finished result there. The caller must Close it.
func (e *Experiment) StartClassifier(ctx context.Context, dir string) (*launch.Classifier, error) {
	rows, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return nil, err
	}
	model := e.Spec.Classifier.Model
	d, err := e.deps(sdk.Config{InputShape: rows.X.Example().Clone(), Classes: len(rows.Classes)})
	if err != nil {
		return nil, err
	}
	d.Rows = rows.X.Rows(0, min(16, rows.X.N()))
	if model.Train != nil {
		if done, ok := launch.ReadFit(dir, model.Config); ok {
			d.Config.JSON, d.Config.BaseDir = done, dir
			return e.start(ctx, d)
		}
	}
	cl, err := e.start(ctx, d)
	if err != nil {
		return nil, err
	}
	if model.Train == nil {
		var info sdk.Info
		if info, err = cl.Info(ctx); err == nil && !info.Ready {
			err = e.Spec.Errorf("classifier", "the plugin %s is not trained: give classifier.train, or weights in classifier.config", info.Name)
		}
	} else {
		err = e.fit(ctx, cl, dir)
	}
	if err != nil {
		return nil, errors.Join(err, cl.Close())
	}
	return cl, nil
}

// UseClassifier makes the trainings of the experiment guard the classifier
// that StartClassifier trained into dir, as it is. Without a section
// classifier.train it changes nothing.
func (e *Experiment) UseClassifier(dir string) { e.frozen = dir }

// fit trains the classifier into dir. An unfinished earlier Fit starts again.
func (e *Experiment) fit(ctx context.Context, cl *launch.Classifier, dir string) error {
	rows, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return err
	}
	if rows.Labels == nil {
		return e.Spec.Errorf("data.train", "has no labels, which classifier.train needs")
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
	if faults := s.CheckConfig(schema, "classifier.config"); len(faults) > 0 {
		return faults
	}
	return nil
}
