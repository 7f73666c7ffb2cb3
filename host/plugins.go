package host

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk"
)

// Plugins finds plugins: shipped ones, and folders in $VAEGUARD_PLUGIN_DIR,
// beside the executable and in ~/.vaeguard/plugins.
func Plugins() launch.Finder {
	return launch.Finder{Dirs: launch.DefaultDirs(), ReadManifest: ReadManifest}
}

// ReadManifest reads the text of a plugin.yaml. Variables are not expanded. All
// faults come back at once, as spec.Errors.
func ReadManifest(text []byte) (launch.Manifest, error) {
	var m launch.Manifest
	_, err := spec.Parse(launch.ManifestName, text, &m, spec.Options{Literal: true, Checks: []spec.Check{{
		Find: func(d *spec.Document, _ spec.Errors) spec.Errors {
			if m.Config == nil {
				return nil
			}
			return d.Faults("config", spec.CheckSchema(m.Schema()))
		},
	}}})
	return m, err
}

// FindPlugin resolves what a command line names: a path (an executable, or a
// folder with plugin.yaml), or a name (shipped, or discovered).
func FindPlugin(nameOrPath string) (launch.Plugin, error) {
	if filepath.Base(nameOrPath) == nameOrPath {
		p, err := Plugins().Find(nameOrPath)
		if err == nil {
			return p, nil
		}
		if _, stat := os.Stat(nameOrPath); stat != nil {
			return p, err
		}
	}
	return Plugins().Path(nameOrPath, ".")
}

// ReadConfig reads a plugin's config, YAML or JSON, as JSON.
func ReadConfig(file string) ([]byte, error) { return spec.ReadConfig(file, os.LookupEnv) }

// ReadPreprocess reads what a spec has as classifier.preprocess: YAML or JSON, in
// a file or, if it begins with a brace, as it stands. Errors are spec.Errors, or
// that of the file.
func ReadPreprocess(text string) (*preprocess.Section, error) {
	s := &preprocess.Section{}
	var err error
	if strings.HasPrefix(strings.TrimSpace(text), "{") {
		_, err = spec.Parse("preprocess", []byte(text), s, spec.Options{})
	} else {
		_, err = spec.Load(text, s, spec.Options{})
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// LintClassifier checks the section classifier against the plugin's own
// schema and shape: by plugin.yaml, or what a shipped plugin says of itself;
// with start, by starting it. Faults are spec.Errors, a plugin that cannot be
// started is a *launch.Error.
func (e *Experiment) LintClassifier(ctx context.Context, start bool) error {
	s := e.Spec
	if !s.Given("classifier") {
		return nil
	}
	p, err := s.Classifier.Model.Find(Plugins(), s.Abs("."))
	if err != nil {
		return s.pluginFaults(s.Document, e.c)
	}
	faults := s.configFaults(s.Document, e.c)
	in, classes := s.inputShape(s.Document, e.c)
	if want := p.Manifest.InputShape; in != nil && want != nil && in.Size() != want.Size() {
		faults = append(faults, s.Errorf("classifier", "takes %v, the data has %v", want, in))
	}
	faults = append(faults, s.classFaults(p, e.c)...)
	if start && classes == 0 {
		classes = s.countClasses(e.c)
	}
	if start && len(faults) == 0 {
		return e.lintStarted(ctx, p, sdk.Config{InputShape: in, Classes: classes})
	}
	if len(faults) > 0 {
		return faults
	}
	return nil
}

// countClasses reads the labels of data.train, to their end if it must; 0: they
// are not known.
func (s *Spec) countClasses(c Components) int {
	if s.Data.Train == nil {
		return 0
	}
	f, err := dataset.ReadFirst(*s.Data.Train, s.Abs("."), c.Datasets, c.Formats, dataset.Enough{Classes: math.MaxInt},
		dataset.OpenOptions{Schema: s.schemaOf(*s.Data.Train)})
	if err != nil {
		return 0
	}
	return f.Classes
}

// classFaults finds more classes in data.train than the plugin has: by
// plugin.yaml, or by its config where that has the key classes.
func (s *Spec) classFaults(p launch.Plugin, c Components) spec.Errors {
	path, have := "classifier", p.Manifest.Classes
	if n, ok := s.Classifier.Model.Config["classes"].(int); ok {
		path, have = "classifier.config.classes", n
	}
	f, err := s.first(s.Document, c, dataset.RoleTrain)
	if have == 0 || err != nil || f == nil {
		return nil
	}
	if n := max(f.Classes, len(f.Seen)); n > have {
		return spec.Errors{s.Errorf(path, "knows %d classes, data.train has %d", have, n)}
	}
	return nil
}

// configFaults checks classifier.config against the schema that is known
// without starting the plugin, its secrets above all: before anything of the
// spec is written.
func (s *Spec) configFaults(d *spec.Document, c Components) spec.Errors {
	p, err := s.Classifier.Model.Find(Plugins(), d.Abs("."))
	if err != nil {
		return nil // the start says so
	}
	schema := schemaOf(p, c)
	if len(schema) == 0 {
		return nil
	}
	return d.CheckConfig(schema, "classifier.config")
}

// shippedSchema is what a shipped plugin says of its config; nil: it takes
// none, or these components lack it.
func shippedSchema(name string, c Components) []byte {
	shipped, err := c.Classifiers.Lookup(name)
	if err != nil {
		return nil
	}
	if made, ok := shipped.New().(sdk.Configurable); ok {
		return made.Schema()
	}
	return nil
}

// lintStarted starts the plugin and asks it.
func (e *Experiment) lintStarted(ctx context.Context, p launch.Plugin, config sdk.Config) error {
	s := e.Spec
	deps, err := e.deps(config)
	if err != nil {
		return err
	}
	confine, err := launch.ParseConfine(s.Classifier.Process.Confine)
	if err != nil {
		return err
	}
	cl, err := launch.Start(ctx, launch.Options{Command: p.Command, Config: deps.Config, Logger: e.o.logger(), Checks: launch.ChecksOff, Confine: confine,
		CheckSchema: s.checkSchema, Preprocess: s.Classifier.Model.Preprocess})
	var d sdk.Diagnostics
	if errors.As(err, &d) {
		var faults spec.Errors
		for _, x := range d {
			faults = append(faults, s.Errorf("classifier.config"+dotted(x.Pointer), "%s", x.Message))
		}
		return faults
	}
	if err != nil {
		return s.placePreprocess(err)
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
