package spec

import (
	"encoding/json"
	"path/filepath"
	"reflect"
)

// ManifestName is the file that makes a folder a plugin.
const ManifestName = "plugin.yaml"

// Manifest is what a plugin's folder says about it before anything is started.
type Manifest struct {
	Name       string         `yaml:"name" required:"true" doc:"as specs name it"`
	Version    string         `yaml:"version" required:"true" doc:"of the plugin"`
	Summary    string         `yaml:"summary" doc:"one sentence"`
	Command    []string       `yaml:"command" required:"true" doc:"program and arguments, relative to the folder"`
	Files      []string       `yaml:"files" doc:"what a pin covers, relative to the folder"`
	Config     map[string]any `yaml:"config" doc:"JSON Schema (draft-07) of classifier.config"`
	InputShape []int          `yaml:"input_shape" check:">= 1" doc:"of one example, if the plugin fixes it"`

	source *Source
}

// ReadManifest reads a plugin.yaml. Variables are not expanded. All faults
// come back at once, as Errors.
func ReadManifest(file string) (*Manifest, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return ParseManifest(file, data)
}

// ParseManifest is ReadManifest on bytes; name stands for the file.
func ParseManifest(name string, data []byte) (*Manifest, error) {
	root, errs := growYAML(name, data, nil)
	if root == nil {
		return nil, errs
	}
	m := &Manifest{source: &Source{File: name, Positions: map[string]Position{}, root: root}}
	root.positions("", m.source.Positions)
	d := &decoder{file: name, errs: errs}
	d.structure(reflect.ValueOf(m).Elem(), root, "", true)
	if len(m.Command) == 0 && root.at("command") != nil && !d.errs.below("command") {
		d.errs = append(d.errs, m.source.errorf("command", "names no program"))
	}
	for i, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f)) {
			d.errs = append(d.errs, m.source.errorf(dotted.index("files", i), "%q leads out of the folder", f))
		}
	}
	if m.Config != nil {
		if _, err := readSchema(m.Schema()); err != nil {
			d.errs = append(d.errs, m.source.errorf("config", "%s", err))
		}
	}
	if err := d.errs.orNil(); err != nil {
		return nil, err
	}
	return m, nil
}

// Schema is Config as JSON; nil if there is none.
func (m *Manifest) Schema() []byte {
	if m.Config == nil {
		return nil
	}
	data, err := json.Marshal(m.Config)
	if err != nil {
		panic("spec: a manifest's values have a JSON form")
	}
	return data
}
