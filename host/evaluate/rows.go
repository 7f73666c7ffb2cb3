package evaluate

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
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

// bound leaves the clean rows that limit and clean_limit ask for. Those that are
// attacked are among them, and the same whatever clean_limit is.
func (e *evaluation) bound() {
	if e.o.Limit <= 0 || e.o.Clean < 0 {
		return
	}
	numbers := Balanced(e.o.Labels, max(e.o.Limit, e.o.Clean), e.o.Seed)
	if len(numbers) == len(e.o.Labels) {
		return
	}
	e.numbers, e.labels = numbers, e.o.Labels
	e.o.X, e.o.Labels = e.o.X.Gather(numbers), make([]int, len(numbers))
	for k, i := range numbers {
		e.o.Labels[k] = e.labels[i]
	}
	e.details.X, e.details.Labels = e.o.X, e.o.Labels
}

// mostSkew is the difference between a class's shares of two sets of rows that is no
// longer worth a word.
const mostSkew = 0.1

// skew is the class whose share of all test rows is furthest from that of the clean
// ones, if by more than mostSkew, with the two shares; else 0, 0, 0.
func (e *evaluation) skew() (class int, share, of float64) {
	if e.numbers == nil {
		return 0, 0, 0
	}
	counts, part := map[int]int{}, map[int]int{}
	for _, c := range e.labels {
		counts[c]++
	}
	for _, c := range e.o.Labels {
		part[c]++
	}
	worst := mostSkew
	for c := range slices.Max(e.labels) + 1 {
		a, b := float64(counts[c])/float64(len(e.labels)), float64(part[c])/float64(len(e.o.Labels))
		if d := math.Abs(a - b); d > worst {
			worst, class, share, of = d, c, a, b
		}
	}
	return class, share, of
}

// rows are up to limit of the clean rows, as many of each class; 0: all.
func (e *evaluation) rows(limit int) []int {
	if e.numbers == nil {
		return Balanced(e.o.Labels, limit, e.o.Seed)
	}
	if limit <= 0 || limit >= len(e.numbers) {
		return Balanced(e.o.Labels, 0, e.o.Seed)
	}
	rows := Balanced(e.labels, limit, e.o.Seed)
	for k, i := range rows {
		rows[k], _ = slices.BinarySearch(e.numbers, i)
	}
	return rows
}

// number is that of a clean row among the rows that were given.
func (e *evaluation) number(row int) int {
	if e.numbers == nil {
		return row
	}
	return e.numbers[row]
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
