// Package registry is the table of everything that can be named in YAML:
// it drives parsing, lint, `list`, `explain`, the documentation and the JSON
// Schema.
//
// A component is a struct. Its exported fields are the options, the value in
// the table is the defaults, its methods are the behaviour. Field tags:
//
//	yaml:"units"           the key
//	doc:"number of …"      one phrase for explain and the schema
//	check:">= 1"           a bound on numbers (>, >=, <, <=), several joined by ", "
//	enum:"same|valid"      the legal strings
//	required:"true"        the key must be present
//	kind:"layer"           for a Component or []Component: the table it names
//	format:"path"          strings: a file relative to the spec's folder
//	secret:"true"          strings: only ${VAR} is accepted, and never written
//
// A field of an interface type that is some table's T (nn.Maker), or a slice
// of it, is a nested component. A Component with the tag yaml:"method,inline"
// is named by its key, and lends its options to the struct that holds it:
// {method: vae, samples: 10}. A type that implements Decoder parses itself.
// After decoding, Validate() error is called if the component has it.
package registry

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Decoder is an option that accepts several shapes in YAML, such as a number
// or a pair. v is nil, bool, int, float64, string, []any or map[string]any.
type Decoder interface{ DecodeValue(v any) error }

// Encoder is the inverse of Decoder, for writing a resolved spec.
type Encoder interface{ EncodeValue() any }

// Schemer describes a Decoder's legal values as a JSON Schema fragment.
type Schemer interface{ JSONSchema() map[string]any }

// Validator is a component, or a section, that checks its options together. An
// error that is FieldErrors gives each of its faults the place of its key.
type Validator interface{ Validate() error }

// Exampler is a component whose required options cannot be chosen one by one:
// Example are legal ones, as YAML on one line: {a: 1, b: [2]}.
type Exampler interface{ Example() string }

// Worded is a section that a single word may stand for: vae: auto. A section that
// still stands for its word is written as that.
type Worded interface {
	// Words are those that are legal.
	Words() []string
	// SetWord takes one of them in place of options.
	SetWord(word string)
	// Word is the one that the section stands for; "": it has options.
	Word() string
}

// Absenter is a section that may be left out of a file although it is a value:
// an absent one is not written.
type Absenter interface{ Absent() bool }

// Entry is one named component.
type Entry[T any] struct {
	Name    string
	Default T      // a struct value or pointer: the defaults
	Doc     string // one sentence; further paragraphs for explain
}

// Table is an ordered list of named components of one kind. It is a value:
// With returns an extended copy.
type Table[T any] struct {
	kind    string
	entries []Entry[T]
}

// NewTable makes a table. kind is the singular that errors and `list` use:
// "layer". A duplicate or empty name panics: the table is a literal.
func NewTable[T any](kind string, entries ...Entry[T]) Table[T] {
	t := Table[T]{kind: kind}
	return t.With(entries...)
}

// With returns a copy that also has the given entries. A name that is taken
// panics.
func (t Table[T]) With(entries ...Entry[T]) Table[T] {
	out := Table[T]{kind: t.kind, entries: slices.Clone(t.entries)}
	for _, e := range entries {
		if e.Name == "" {
			panic("registry: entry without a name")
		}
		if _, ok := out.find(e.Name); ok {
			panic("registry: " + t.kind + " " + e.Name + " registered twice")
		}
		out.entries = append(out.entries, e)
	}
	return out
}

func (t Table[T]) find(name string) (Entry[T], bool) {
	for _, e := range t.entries {
		if e.Name == name {
			return e, true
		}
	}
	return Entry[T]{}, false
}

// Kind is the singular name of what the table holds.
func (t Table[T]) Kind() string { return t.kind }

// Entries are the components in order. The slice is a copy.
func (t Table[T]) Entries() []Entry[T] { return slices.Clone(t.entries) }

// Lookup returns the defaults registered under name. The error lists the
// known names.
func (t Table[T]) Lookup(name string) (T, error) {
	e, ok := t.find(name)
	if !ok {
		return e.Default, fmt.Errorf("unknown %s %q; known: %s", t.kind, name, strings.Join(t.Names(), ", "))
	}
	return e.Default, nil
}

// Names are the components' names in order.
func (t Table[T]) Names() []string {
	names := make([]string, len(t.entries))
	for i, e := range t.entries {
		names[i] = e.Name
	}
	return names
}

// Any is a Table without its type parameter: what the decoder works on.
type Any interface {
	Kind() string
	Names() []string
	// Interface is the type T of the table.
	Interface() reflect.Type
	// Fresh returns a new settable copy of the defaults (a struct value,
	// addressable) and the documentation. ok is false for an unknown name.
	Fresh(name string) (v reflect.Value, doc string, ok bool)
	// Value is what Fresh returned, as the table holds it: a pointer to the
	// struct, or the struct.
	Value(name string, v reflect.Value) any
}

// Interface is the reflect type of T.
func (t Table[T]) Interface() reflect.Type { return reflect.TypeFor[T]() }

// Fresh implements Any. A table of pointers and a table of values both yield
// an addressable struct.
func (t Table[T]) Fresh(name string) (reflect.Value, string, bool) {
	e, ok := t.find(name)
	if !ok {
		return reflect.Value{}, "", false
	}
	d := reflect.ValueOf(e.Default)
	if d.Kind() == reflect.Pointer {
		d = d.Elem()
	}
	v := reflect.New(d.Type()).Elem()
	v.Set(d)
	return v, e.Doc, true
}

// Value implements Any.
func (t Table[T]) Value(name string, v reflect.Value) any {
	if e, ok := t.find(name); ok && reflect.TypeOf(e.Default).Kind() == reflect.Pointer {
		return v.Addr().Interface()
	}
	return v.Interface()
}

// Component is a decoded component whose table the struct that holds it does
// not know by type: Kind names the table, Value is a pointer to the decoded
// struct (or the struct, if the table holds values), Path is its place in the
// file, such as vae.encoder[2].conv2d.
type Component struct {
	Kind  string
	Name  string
	Path  string
	Value any
}

// As returns the component's value as a T, which its table guarantees. It
// panics if the kind was wrong: that is a programming error.
func As[T any](c Component) T {
	v, ok := c.Value.(T)
	if !ok {
		panic("registry: component " + c.Path + " is not of the kind that was asked for")
	}
	return v
}

// List is As over a list.
func List[T any](cs []Component) []T {
	out := make([]T, len(cs))
	for i, c := range cs {
		out[i] = As[T](c)
	}
	return out
}
