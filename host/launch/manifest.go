package launch

import (
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ManifestName is the file that makes a folder a plugin.
const ManifestName = "plugin.yaml"

// Manifest is what plugin.yaml says about a plugin before anything is started.
type Manifest struct {
	Name    string `yaml:"name" required:"true" doc:"name of the plugin, as used in specs"`
	Version string `yaml:"version" required:"true" doc:"version of the plugin"`
	Summary string `yaml:"summary" doc:"description in one sentence"`
	// Command is the program and its arguments; a program that is in the folder
	// is that one.
	Command    []string       `yaml:"command" required:"true" doc:"program and arguments, relative to the folder"`
	Files      []string       `yaml:"files" doc:"what a pin covers besides the command, relative to the folder"`
	Config     map[string]any `yaml:"config" doc:"JSON Schema (draft-07) of classifier.config"`
	Confine    *Needs         `yaml:"confine" doc:"it works confined, with these needs: without network and other files, on Linux; absent: it may do what its user may"`
	InputShape tensor.Shape   `yaml:"input_shape" check:">= 1" doc:"shape of one example, if the plugin fixes it"`
	Classes    int            `yaml:"classes" check:">= 0" doc:"number of classes, if the plugin fixes it; 0: it does not"`
	// Accuracy is held against that on calibration rows: rows in other units, or
	// classes in another order, are a difference that nothing else shows.
	Accuracy float64 `yaml:"accuracy" check:">= 0, <= 1" doc:"accuracy that its author measured on rows held out, from 0 to 1; 0: not told"`
}

// Validate implements registry.Validator.
func (m *Manifest) Validate() error {
	var faults registry.FieldErrors
	if m.Command != nil && len(m.Command) == 0 {
		faults.Add("command", "names no program")
	}
	if m.Classes == 1 {
		faults.Add("classes", "want 2 or more: with one there is nothing to tell apart")
	}
	for i, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f)) {
			faults.Add(fmt.Sprintf("files[%d]", i), "%q is outside the folder", f)
		}
	}
	return faults.Err()
}

// Schema is Config as JSON; nil if there is none.
func (m *Manifest) Schema() []byte {
	if m.Config == nil {
		return nil
	}
	data, err := json.Marshal(m.Config)
	if err != nil {
		panic("launch: a manifest's values have a JSON form")
	}
	return data
}
