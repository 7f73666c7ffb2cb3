package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk/secret"
)

// part is a file or a folder that a spec's classifier is made of.
type part struct {
	key     string // in the section classifier: path, config.model, command[1]
	value   string // as the spec has it
	file    string // where it is
	private bool   // it belongs to the machine
}

// schemaOf is what is known of a plugin's config before it is started; nil: its
// manifest has none, or it has no manifest.
func schemaOf(p launch.Plugin, c Components) []byte {
	if p.Shipped {
		return shippedSchema(p.Name, c)
	}
	return p.Manifest.Schema()
}

// parts are what a classifier is made of besides the program that the host runs
// itself. The config of one that was trained is in the detector, with its files.
func (e *Experiment) parts(p launch.Plugin, schema []byte, trained bool) ([]part, error) {
	var out []part
	m := e.Spec.Classifier.Model
	switch {
	case p.Dir != "":
		out = append(out, part{key: "path", value: m.Path + m.Plugin, file: p.Dir})
	case m.Path != "":
		out = append(out, part{key: "path", value: m.Path, file: p.Command.Path})
	}
	for i, word := range m.Command {
		file := word
		if !filepath.IsAbs(word) {
			file = filepath.Join(e.Spec.Abs("."), filepath.FromSlash(word))
		}
		if i == 0 {
			if file = p.Command.Path; !strings.ContainsAny(file, `/\`) || filepath.IsAbs(word) {
				continue // a program of the system
			}
		}
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			out = append(out, part{key: fmt.Sprintf("command[%d]", i), value: word, file: file})
		}
	}
	if trained {
		return out, nil
	}
	config, err := m.ConfigJSON()
	if err != nil {
		return nil, err
	}
	for _, path := range secret.Paths(schema, config) {
		file := path.Value
		if !filepath.IsAbs(file) {
			file = filepath.Join(e.Spec.Abs("."), filepath.FromSlash(file))
		}
		out = append(out, part{key: "config" + dotted(path.Pointer), value: path.Value, file: file, private: path.Private})
	}
	return out, nil
}

// hintParts adds to the error of a detector whose classifier did not start which
// of its parts are not where they are looked for, and what can be done.
func (e *Experiment) hintParts(dir string, trained bool, err error) error {
	var missing []string
	p, find := e.Spec.Classifier.Model.Find(e.finder(), e.Spec.Abs("."))
	if find != nil {
		missing = append(missing, "classifier."+e.Spec.Classifier.Model.Key())
	} else if parts, partsErr := e.parts(p, schemaOf(p, e.c), trained); partsErr == nil {
		for _, p := range parts {
			if _, err := os.Stat(p.file); err != nil {
				missing = append(missing, fmt.Sprintf("classifier.%s: %s", p.key, p.file))
			}
		}
	}
	if len(missing) == 0 {
		return err
	}
	key := "KEY=VALUE"
	if name, _, ok := strings.Cut(strings.TrimPrefix(missing[0], "classifier."), ":"); ok {
		key = name + "=FILE"
	}
	return fmt.Errorf("detector %s: what its classifier is made of is not where it was (%s): name the folder of its spec with --base DIR or the place itself with --classifier %s, or move it with vaeguard pack: %w",
		dir, strings.Join(slices.Compact(missing), ", "), key, err)
}
