package spec

import (
	"cmp"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Document is a file that was read into a struct: it knows where each value
// stood, what was given and what is a default, and writes the struct again. A
// nil *Document stands for a struct that was made in a program.
type Document struct {
	file      string
	positions map[string]Position // by dotted path: vae.encoder[2].conv2d.filters

	root   *node
	tables []registry.Any
	names  map[string]string // of components, by the path of what holds them
	plain  map[string]string // values that came from variables, as first read

	foreign []string // options that were ignored: see Options.Foreign
}

// Ignored are the options that were ignored as those of another component, by
// dotted path: see Options.Foreign.
func (d *Document) Ignored() []string {
	if d == nil {
		return nil
	}
	return slices.Clone(d.foreign)
}

func newDocument(file string, root *node, tables []registry.Any) *Document {
	d := &Document{file: file, positions: map[string]Position{}, root: root, tables: tables, names: map[string]string{}}
	root.positions("", d.positions)
	return d
}

// Position is a place in a file, from 1.
type Position struct{ Line, Column int }

// Error is one fault of a file.
type Error struct {
	File    string
	Pos     Position // zero if unknown
	Path    string   // vae.encoder[2].conv2d
	Message string
}

// Error writes file:line:col: path: message.
func (e Error) Error() string {
	var parts []string
	switch {
	case e.Pos.Line > 0:
		parts = append(parts, fmt.Sprintf("%s:%d:%d", e.File, e.Pos.Line, e.Pos.Column))
	case e.File != "":
		parts = append(parts, e.File)
	}
	if e.Path != "" {
		parts = append(parts, e.Path)
	}
	return strings.Join(append(parts, e.Message), ": ")
}

// Errors are all faults of a file, by place.
type Errors []Error

// Error writes one fault a line.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap lists the faults for errors.As.
func (e Errors) Unwrap() []error {
	out := make([]error, len(e))
	for i, one := range e {
		out[i] = one
	}
	return out
}

// sorted orders by place and drops repetitions.
func (e Errors) sorted() Errors {
	slices.SortStableFunc(e, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return slices.Compact(e)
}

// orNil is e as an error, nil if there is none.
func (e Errors) orNil() error {
	if len(e) == 0 {
		return nil
	}
	return e.sorted()
}

// Touch reports whether a fault stands in one of the top-level sections.
func (e Errors) Touch(sections ...string) bool {
	return slices.ContainsFunc(e, func(one Error) bool {
		st, err := steps(one.Path)
		return err == nil && slices.Contains(sections, st[0].key)
	})
}

// Below reports whether a fault stands at a path or within it.
func (e Errors) Below(path string) bool {
	return slices.ContainsFunc(e, func(one Error) bool {
		rest, ok := strings.CutPrefix(one.Path, path)
		return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
	})
}

// At reports whether one of the errors is about the value at path itself.
func (e Errors) At(path string) bool {
	return slices.ContainsFunc(e, func(one Error) bool { return one.Path == path })
}

// File is the name of the file that was read, or empty.
func (d *Document) File() string {
	if d == nil {
		return ""
	}
	return d.file
}

// Abs resolves a path of the file against the folder of the file.
func (d *Document) Abs(path string) string {
	if path == "" || filepath.IsAbs(path) || d.File() == "" {
		return path
	}
	return filepath.Join(filepath.Dir(d.file), path)
}

// Given reports whether the file (or an override) has a value other than null
// at a dotted path: false where a default stands.
func (d *Document) Given(path string) bool {
	if d == nil {
		return false
	}
	n := d.root.at(path)
	return n != nil && n.shape != null
}

// Require makes an error for each of the dotted paths that the file lacks:
// what a verb needs beyond what every file has.
func (d *Document) Require(verb string, paths ...string) Errors {
	var errs Errors
	for _, p := range paths {
		if !d.Given(p) {
			errs = append(errs, d.Errorf(parent(p), "missing key %q, which %s needs", p, verb))
		}
	}
	return errs
}

// Errorf makes an error about the value at path, with its position if known
// (else that of its nearest parent).
func (d *Document) Errorf(path, format string, args ...any) Error {
	e := Error{Path: path, Message: d.Unexpand(fmt.Sprintf(format, args...))}
	if d == nil {
		return e
	}
	e.File, e.Pos = d.file, d.position(path)
	return e
}

// Faults are what a Validate found below a path, with positions; another error
// is one about the path itself. nil gives none.
func (d *Document) Faults(path string, err error) Errors {
	var out Errors
	for _, f := range fieldErrors(err) {
		e := d.Errorf(join(path, f.Key), "%s", f.Message)
		if f.At != "" && d != nil {
			e.Pos = d.position(join(path, f.At))
		}
		out = append(out, e)
	}
	return out
}

// fieldErrors are the faults in what Validate returned.
func fieldErrors(err error) registry.FieldErrors {
	switch err := err.(type) { //nolint:errorlint // only what Validate returns itself has keys of its own
	case nil:
		return nil
	case registry.FieldErrors:
		return err
	case registry.FieldError:
		return registry.FieldErrors{err}
	}
	return registry.FieldErrors{{Message: err.Error()}}
}

// join writes a dotted path below another; either may be empty.
func join(path, below string) string {
	if path == "" || below == "" || below[0] == '[' {
		return path + below
	}
	return path + "." + below
}

// position is that of a path, or of its nearest parent.
func (d *Document) position(path string) Position {
	for p := path; ; p = parent(p) {
		if pos, ok := d.positions[p]; ok {
			return pos
		}
		if p == "" {
			return Position{}
		}
	}
}

// parent drops the last key or index of a dotted path.
func parent(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '.' || path[i] == '[' {
			return path[:i]
		}
	}
	return ""
}

// Resolved is a struct of the type that was read, as YAML with its defaults
// filled in and its variables as written: reading it again, against the same
// tables and environment, gives an equal one. Values changed since they were
// read are written as they are; a value that came from a ${VAR} and is
// unchanged is written as that ${VAR}, a secret always. v points to the struct.
func (d *Document) Resolved(v any) []byte {
	w := d.writer()
	if d != nil {
		w.unchanged = d.plain
	}
	return render(w.structure(reflect.ValueOf(v).Elem(), reflect.Value{}, ""))
}

// remember keeps the plain form of each value that holds a variable, to see
// later whether it has changed.
func (d *Document) remember(v reflect.Value) {
	w := d.writer()
	if len(w.vars) == 0 {
		return
	}
	d.plain = map[string]string{}
	w.record = d.plain
	w.structure(v, reflect.Value{}, "")
}

func (d *Document) writer() *writer {
	w := &writer{vars: map[string]*node{}}
	if d != nil {
		d.root.variables("", w.vars)
		w.root, w.tables, w.names = d.root, d.tables, d.names
	}
	return w
}
