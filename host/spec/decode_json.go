package spec

import (
	"bytes"
	"errors"
	"reflect"

	"github.com/vaeguard/vaeguard/host/registry"
)

// DecodeJSON reads JSON into dst, a non-nil pointer to a struct whose tags
// follow package registry, with the tables that its components come from.
// What the JSON does not mention keeps its value in dst, and no data at all
// is {}. All faults come back
// at once as Errors whose Path is a JSON pointer (/layers/2/conv2d); dst is
// then partly filled and of no use.
func DecodeJSON(data []byte, dst any, tables ...registry.Any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		panic("spec: DecodeJSON wants a non-nil pointer")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		data = []byte("{}")
	}
	n, errs := growJSON(data)
	if n == nil {
		return errs
	}
	d := &decoder{style: pointer, tables: tables, errs: errs}
	d.value(v.Elem(), n, "", &field{})
	return d.errs.orNil()
}

// Faults returns the Errors in err, or nil.
func Faults(err error) Errors {
	var all Errors
	if errors.As(err, &all) {
		return all
	}
	var one Error
	if errors.As(err, &one) {
		return Errors{one}
	}
	return nil
}
