package spec

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Source remembers where each value of a file stood.
type Source struct {
	File      string
	Positions map[string]Position // by dotted path: vae.encoder[2].conv2d.filters

	root   *node
	tables []registry.Any
	names  map[string]string // of components, by the path of what holds them
	plain  map[string]string // values that came from variables, as first read
}

// Position is a place in a file, from 1.
type Position struct{ Line, Column int }

// Error is one fault of a spec.
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

// Errors are all faults of a spec, by place.
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

// Errorf makes an error about the value at path, with its position if known
// (else that of its nearest parent).
func (s *Spec) Errorf(path, format string, args ...any) Error {
	e := s.source.errorf(path, format, args...)
	e.Message = s.Unexpand(e.Message)
	return e
}

func (s *Source) errorf(path, format string, args ...any) Error {
	e := Error{Path: path, Message: fmt.Sprintf(format, args...)}
	if s == nil {
		return e
	}
	e.File = s.File
	for p := path; ; p = parent(p) {
		if pos, ok := s.Positions[p]; ok {
			e.Pos = pos
			return e
		}
		if p == "" {
			return e
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
