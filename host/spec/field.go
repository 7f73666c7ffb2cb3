package spec

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode"

	"github.com/vaeguard/vaeguard/host/registry"
)

// field is one option of a struct, from its tags.
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	doc      string
	kind     string   // table of components or of names
	enum     []string // legal strings; nil: any
	bounds   []bound
	preset   string // tag default, as YAML
	required bool
	secret   bool
	path     bool // a file name
	lends    bool // a component that lends its options to the struct
}

// bound is one comparison of a check tag.
type bound struct {
	op    string
	limit float64
}

func (b bound) holds(v float64) bool {
	switch b.op {
	case ">":
		return v > b.limit
	case ">=":
		return v >= b.limit
	case "<":
		return v < b.limit
	}
	return v <= b.limit
}

func (b bound) String() string {
	if b.limit == math.Trunc(b.limit) && math.Abs(b.limit) < 1e15 {
		return b.op + " " + strconv.FormatFloat(b.limit, 'f', -1, 64)
	}
	return b.op + " " + strconv.FormatFloat(b.limit, 'g', -1, 64)
}

var componentType = reflect.TypeFor[registry.Component]()

// fieldsOf lists the options of a struct type. An embedded struct without a
// key of its own, and a struct with the tag yaml:",inline", lend their options
// to the outer one. A tag that cannot be read panics: it is a literal of the
// program.
func fieldsOf(t reflect.Type) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		tag := sf.Tag.Get("yaml")
		name, flags, _ := strings.Cut(tag, ",")
		if name == "-" || !sf.IsExported() && !sf.Anonymous {
			continue
		}
		if (sf.Anonymous && name == "" || flags == "inline") && sf.Type.Kind() == reflect.Struct && sf.Type != componentType {
			for _, f := range fieldsOf(sf.Type) {
				f.index = append([]int{i}, f.index...)
				out = append(out, f)
			}
			continue
		}
		if !sf.IsExported() {
			continue
		}
		switch sf.Type.Kind() {
		case reflect.Func, reflect.Chan, reflect.UnsafePointer:
			continue
		}
		if name == "" {
			name = snake(sf.Name)
		}
		f := field{
			name:     name,
			index:    []int{i},
			typ:      sf.Type,
			doc:      sf.Tag.Get("doc"),
			kind:     sf.Tag.Get("kind"),
			bounds:   bounds(t, sf),
			preset:   sf.Tag.Get("default"),
			required: sf.Tag.Get("required") == "true",
			secret:   sf.Tag.Get("secret") == "true",
			path:     sf.Tag.Get("format") == "path",
			lends:    sf.Type == componentType && flags == "inline",
		}
		if e, ok := sf.Tag.Lookup("enum"); ok {
			f.enum = strings.Split(e, "|")
		}
		out = append(out, f)
	}
	return out
}

func bounds(t reflect.Type, sf reflect.StructField) []bound {
	tag, ok := sf.Tag.Lookup("check")
	if !ok {
		return nil
	}
	var out []bound
	for part := range strings.SplitSeq(tag, ",") {
		op, limit, _ := strings.Cut(strings.TrimSpace(part), " ")
		v, err := strconv.ParseFloat(strings.TrimSpace(limit), 64)
		if err != nil || op != ">" && op != ">=" && op != "<" && op != "<=" {
			panic("spec: bad check tag on " + t.String() + "." + sf.Name)
		}
		out = append(out, bound{op, v})
	}
	return out
}

// snake is LatentDim as latent_dim.
func snake(s string) string {
	var b strings.Builder
	r := []rune(s)
	for i, c := range r {
		if unicode.IsUpper(c) && i > 0 && (unicode.IsLower(r[i-1]) || i+1 < len(r) && unicode.IsLower(r[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}

// check judges a number against the bounds; the message names the first one
// that fails.
func (f *field) check(v float64) string {
	for _, b := range f.bounds {
		if !b.holds(v) {
			return fmt.Sprintf("must be %s", f.limits())
		}
	}
	return ""
}

// Bounds holds the numbers of a struct's own options, v a pointer to it, against their
// tags check, for options that come from elsewhere than YAML. What is nil is not there. The
// error begins with the option's name as a flag has it, and its value.
func Bounds(v any) error {
	of := reflect.ValueOf(v).Elem()
	for _, f := range fieldsOf(of.Type()) {
		at := of.FieldByIndex(f.index)
		if at.Kind() == reflect.Pointer {
			if at.IsNil() {
				continue
			}
			at = at.Elem()
		}
		var n float64
		switch {
		case at.CanFloat():
			n = at.Float()
		case at.CanInt():
			n = float64(at.Int())
		default:
			continue
		}
		if message := f.check(n); message != "" {
			return fmt.Errorf("%s %v: %s", strings.ReplaceAll(f.name, "_", "-"), n, message)
		}
	}
	return nil
}

// limits is the bounds in words: "> 0 and < 1".
func (f *field) limits() string {
	parts := make([]string, len(f.bounds))
	for i, b := range f.bounds {
		parts[i] = b.String()
	}
	return strings.Join(parts, " and ")
}

// names lists the keys of fields.
func names(fields []field) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = f.name
	}
	return out
}

// choices is an enum in words: "same or valid".
func choices(enum []string) string {
	var list []string
	for _, e := range enum {
		if e != "" {
			list = append(list, e)
		}
	}
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " or " + list[len(list)-1]
}
