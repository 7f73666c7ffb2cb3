package grid

import (
	"fmt"
	"maps"
	"slices"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
)

// Grid declares a benchmark: every detector against every attack on every
// data set, for several seeds. Field tags are those of Spec.
type Grid struct {
	APIVersion  string               `yaml:"api_version" enum:"vaeguard/v1" required:"true" doc:"format of this file"`
	Kind        string               `yaml:"kind" enum:"Grid" required:"true" doc:"what the file declares"`
	Name        string               `yaml:"name" required:"true" doc:"names the benchmark"`
	Title       string               `yaml:"title" doc:"title of the results page"`
	Seeds       []uint64             `yaml:"seeds" required:"true" doc:"each trains a classifier and detectors of its own"`
	Role        string               `yaml:"role" default:"test" enum:"test|validation" doc:"rows that are attacked and judged: validation for choices, test for results"`
	Default     string               `yaml:"default" doc:"detector that the others are tested against"`
	Bootstrap   int                  `yaml:"bootstrap" default:"1000" check:">= 2" doc:"resamples for confidence intervals"`
	Sets        []SetSpec            `yaml:"sets" required:"true" doc:"data sets, each with its base experiment"`
	Detectors   []DetectorSpec       `yaml:"detectors" required:"true" doc:"what is compared"`
	Attacks     []AttackSpec         `yaml:"attacks" required:"true" doc:"attacks on the bare and on the guarded classifier"`
	Corruptions []registry.Component `yaml:"corruptions" kind:"corruption" doc:"natural corruptions, on which alarms are measured"`

	CorruptionLimit int `yaml:"corruption_limit" default:"1000" check:">= 0" doc:"class-balanced number of rows to corrupt; 0: all"`

	*spec.Document `yaml:"-"`
}

// SetSpec is one data set.
type SetSpec struct {
	Name string         `yaml:"name" required:"true" doc:"name of the set"`
	Spec string         `yaml:"spec" required:"true" format:"path" doc:"experiment with the data, the classifier and the base of every detector"`
	Set  map[string]any `yaml:"set" doc:"overrides by dotted path: {classifier.train.epochs: 3}"`
}

// DetectorSpec is one detector.
type DetectorSpec struct {
	Name   string                    `yaml:"name" required:"true" doc:"name of the detector"`
	Title  string                    `yaml:"title" doc:"what it is, for the results page"`
	Set    map[string]any            `yaml:"set" doc:"overrides of the base by dotted path: {detector.score: margin}"`
	PerSet map[string]map[string]any `yaml:"per_set" doc:"further overrides, by set"`
	Sets   []string                  `yaml:"sets" doc:"sets that it runs on; absent: all"`
	// External detectors are scored by another program on the grid's rows.
	External string `yaml:"external" format:"path" doc:"folder of another program's results on the rows: clean.npz and ID.npz of attacks; {set} and {seed} stand for theirs"`
}

// AttackSpec is one attack. What it is aimed at, the bare classifier or the
// guard, is the attack's own.
type AttackSpec struct {
	ID        string             `yaml:"id" required:"true" doc:"names the attack in the results"`
	Attack    registry.Component `yaml:"attack" kind:"attack" required:"true" doc:"the attack"`
	Limit     int                `yaml:"limit" check:">= 0" doc:"class-balanced number of rows, the same ones in every cell; 0: all"`
	From      string             `yaml:"from" doc:"source of a transfer attack: a detector of the same classifier; absent: the same detector of the next seed"`
	Detectors []string           `yaml:"detectors" doc:"detectors that it judges; absent: all"`
	Sets      []string           `yaml:"sets" doc:"sets that it runs on; absent: all"`
	Seeds     []uint64           `yaml:"seeds" doc:"seeds that it runs for; absent: all"`
	Target    *Target            `yaml:"target" doc:"class to reach; absent: any but the label"`
}

// Target chooses the class that a targeted attack is to reach.
type Target struct {
	Class  *int `yaml:"class" check:">= 0" doc:"the same for every row (rows of that class are skipped)"`
	Offset int  `yaml:"offset" check:">= 0" doc:"label + offset, modulo the classes"`
}

// Load reads a grid with overrides (path=value); all faults come back at once,
// as spec.Errors.
func Load(file string, set []string, tables []registry.Any) (*Grid, error) {
	g := &Grid{}
	var err error
	g.Document, err = spec.Load(file, g, spec.Options{Tables: tables, Set: set, Checks: []spec.Check{
		{Find: func(d *spec.Document, _ spec.Errors) spec.Errors { return d.Faults("", g.faults()) }},
	}})
	if err != nil {
		return nil, err
	}
	return g, nil
}

// faults are names that clash or lead nowhere.
func (g *Grid) faults() error {
	var errs registry.FieldErrors
	fail := errs.Add
	index := func(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }
	once := func(list string, names []string) {
		for i, n := range names {
			if slices.Contains(names[:i], n) && n != "" {
				fail(index(list, i), "%q appears twice", n)
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
			fail(index("seeds", i), "%d appears twice", s)
		}
	}
	known := func(path, kind string, names, all []string) {
		for i, n := range names {
			if !slices.Contains(all, n) {
				fail(index(path, i), "%s", spec.Unknown(kind, n, all))
			}
		}
	}
	for i, d := range g.Detectors {
		at := index("detectors", i)
		if d.External != "" && len(d.Set)+len(d.PerSet) > 0 {
			fail(at+".external", "another program's detector has no options here: drop set and per_set")
		}
		known(at+".sets", "set", d.Sets, sets)
		for _, n := range slices.Sorted(maps.Keys(d.PerSet)) {
			if !slices.Contains(sets, n) {
				fail(at+".per_set", "%s", spec.Unknown("set", n, sets))
			}
		}
	}
	for i, a := range g.Attacks {
		at := index("attacks", i)
		known(at+".sets", "set", a.Sets, sets)
		known(at+".detectors", "detector", a.Detectors, detectors)
		if a.From != "" && !slices.Contains(detectors, a.From) {
			fail(at+".from", "%s", spec.Unknown("detector", a.From, detectors))
		}
		for j, s := range a.Seeds {
			if !slices.Contains(g.Seeds, s) {
				fail(fmt.Sprintf("%s.seeds[%d]", at, j), "%d is not one of the grid's seeds", s)
			}
		}
		if t := a.Target; t != nil && (t.Class == nil) == (t.Offset == 0) {
			fail(at+".target", "want one of class and offset")
		}
	}
	if g.Default != "" && !slices.Contains(detectors, g.Default) {
		fail("default", "%s", spec.Unknown("detector", g.Default, detectors))
	}
	return errs.Err()
}
