package host

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
)

// ReadConfig reads a plugin's config, YAML or JSON, as JSON.
func ReadConfig(file string) ([]byte, error) { return spec.ReadConfig(file, os.LookupEnv) }

// LintClassifier checks the section classifier against the plugin's own
// schema and shape: by plugin.yaml, or what a shipped plugin says of itself;
// with start, by starting it. Faults are spec.Errors, a plugin that cannot be
// started is a *launch.Error.
func (e *Experiment) LintClassifier(ctx context.Context, start bool) error {
	s := e.Spec
	if !s.Given("classifier") {
		return nil
	}
	p, err := pluginOf(s.Classifier, s.Abs("."))
	if err != nil {
		return spec.Errors(e.pluginFaults(s))
	}
	faults := e.configFaults()
	in, classes := e.inputShape(s)
	if want := p.Manifest.InputShape; in != nil && want != nil && in.Size() != want.Size() {
		faults = append(faults, s.Errorf("classifier", "takes %v, the data has %v", want, in))
	}
	if start && len(faults) == 0 {
		return e.lintStarted(ctx, p, sdk.Config{InputShape: in, Classes: classes, Seed: s.Seed})
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// pluginFaults are what can be said of a spec's plugin without starting it:
// that it cannot be found, or that its config does not fit it.
func (e *Experiment) pluginFaults(s *spec.Spec) []spec.Error {
	_, err := pluginOf(s.Classifier, s.Abs("."))
	if err == nil {
		return configFaults(s, e.c)
	}
	where := "classifier.plugin"
	switch {
	case s.Classifier.Path != "":
		where = "classifier.path"
	case len(s.Classifier.Command) > 0:
		where = "classifier.command"
	}
	return []spec.Error{s.Errorf(where, "%v", cause(err))}
}

func (e *Experiment) configFaults() spec.Errors { return configFaults(e.Spec, e.c) }

// configFaults checks classifier.config against the schema that is known
// without starting the plugin, its secrets above all: before anything of the
// spec is written.
func configFaults(s *spec.Spec, c Components) spec.Errors {
	p, err := pluginOf(s.Classifier, s.Abs("."))
	if err != nil {
		return nil // the start says so
	}
	schema := p.Manifest.Config
	if p.Shipped {
		if c, ok := c.Classifiers[p.Name]().(sdk.Configurable); ok {
			schema = c.Schema()
		}
	}
	if len(schema) == 0 {
		return nil
	}
	return s.CheckConfig(schema, "classifier.config")
}

// lintStarted starts the plugin and asks it.
func (e *Experiment) lintStarted(ctx context.Context, p launch.Plugin, config sdk.Config) (err error) {
	s := e.Spec
	if config.JSON, err = json.Marshal(orEmpty(s.Classifier.Config)); err != nil {
		return err
	}
	if config.BaseDir, err = filepath.Abs(s.Abs(".")); err != nil {
		return err
	}
	cl, err := launch.Start(ctx, launch.Options{Command: p.Command, Config: config, Logger: e.o.logger(), Checks: launch.ChecksOff, CheckSchema: e.checkSchema})
	var d sdk.Diagnostics
	if errors.As(err, &d) {
		var faults spec.Errors
		for _, x := range d {
			faults = append(faults, s.Errorf("classifier.config"+dotted(x.Pointer), "%s", x.Message))
		}
		return faults
	}
	if err != nil {
		return err
	}
	return cl.Close()
}

// cause is the inner error of a plugin's: the place in the file says the rest.
func cause(err error) error {
	var l *launch.Error
	if errors.As(err, &l) {
		return l.Err
	}
	return err
}

// dotted turns a JSON pointer into a spec's path: /layers/2/units is
// .layers[2].units.
func dotted(pointer string) string {
	out := ""
	for len(pointer) > 0 {
		pointer = pointer[1:]
		part := pointer
		for i := range pointer {
			if pointer[i] == '/' {
				part = pointer[:i]
				break
			}
		}
		pointer = pointer[len(part):]
		if part != "" && part[0] >= '0' && part[0] <= '9' {
			out += "[" + part + "]"
		} else {
			out += "." + part
		}
	}
	return out
}
