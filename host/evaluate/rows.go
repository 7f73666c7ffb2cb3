package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Balanced chooses n row numbers, as equally many of each class as there are,
// by a permutation of the seed; in ascending order. n ≤ 0 or n ≥ len(labels)
// is all rows.
func Balanced(labels []int, n int, seed uint64) []int {
	if n <= 0 || n >= len(labels) {
		rows := make([]int, len(labels))
		for i := range rows {
			rows[i] = i
		}
		return rows
	}
	r := rand.New(rand.NewPCG(seed, 0x5e1ec7))
	classes := slices.Max(labels) + 1
	byClass := make([][]int, classes)
	for _, i := range r.Perm(len(labels)) {
		byClass[labels[i]] = append(byClass[labels[i]], i)
	}
	var rows []int
	for k := 0; len(rows) < n; k++ {
		for _, c := range byClass {
			if k < len(c) && len(rows) < n {
				rows = append(rows, c[k])
			}
		}
	}
	slices.Sort(rows)
	return rows
}

// identify gives each attack an id: its name, with norm and eps where a name
// occurs more than once, with a number where that is not enough.
func identify(attacks []NamedAttack) []string {
	names := make(map[string]int)
	for _, a := range attacks {
		names[a.Name]++
	}
	ids := make([]string, len(attacks))
	seen := make(map[string]int)
	for i, a := range attacks {
		id := a.Name
		if names[a.Name] > 1 {
			norm, eps := a.Attack.Ball()
			id += "-" + string(norm)
			if eps < 1e300 {
				id += "-" + strconv.FormatFloat(eps, 'g', -1, 64)
			}
		}
		seen[id]++
		if k := seen[id]; k > 1 {
			id += fmt.Sprintf("-%d", k)
		}
		ids[i] = id
	}
	return ids
}

// options are a component's options under their YAML keys, those of embedded
// structs among them.
func options(component any) map[string]any {
	out := make(map[string]any)
	if v := reflect.Indirect(reflect.ValueOf(component)); v.Kind() == reflect.Struct {
		gather(out, v)
	}
	return out
}

func gather(out map[string]any, v reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Anonymous && f.Type.Kind() == reflect.Struct {
			gather(out, v.Field(i))
			continue
		}
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if !f.IsExported() || key == "" || key == "-" {
			continue
		}
		switch f.Type.Kind() {
		case reflect.Interface, reflect.Pointer, reflect.Func, reflect.Chan:
		default:
			out[key] = v.Field(i).Interface()
		}
	}
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
