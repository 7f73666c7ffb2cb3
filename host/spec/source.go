package spec

import "fmt"

// Source remembers where each value of a file stood.
type Source struct {
	File      string
	Positions map[string]Position // by dotted path: vae.encoder[2].conv2d.filters
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
	s := e.File
	if e.Pos.Line > 0 {
		s = fmt.Sprintf("%s:%d:%d", s, e.Pos.Line, e.Pos.Column)
	}
	if e.Path != "" {
		s += ": " + e.Path
	}
	return s + ": " + e.Message
}

// Errorf makes an error about the value at path, with its position if known
// (else that of its nearest parent).
func (s *Spec) Errorf(path, format string, args ...any) Error {
	e := Error{Path: path, Message: fmt.Sprintf(format, args...)}
	if s.source == nil {
		return e
	}
	e.File = s.source.File
	for p := path; ; p = parent(p) {
		if pos, ok := s.source.Positions[p]; ok {
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
