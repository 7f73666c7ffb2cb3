package spec

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
)

func (d *decoder) scalar(v reflect.Value, n *node, path string, f *field) {
	wrong := func(want string) {
		got := n.show()
		if n.hint != "" {
			got += ": " + n.hint
		} else if n.quote && n.raw != "" && v.Kind() != reflect.String {
			got += "; without quotes a variable takes the type of its value"
		}
		d.fail(n, path, "want %s, got %s", want, got)
	}
	switch v.Kind() {
	case reflect.Bool:
		if n.shape != boolean {
			wrong("true or false")
			return
		}
		v.SetBool(n.text == "true")
	case reflect.String:
		d.word(v, n, path, f, wrong)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(n.text, 10, v.Type().Bits())
		if n.shape != integer || err != nil {
			wrong("an integer")
			return
		}
		if fault := f.check(float64(i)); fault != "" {
			d.fail(n, path, "%s, got %s", fault, n.show())
			return
		}
		v.SetInt(i)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(n.text, 10, v.Type().Bits())
		if n.shape != integer || err != nil {
			wrong("an integer from 0")
			return
		}
		if fault := f.check(float64(u)); fault != "" {
			d.fail(n, path, "%s, got %s", fault, n.show())
			return
		}
		v.SetUint(u)
	case reflect.Float32, reflect.Float64:
		x, err := strconv.ParseFloat(n.text, v.Type().Bits())
		if n.shape != integer && n.shape != float || err != nil || math.IsInf(x, 0) {
			wrong("a number")
			return
		}
		if fault := f.check(x); fault != "" {
			d.fail(n, path, "%s, got %s", fault, n.show())
			return
		}
		v.SetFloat(x)
	default:
		panic("spec: no YAML form for options of type " + v.Type().String())
	}
}

// word sets a string: free text, one of an enum, or a name of a table.
func (d *decoder) word(v reflect.Value, n *node, path string, f *field, wrong func(string)) {
	if n.shape != text {
		want := "a string"
		if f.enum != nil {
			want = choices(f.enum)
		}
		if n.shape == integer || n.shape == float || n.shape == boolean {
			d.fail(n, path, "want %s, got %s; quote it if it is a string", want, n.show())
			return
		}
		wrong(want)
		return
	}
	if f.required && n.text == "" {
		d.fail(n, path, "must not be empty")
		return
	}
	if f.enum != nil {
		legal := false
		for _, e := range f.enum {
			legal = legal || e == n.text
		}
		if !legal {
			message := fmt.Sprintf("want %s, got %s", choices(f.enum), n.show())
			if best := registry.Nearest(n.text, f.enum); best != "" && len(f.enum) > 1 {
				message += fmt.Sprintf("; did you mean %q?", best)
			}
			d.fail(n, path, "%s", message)
			return
		}
	}
	if f.kind != "" && n.text != "" {
		if table := d.byKind(f.kind); table != nil {
			if _, _, ok := table.Fresh(n.text); !ok {
				d.fail(n, path, "%s", Unknown(f.kind, n.shown(), table.Names()))
				return
			}
		}
	}
	if strings.ContainsRune(n.text, 0) {
		d.fail(n, path, "a string without NUL characters is wanted")
		return
	}
	v.SetString(n.text)
}
