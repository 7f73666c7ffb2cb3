package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Grid declares a benchmark: every detector against every attack on every
// data set, for several seeds. Field tags are those of Spec.
type Grid struct {
	APIVersion  string               `yaml:"api_version" enum:"vaeguard/v1" required:"true" doc:"format of this file"`
	Kind        string               `yaml:"kind" enum:"Grid" required:"true" doc:"what the file declares"`
	Name        string               `yaml:"name" required:"true" doc:"names the benchmark"`
	Title       string               `yaml:"title" doc:"of the results page"`
	Seeds       []uint64             `yaml:"seeds" required:"true" doc:"each trains a classifier and detectors of its own"`
	Role        string               `yaml:"role" default:"test" enum:"test|validation" doc:"rows that are attacked and judged: validation for choices, test for results"`
	Default     string               `yaml:"default" doc:"detector that the others are tested against"`
	Bootstrap   int                  `yaml:"bootstrap" default:"1000" check:">= 2" doc:"resamples for confidence intervals"`
	Sets        []GridSet            `yaml:"sets" required:"true" doc:"data sets, each with its base experiment"`
	Detectors   []GridDetector       `yaml:"detectors" required:"true" doc:"what is compared"`
	Attacks     []GridAttack         `yaml:"attacks" required:"true" doc:"attacks on the bare classifier and on the guards"`
	Corruptions []registry.Component `yaml:"corruptions" kind:"corruption" doc:"natural corruptions, on which alarms are measured"`

	CorruptionLimit int `yaml:"corruption_limit" default:"1000" check:">= 0" doc:"class-balanced number of rows to corrupt; 0: all"`

	source *Source
}

// GridSet is one data set.
type GridSet struct {
	Name string         `yaml:"name" required:"true" doc:"of the set"`
	Spec string         `yaml:"spec" required:"true" format:"path" doc:"experiment with the data, the classifier and the base of every detector"`
	Set  map[string]any `yaml:"set" doc:"overrides by dotted path: {classifier.train.epochs: 3}"`
}

// GridDetector is one detector.
type GridDetector struct {
	Name   string                    `yaml:"name" required:"true" doc:"of the detector"`
	Title  string                    `yaml:"title" doc:"what it is, for the results page"`
	Set    map[string]any            `yaml:"set" doc:"overrides of the base by dotted path: {detector.score: margin}"`
	PerSet map[string]map[string]any `yaml:"per_set" doc:"further overrides, by set"`
	Sets   []string                  `yaml:"sets" doc:"sets that it runs on; absent: all"`
	// External detectors are scored by another program on the grid's rows.
	External string `yaml:"external" format:"path" doc:"folder of what another program said of the rows: clean.npz and ID.npz of attacks; {set} and {seed} stand for theirs"`
}

// GridAttack is one attack. What it is aimed at, the bare classifier or the
// guard, is the attack's own.
type GridAttack struct {
	ID        string             `yaml:"id" required:"true" doc:"names the attack in the results"`
	Attack    registry.Component `yaml:"attack" kind:"attack" required:"true" doc:"the attack"`
	Limit     int                `yaml:"limit" check:">= 0" doc:"class-balanced number of rows, the same ones in every cell; 0: all"`
	From      string             `yaml:"from" doc:"of a transfer attack: detector of the same classifier; absent: the same detector of the next seed"`
	Detectors []string           `yaml:"detectors" doc:"detectors that it judges; absent: all"`
	Sets      []string           `yaml:"sets" doc:"sets that it runs on; absent: all"`
	Seeds     []uint64           `yaml:"seeds" doc:"seeds that it runs for; absent: all"`
	Target    *GridTarget        `yaml:"target" doc:"class to reach; absent: any but the label"`
}

// GridTarget chooses the class that a targeted attack is to reach.
type GridTarget struct {
	Class  *int `yaml:"class" check:">= 0" doc:"the same for every row (rows of that class are skipped)"`
	Offset int  `yaml:"offset" check:">= 0" doc:"label + offset, modulo the classes"`
}

// LoadGrid reads a grid; all faults come back at once, as Errors.
func LoadGrid(file string, o Options) (*Grid, error) {
	data, err := readFile(file)
	if err != nil {
		return nil, err
	}
	return ParseGrid(file, data, o)
}

