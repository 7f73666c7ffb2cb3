package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/secret"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// classifierSetup is all that is needed to start a classifier.
type classifierSetup struct {
	section spec.Classifier
	base    string // folder for relative paths of the section: the spec's
	config  sdk.Config
	rows    *tensor.Tensor // to check with; nil: random ones
	check   func(schema []byte) error
}

// startClassifier starts, configures and checks the plugin. Errors are
// *launch.Error.
func startClassifier(ctx context.Context, s classifierSetup, o Options) (*launch.Classifier, error) {
	p, err := pluginOf(s.section, s.base)
	if err != nil {
		return nil, err
	}
	checks, err := launch.ParseChecks(s.section.Checks)
	if err != nil {
		return nil, err
	}
	restarts := s.section.Restarts
	if restarts == 0 {
		restarts = -1 // launch: never
	}
	threads := o.Threads
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return launch.Start(ctx, launch.Options{
		Command: p.Command, Config: s.config, Threads: threads,
		Limits: launch.Limits{MemoryMB: s.section.MemoryMB, OpenFiles: s.section.OpenFiles, NoNewPrivileges: s.section.NoNewPriv},
		Logger: o.logger().Named("plugin"), Replicas: s.section.Replicas,
		CallTimeout:   time.Duration(s.section.Timeout * float64(time.Second)),
		RestartBudget: restarts, Checks: checks, CheckRows: s.rows, CheckSchema: s.check,
	})
}

// startForTraining starts the experiment's classifier for the data at hand
// and, if the spec has a section classifier.train, trains it into dir, unless
// an earlier run left the finished result there.
func (e *Experiment) startForTraining(ctx context.Context, dir string) (*launch.Classifier, sdk.Config, error) {
	train, err := e.Rows(RoleTrain)
	if err != nil {
		return nil, sdk.Config{}, err
	}
	section := e.Spec.Classifier
	config := sdk.Config{
		BaseDir: e.Spec.Abs("."), InputShape: train.X.Example().Clone(), Classes: len(train.Classes), Seed: e.Spec.Seed,
	}
	if config.BaseDir, err = filepath.Abs(config.BaseDir); err != nil {
		return nil, config, err
	}
	if config.JSON, err = json.Marshal(orEmpty(section.Config)); err != nil {
		return nil, config, err
	}
	setup := classifierSetup{section: section, base: e.Spec.Abs("."), config: config, rows: train.X.Rows(0, min(16, train.X.N())), check: e.checkSchema}
	if section.Train != nil {
		if done, ok := readFit(dir, section.Config); ok {
			setup.config.JSON, setup.config.BaseDir = done, dir
			cl, err := startClassifier(ctx, setup, e.o)
			return cl, setup.config, err
		}
	}
	cl, err := startClassifier(ctx, setup, e.o)
	if err != nil {
		return nil, config, err
	}
	if section.Train == nil {
		info, err := cl.Info(ctx)
		if err == nil && !info.Ready {
			err = e.Spec.Errorf("classifier", "the plugin %s is not trained: give classifier.train, or weights in classifier.config", info.Name)
		}
		if err != nil {
			_ = cl.Close()
			return nil, config, err
		}
		return cl, config, nil
	}
	done, err := e.fit(ctx, cl, dir)
	if err != nil {
		_ = cl.Close()
		return nil, config, err
	}
	setup.config.JSON, setup.config.BaseDir = done.ConfigJSON, dir
	return cl, setup.config, nil
}

func orEmpty(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// fit trains the classifier into dir. An unfinished earlier Fit starts again.
func (e *Experiment) fit(ctx context.Context, cl *launch.Classifier, dir string) (sdk.FitDone, error) {
	train, err := e.Rows(RoleTrain)
	if err != nil {
		return sdk.FitDone{}, err
	}
	if train.Labels == nil {
		return sdk.FitDone{}, e.Spec.Errorf("data.train", "has no labels, which classifier.train needs")
	}
	data := sdk.TrainingData{X: train.X, Labels: train.Labels}
	if e.Spec.Data.Validation != nil {
		val, err := e.Rows(RoleValidation)
		if err != nil {
			return sdk.FitDone{}, err
		}
		if val.Labels != nil {
			data.ValX, data.ValLabels = val.X, val.Labels
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		return sdk.FitDone{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return sdk.FitDone{}, err
	}
	options, err := json.Marshal(e.Spec.Classifier.Train)
	if err != nil {
		return sdk.FitDone{}, err
	}
	epochs := 0
	if n, ok := e.Spec.Classifier.Train["epochs"].(int); ok {
		epochs = n
	}
	done, err := cl.Fit(ctx, data, sdk.FitOptions{JSON: options, Seed: e.Spec.Seed, OutputDir: dir, Progress: func(p sdk.FitProgress) {
		e.o.progress(Progress{Stage: "classifier", Done: (p.Epoch-1)*p.Steps + p.Step, Total: max(epochs, p.Epoch) * p.Steps,
			Epoch: p.Epoch, Epochs: epochs, Ended: p.Step == p.Steps, Metrics: p.Metrics})
	}})
	if err != nil {
		return done, fmt.Errorf("train the classifier: %w", err)
	}
	info, err := cl.Info(ctx)
	if err != nil {
		return done, err
	}
	return done, writeFit(dir, secret.Redact(info.Schema, done.ConfigJSON))
}

// checkSchema holds the section classifier against the schema that the plugin
// itself declares: one that has no plugin.yaml is first known when it runs.
func (e *Experiment) checkSchema(schema []byte) error {
	if faults := e.Spec.CheckConfig(schema, "classifier.config"); len(faults) > 0 {
		return faults
	}
	return nil
}

// fitFile marks a finished Fit and holds the config that it ended with, its
// secrets apart.
const fitFile = "fit.json"

// readFit is the config that a Fit in dir ended with, its secrets taken from
// the spec's config.
func readFit(dir string, given map[string]any) ([]byte, bool) {
	data, err := os.ReadFile(filepath.Join(dir, fitFile))
	var config any
	if err != nil || json.Unmarshal(data, &config) != nil {
		return nil, false
	}
	if !bytes.Contains(data, []byte(secret.Redacted)) {
		return data, true
	}
	data, err = json.Marshal(unredact(config, given))
	return data, err == nil
}

// unredact puts the values of from where v is redacted.
func unredact(v, from any) any {
	switch v := v.(type) {
	case string:
		if v == secret.Redacted && from != nil {
			return from
		}
	case map[string]any:
		m, _ := from.(map[string]any)
		for k, x := range v {
			v[k] = unredact(x, m[k])
		}
	case []any:
		list, _ := from.([]any)
		for i, x := range v {
			if i < len(list) {
				v[i] = unredact(x, list[i])
			}
		}
	}
	return v
}

func writeFit(dir string, config []byte) error {
	return WriteFileAtomic(filepath.Join(dir, fitFile), func(f *os.File) error {
		_, err := f.Write(config)
		return err
	})
}
