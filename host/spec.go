package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
)

// Spec is one declared experiment, defaults filled in: a section for each room
// of the host. Pointers are nil where a section is absent. Field tags are those
// of package registry and, for defaults, of spec.Parse. Its Document is nil for
// one that was made in a program.
type Spec struct {
	APIVersion  string               `yaml:"api_version" enum:"vaeguard/v1" required:"true" doc:"format of this file"`
	Kind        string               `yaml:"kind" enum:"Experiment" required:"true" doc:"what the file declares"`
	Name        string               `yaml:"name" required:"true" doc:"names the run"`
	Seed        uint64               `yaml:"seed" doc:"seed of every random choice; same seed, same bits"`
	Compat      string               `yaml:"compat" enum:"|alibi_detect_0_2_0" doc:"short for the options that reproduce a reference implementation"`
	Preset      string               `yaml:"preset" kind:"preset" doc:"a recipe by name, for images or a table: stands for the keys that the resolved spec has and the file does not; a key of the file wins"`
	Data        dataset.Section      `yaml:"data" doc:"rows by role"`
	Classifier  Classifier           `yaml:"classifier" doc:"the model to guard"`
	VAE         *vae.Section         `yaml:"vae" doc:"the auto-encoder; auto: one that fits the shape of the rows, which the resolved spec has layer by layer"`
	Detector    detect.Section       `yaml:"detector" doc:"how an input is scored"`
	Train       *train.Section       `yaml:"train" doc:"how the auto-encoder is trained; absent: used as it is"`
	Threshold   *detect.Rule         `yaml:"threshold" doc:"when an input is flagged"`
	Attacks     []registry.Component `yaml:"attacks" kind:"attack" doc:"attacks that run and evaluate use"`
	Corruptions []registry.Component `yaml:"corruptions" kind:"corruption" doc:"natural corruptions that evaluate measures false alarms on"`
	Evaluate    evaluate.Section     `yaml:"evaluate" doc:"how much evaluate does"`

	*spec.Document `yaml:"-"`

	// Expanded is the preset that stands in the sections already: Preset is then
	// empty, as in the resolved spec. "": none.
	Expanded string `yaml:"-"`
}

// Classifier is the spec's section classifier: which model it is, where its
// gradients come from and how its process is run.
type Classifier struct {
	Model    launch.Section   `yaml:",inline"`
	Gradient gradient.Section `yaml:",inline"`
	Process  launch.Process   `yaml:",inline"`
}

// Absent implements registry.Absenter: a section that names no model would be
// incomplete.
func (c Classifier) Absent() bool { return !c.Model.Named() }

// Validate implements registry.Validator.
func (c Classifier) Validate() error { return c.Model.Validate() }

// Resolved is the spec as YAML with its defaults filled in and its variables as
// written.
func (s *Spec) Resolved() []byte { return s.Document.Resolved(s) }

// Title is the spec's name as the file has it: what may be written.
func (s *Spec) Title() string {
	if s.Document == nil {
		return s.Name
	}
	return s.Written("name")
}

// Schema is the JSON Schema (draft-07) of specs with the given components: what
// editors check and complete YAML with.
func Schema(c Components) []byte { return spec.Schema("vaeguard experiment", Spec{}, c.Tables()...) }

// read reads a spec file; name may be a ready spec of Components.Specs, with or
// without .yaml, if no such file exists.
func read(name string, set []string, c Components, checks func(*Spec) []spec.Check) (*Spec, error) {
	s := &Spec{}
	o := spec.Options{Tables: c.Tables(), Set: set, Checks: checks(s)}
	expanded := s.extender(&o, c)
	var err error
	info, stat := os.Stat(name)
	if (stat != nil || info.IsDir()) && c.Specs != nil && filepath.Base(name) == name {
		file := strings.TrimSuffix(name, ".yaml") + ".yaml"
		data, readErr := fs.ReadFile(c.Specs, file)
		if readErr != nil && stat == nil {
			return nil, fmt.Errorf("%s is a folder; want a spec", name)
		}
		if readErr != nil {
			return nil, fmt.Errorf("open %s: no such file, and no shipped spec of that name: see vaeguard list spec", name)
		}
		s.Document, err = spec.Parse(file, data, s, o)
	} else {
		s.Document, err = spec.Load(name, s, o)
	}
	if err != nil {
		return nil, err
	}
	s.Expanded = *expanded
	return s, nil
}

// ParseSpec reads the text of a spec; name stands for the file in errors. It
// finds what the text alone tells: no plugin is looked at, and of the data headers
// alone, where there is a preset. Errors are spec.Errors.
func ParseSpec(name string, text []byte, c Components) (*Spec, error) {
	return parse(name, text, c, spec.Options{})
}

// parse is ParseSpec with further options: those of a saved detector, whose
// file may have options of other detection methods than its own.
func parse(name string, text []byte, c Components, o spec.Options) (*Spec, error) {
	s := &Spec{}
	o.Tables, o.Checks = c.Tables(), ownChecks(s, c)
	expanded := s.extender(&o, c)
	var err error
	if s.Document, err = spec.Parse(name, text, s, o); err != nil {
		return nil, err
	}
	s.Expanded = *expanded
	return s, nil
}