// ParseGrid is LoadGrid on bytes; name stands for the file.
func ParseGrid(name string, data []byte, o Options) (*Grid, error) {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	root, errs := growYAML(name, data, o.LookupEnv)
	if root == nil {
		return nil, errs
	}
	for _, set := range o.Set {
		errs = append(errs, override(root, set, o.LookupEnv)...)
	}
	g := &Grid{source: &Source{File: name, Positions: map[string]Position{}, root: root, tables: o.Tables, names: map[string]string{}}}
	root.positions("", g.source.Positions)
	d := &decoder{file: name, tables: o.Tables, names: g.source.names, errs: errs}
	d.structure(reflect.ValueOf(g).Elem(), root, "", true)
	if root.shape == mapping {
		d.errs = append(d.errs, g.check()...)
	}
	if err := d.errs.orNil(); err != nil {
		return nil, err
	}
	return g, nil
}

// check finds names that clash or lead nowhere.
func (g *Grid) check() Errors {
	var errs Errors
	fail := func(path, format string, args ...any) {
		errs = append(errs, g.source.errorf(path, format, args...))
	}
	once := func(list string, names []string) {
		for i, n := range names {
			if slices.Contains(names[:i], n) && n != "" {
				fail(dotted.index(list, i), "%q appears twice", n)
			}
		}
	}
	var sets, detectors, attacks []string
	for _, s := range g.Sets {
		sets = append(sets, s.Name)
	}
	for _, d := range g.Detectors {
		detectors = append(detectors, d.Name)
	}
	for _, a := range g.Attacks {
		attacks = append(attacks, a.ID)
	}
	once("sets", sets)
	once("detectors", detectors)
	once("attacks", attacks)
	var corruptions []string
	for _, c := range g.Corruptions {
		corruptions = append(corruptions, c.Name)
	}
	once("corruptions", corruptions)
	for i, s := range g.Seeds {
		if slices.Contains(g.Seeds[:i], s) {
			fail(dotted.index("seeds", i), "%d appears twice", s)
		}
	}
	known := func(path, kind string, names, all []string) {
		for i, n := range names {
			if !slices.Contains(all, n) {
				fail(dotted.index(path, i), "%s", unknown(kind, n, all))
			}
		}
	}
	for i, d := range g.Detectors {
		at := dotted.index("detectors", i)
		if d.External != "" && len(d.Set)+len(d.PerSet) > 0 {
			fail(at+".external", "another program's detector has no options here: drop set and per_set")
		}
		known(at+".sets", "set", d.Sets, sets)
		for _, n := range slices.Sorted(maps.Keys(d.PerSet)) {
			if !slices.Contains(sets, n) {
				fail(at+".per_set", "%s", unknown("set", n, sets))
			}
		}
	}
	for i, a := range g.Attacks {
		at := dotted.index("attacks", i)
		known(at+".sets", "set", a.Sets, sets)
		known(at+".detectors", "detector", a.Detectors, detectors)
		if a.From != "" && !slices.Contains(detectors, a.From) {
			fail(at+".from", "%s", unknown("detector", a.From, detectors))
		}
		for j, s := range a.Seeds {
			if !slices.Contains(g.Seeds, s) {
				fail(fmt.Sprintf("%s.seeds[%d]", at, j), "%d is none of the grid's seeds", s)
			}
		}
		if t := a.Target; t != nil && (t.Class == nil) == (t.Offset == 0) {
			fail(at+".target", "want one of class and offset")
		}
	}
	if g.Default != "" && !slices.Contains(detectors, g.Default) {
		fail("default", "%s", unknown("detector", g.Default, detectors))
	}
	return errs
}

// Abs resolves a path of the grid against the folder of its file.
func (g *Grid) Abs(path string) string {
	if path == "" || filepath.IsAbs(path) || g.source == nil || g.source.File == "" {
		return path
	}
	return filepath.Join(filepath.Dir(g.source.File), path)
}

// Errorf makes an error about the value at path.
func (g *Grid) Errorf(path, format string, args ...any) Error {
	return g.source.errorf(path, format, args...)
}

// Overrides are a mapping of dotted paths as Options.Set wants them, by name.
func Overrides(set map[string]any) []string {
	var out []string
	for _, path := range slices.Sorted(maps.Keys(set)) {
		v, err := json.Marshal(set[path])
		if err != nil {
			panic("spec: a grid's values have a JSON form")
		}
		out = append(out, path+"="+string(v))
	}
	return out
}

// WriteComponent is a component as YAML, its name with all its options,
// defaults among them: the same text for the same component.
func WriteComponent(c registry.Component, tables ...registry.Any) []byte {
	w := &writer{tables: tables, names: map[string]string{}}
	return render(w.component(c, ""))
}
