package spec

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Options say what a file is read against.
type Options struct {
	// Tables hold the components by kind: layer, loss, optimizer, schedule,
	// score, attack, corruption; and names to check: metric, dataset. Without
	// a table its names are not checked (strings) or not accepted (components).
	Tables []registry.Any
	// Set overrides values: a dotted path, =, and YAML: train.epochs=3,
	// vae.encoder[0].conv2d.filters=8, data.train.range=[0,100].
	Set []string
	// LookupEnv finds ${VAR}; nil: os.LookupEnv.
	LookupEnv func(string) (string, bool)
	// Check are further checks, such as of shapes. They run once data,
	// classifier, vae and detector are sound; what they find joins the other
	// errors. Spec.Errorf makes errors with positions.
	Check []func(*Spec) []Error
	// CheckClassifier are further checks of a section classifier that is sound,
	// whatever the others are.
	CheckClassifier []func(*Spec) []Error
}

// Load reads a spec from a file; see Parse.
func Load(file string, o Options) (*Spec, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, data, o)
}

// readFile reads a file no larger than a spec may be.
func readFile(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxBytes+1))
	if err2 := f.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, nil
}

// Parse reads a spec; name stands for the file in errors. All faults come
// back at once, as Errors by place.
func Parse(name string, data []byte, o Options) (*Spec, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	root, errs := growYAML(name, data, o.LookupEnv)
	if root == nil {
		return nil, errs
	}
	for _, set := range o.Set {
		errs = append(errs, override(root, set, o.LookupEnv)...)
	}
	s := &Spec{source: &Source{File: name, Positions: map[string]Position{}, root: root, tables: o.Tables, names: map[string]string{}}}
	root.positions("", s.source.Positions)
	d := &decoder{file: name, tables: o.Tables, names: s.source.names, errs: errs}
	d.structure(reflect.ValueOf(s).Elem(), root, "", true)
	s.applyCompat()
	if root.shape == mapping {
		d.errs = append(d.errs, s.check(d.errs)...)
		before := d.errs
		if !before.touch("data", "classifier", "vae", "detector") {
			for _, check := range o.Check {
				d.errs = append(d.errs, check(s)...)
			}
		}
		if !before.touch("classifier") && s.Given("classifier") {
			for _, check := range o.CheckClassifier {
				d.errs = append(d.errs, check(s)...)
			}
		}
	}
	if err := d.errs.orNil(); err != nil {
		return nil, err
	}
	s.remember()
	return s, nil
}

// touch reports whether an error stands in one of the sections.
func (e Errors) touch(sections ...string) bool {
	return slices.ContainsFunc(e, func(one Error) bool {
		st, err := steps(one.Path)
		return err == nil && slices.Contains(sections, st[0].key)
	})
}

// below reports whether an error stands at a path or within it.
func (e Errors) below(path string) bool {
	return slices.ContainsFunc(e, func(one Error) bool {
		rest, ok := strings.CutPrefix(one.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// File is the name of the file that the spec was read from, or empty.
func (s *Spec) File() string {
	if s.source == nil {
		return ""
	}
	return s.source.File
}

// Abs resolves a path of the spec against the folder of its file.
func (s *Spec) Abs(path string) string {
	if path == "" || filepath.IsAbs(path) || s.File() == "" {
		return path
	}
	return filepath.Join(filepath.Dir(s.File()), path)
}

// Given reports whether the file (or an override) has a value other than null
// at a dotted path: false where a default stands.
func (s *Spec) Given(path string) bool {
	if s.source == nil {
		return false
	}
	n := s.source.root.at(path)
	return n != nil && n.shape != null
}

// Require makes an error for each of the dotted paths that the spec lacks:
// what a verb needs beyond what every spec has.
func (s *Spec) Require(verb string, paths ...string) Errors {
	var errs Errors
	for _, p := range paths {
		if !s.Given(p) {
			errs = append(errs, s.Errorf(parent(p), "missing key %q, which %s needs", p, verb))
		}
	}
	return errs
}

// at is the node at a dotted path, or nil.
func (n *node) at(path string) *node {
	st, err := steps(path)
	if err != nil {
		return nil
	}
	for _, s := range st {
		switch {
		case n == nil:
			return nil
		case s.index < 0:
			n = n.get(s.key)
		case n.shape == list && s.index < len(n.items):
			n = n.items[s.index]
		default:
			return nil
		}
	}
	return n
}
