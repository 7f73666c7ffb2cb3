package grid

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Filter selects cells: for each key the values that are wanted. A cell that
// lacks a key of the filter, as a classifier lacks a detector, is made only if
// a selected one needs it.
type Filter map[string][]string

// filterKeys are what a cell can be selected by.
var filterKeys = []string{"kind", "set", "seed", "detector", "attack"}

// ParseFilter reads selections of the form key=value|value,key=value, which
// must name what the grid has.
func ParseFilter(texts []string, g *Grid) (Filter, error) {
	known := map[string][]string{}
	for _, k := range []Kind{Classifier, Arrays, Network, Detector, Clean, Scores, Adaptive, Corruption} {
		known["kind"] = append(known["kind"], string(k))
	}
	for _, s := range g.Sets {
		known["set"] = append(known["set"], s.Name)
	}
	for _, s := range g.Seeds {
		known["seed"] = append(known["seed"], strconv.FormatUint(s, 10))
	}
	for _, d := range g.Detectors {
		known["detector"] = append(known["detector"], d.Name)
	}
	for _, a := range g.Attacks {
		known["attack"] = append(known["attack"], a.ID)
	}
	for _, c := range g.Corruptions {
		known["attack"] = append(known["attack"], c.Name)
	}
	f := Filter{}
	for _, text := range texts {
		for part := range strings.SplitSeq(text, ",") {
			key, values, ok := strings.Cut(part, "=")
			if !ok || !slices.Contains(filterKeys, key) {
				return nil, fmt.Errorf("%q: want KEY=VALUE with a key of %s", part, strings.Join(filterKeys, ", "))
			}
			for v := range strings.SplitSeq(values, "|") {
				if !slices.Contains(known[key], v) {
					return nil, fmt.Errorf("%q: the grid has no %s %q; it has %s", part, key, v, strings.Join(known[key], ", "))
				}
				f[key] = append(f[key], v)
			}
		}
	}
	return f, nil
}

func (f Filter) selects(c *Cell) bool {
	for key, v := range map[string]string{
		"kind": string(c.Kind), "set": c.Set, "seed": strconv.FormatUint(c.Seed, 10), "detector": c.Detector, "attack": c.Attack,
	} {
		if want := f[key]; len(want) > 0 && !slices.Contains(want, v) {
			return false
		}
	}
	return true
}
