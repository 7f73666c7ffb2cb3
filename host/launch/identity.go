package launch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// identity is what a plugin has said of itself, to which every process that is started in
// its place is held: answers would mean something else.
type identity struct {
	known  bool
	schema []byte   // of its config, before it was given one
	info   sdk.Info // after it
	learnt bool     // a Fit has changed it since: name, version, schema and digest are what is known
}

// changed says in what another process describes itself otherwise; "" is in nothing. How many
// rows it takes at once may differ, since that depends on the memory there is.
func (i identity) changed(now sdk.Info) string {
	was := i.info
	shown := func(v any) string { return wire.Text(fmt.Sprint(v), 100) }
	type part struct {
		what     string
		was, now any
		same     bool
	}
	same := func(what string, was, now any) part { return part{what, was, now, reflect.DeepEqual(was, now)} }
	parts := []part{
		same("its digest", was.Digest, now.Digest),
		same("its name", was.Name, now.Name),
		same("its version", was.Version, now.Version),
		{"the schema of its config", "", "", sameJSON(was.Schema, now.Schema)},
	}
	if !i.learnt {
		parts = append(parts,
			part{"its input shape", was.InputShape, now.InputShape, was.InputShape.Equal(now.InputShape)},
			same("its layout", was.Layout, now.Layout),
			part{"the least of its range", was.Lo, now.Lo, slices.Equal(was.Lo, now.Lo)},
			part{"the most of its range", was.Hi, now.Hi, slices.Equal(was.Hi, now.Hi)},
			same("its number of classes", was.NumClasses, now.NumClasses),
			part{"the names of its classes", was.Classes, now.Classes, slices.Equal(was.Classes, now.Classes)},
			same("what its output is", was.Output, now.Output),
			same("its gradient", was.Gradient, now.Gradient),
			same("whether it serves Differentiate", was.Differentiate, now.Differentiate),
			part{"its hidden layers", was.Hidden, now.Hidden, slices.EqualFunc(was.Hidden, now.Hidden, func(a, b sdk.HiddenLayer) bool {
				return a.Name == b.Name && a.Shape.Equal(b.Shape)
			})},
			same("whether it can be trained", was.Trainable, now.Trainable),
			same("whether it is ready", was.Ready, now.Ready),
			same("whether its rows are the same in every batch", was.BatchInvariant, now.BatchInvariant),
		)
	}
	for _, p := range parts {
		switch {
		case p.same:
		case p.was == "" && p.now == "":
			return p.what
		default:
			return fmt.Sprintf("%s is %s, was %s", p.what, shown(p.now), shown(p.was))
		}
	}
	return ""
}

// sameJSON reports whether two documents hold the same, in whatever order their keys stand.
func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
