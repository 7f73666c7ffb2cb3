package evaluate

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/attack"
)

// Gate is a condition on a report under which a check fails: a dotted path, a
// comparison and a number, such as attacks.pgd.auc<0.95. An element of a list
// is named by its id, or by its name, which may be that of several.
type Gate struct {
	Text  string
	path  string
	op    string
	bound float64
}

var gateForm = regexp.MustCompile(`^\s*([^<>=!\s]+)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*$`)

// ParseGate reads a gate.
func ParseGate(text string) (Gate, error) {
	m := gateForm.FindStringSubmatch(text)
	if m == nil {
		return Gate{}, fmt.Errorf("gate %q: want PATH<NUMBER, such as attacks.pgd.auc<0.95 (comparisons: < <= > >= == !=)", text)
	}
	v, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		return Gate{}, fmt.Errorf("gate %q: %q is not a number", text, m[3])
	}
	return Gate{Text: strings.TrimSpace(text), path: m[1], op: m[2], bound: v}, nil
}

// Expect is an error where a gate asks for what a report of these attacks cannot have: a
// section, an attack or a figure of an attack that there is not. What else there is, and
// what a figure's own keys are, Check finds out.
func (g Gate) Expect(attacks []NamedAttack) error {
	path := strings.Split(g.path, ".")
	none := func(what string, known []string) error {
		return fmt.Errorf("gate %q: the report will have no %s; there: %s", g.Text, what, strings.Join(known, ", "))
	}
	sections := keys(reflect.TypeFor[Report]())
	if !slices.Contains(sections, path[0]) {
		return none(path[0], sections)
	}
	adaptive := path[0] == "adaptive"
	if len(path) == 1 || !adaptive && path[0] != "attacks" {
		return nil
	}
	ids := identify(attacks)
	var known []string
	figures := keys(reflect.TypeFor[AttackReport]())
	if adaptive {
		figures = keys(reflect.TypeFor[AdaptiveReport]())
	}
	var rest []string
	found := false
	for i, a := range attacks {
		if _, is := a.Attack.(attack.Adaptive); is != adaptive {
			continue
		}
		known = append(known, path[0]+"."+ids[i])
		for k := len(path); k > 1; k-- { // ids may hold dots
			if key := strings.Join(path[1:k], "."); key == ids[i] || key == a.Name {
				if rest = path[k:]; len(rest) == 0 || slices.Contains(figures, rest[0]) {
					return nil
				}
				found = true
			}
		}
	}
	if found {
		return none(strings.Join(path[:len(path)-len(rest)+1], "."), figures)
	}
	return none(g.path, known)
}

// keys are the names of a struct's fields in JSON.
func keys(t reflect.Type) []string {
	var out []string
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			out = append(out, name)
		}
	}
	return out
}

// Failure is one value for which a gate's condition holds.
type Failure struct {
	Gate  Gate
	Path  string // with the id of the list's element
	Value Number // NaN: null, which no gate can pass
}

// String says what failed.
func (f Failure) String() string {
	if f.Value != f.Value {
		return fmt.Sprintf("%s: %s has no value", f.Gate.Text, f.Path)
	}
	return fmt.Sprintf("%s: %s is %.6g", f.Gate.Text, f.Path, float64(f.Value))
}

// Check returns what fails. A path that leads nowhere is an error, a value
// that is null a failure: what could not be measured has not passed.
func (r *Report) Check(gates []Gate) ([]Failure, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(b, &tree); err != nil {
		return nil, err
	}
	var out []Failure
	for _, g := range gates {
		found, known := lookup(tree, strings.Split(g.path, "."), "")
		if len(found) == 0 {
			return nil, fmt.Errorf("gate %q: the report has no %s; there: %s", g.Text, g.path, strings.Join(known, ", "))
		}
		for _, f := range found {
			f.Gate = g
			if f.Value != f.Value || g.holds(float64(f.Value)) {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

func (g Gate) holds(v float64) bool {
	switch g.op {
	case "<":
		return v < g.bound
	case "<=":
		return v <= g.bound
	case ">":
		return v > g.bound
	case ">=":
		return v >= g.bound
	case "==":
		return v == g.bound
	}
	return v != g.bound
}

// lookup follows a path. Keys and ids may hold dots (tpr_at_fpr.0.01,
// pgd-linf-0.1), so that a step may take several segments. known is what the
// last place reached offers.
func lookup(tree any, path []string, at string) (found []Failure, known []string) {
	join := func(key string) string { return strings.TrimPrefix(at+"."+key, ".") }
	if len(path) == 0 {
		switch v := tree.(type) {
		case float64:
			return []Failure{{Path: at, Value: Number(v)}}, nil
		case nil:
			return []Failure{{Path: at, Value: Number(nan())}}, nil
		}
		return nil, []string{"no number at " + at}
	}
	switch v := tree.(type) {
	case map[string]any:
		for key := range v {
			known = append(known, join(key))
		}
		slices.Sort(known)
		for k := len(path); k > 0; k-- {
			key := strings.Join(path[:k], ".")
			if child, ok := v[key]; ok {
				return lookup(child, path[k:], join(key))
			}
		}
	case []any:
		for k := len(path); k > 0 && len(found) == 0; k-- {
			key := strings.Join(path[:k], ".")
			for i, e := range v {
				m, ok := e.(map[string]any)
				if !ok {
					if key == strconv.Itoa(i) {
						return lookup(e, path[k:], join(key))
					}
					continue
				}
				if m["id"] == key || (m["name"] == key && !named(v, key)) {
					f, hints := lookup(m, path[k:], join(fmt.Sprint(m["id"])))
					found = append(found, f...)
					known = append(known, hints...)
				}
			}
		}
		if len(found) == 0 && len(known) == 0 {
			for _, e := range v {
				if m, ok := e.(map[string]any); ok {
					known = append(known, join(fmt.Sprint(m["id"])))
				}
			}
		}
	case nil:
		return []Failure{{Path: join(strings.Join(path, ".")), Value: Number(nan())}}, nil
	}
	return found, known
}

// named reports whether an element has this id: then the name is not asked.
func named(list []any, id string) bool {
	for _, e := range list {
		if m, ok := e.(map[string]any); ok && m["id"] == id {
			return true
		}
	}
	return false
}

func nan() float64 { return math.NaN() }

// Figures are the paths of all numbers of the report that a gate can be about,
// sorted; lists without elements have none.
func (r *Report) Figures() []string {
	b, err := json.Marshal(r)
	var tree any
	if err == nil {
		err = json.Unmarshal(b, &tree)
	}
	if err != nil {
		return nil
	}
	var out []string
	var walk func(v any, at string)
	walk = func(v any, at string) {
		switch v := v.(type) {
		case float64:
			out = append(out, at)
		case map[string]any:
			for key, inner := range v {
				walk(inner, strings.TrimPrefix(at+"."+key, "."))
			}
		case []any:
			for _, e := range v {
				if m, ok := e.(map[string]any); ok && m["id"] != nil {
					walk(e, fmt.Sprintf("%s.%v", at, m["id"]))
				}
			}
		}
	}
	walk(tree, "")
	slices.Sort(out)
	return slices.Compact(out)
}
