package formats

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// knownColumns are what is known of a table's columns before it is read.
type knownColumns struct {
	words    []string // names that are neither numbers nor values of a column
	features []string // of all features; nil: not known
	texts    int      // columns whose values may be words
}

func knownOf(o dataset.ReadOptions) *knownColumns {
	k := &knownColumns{}
	all := []string{o.Label}
	values := map[string]bool{}
	free := []string{o.Label} // columns that may hold text
	if s := o.Schema; s != nil {
		all = append(all, s.Label, s.ID)
		all = append(all, s.Keep...)
		free = append(free, s.Label, s.ID)
		free = append(free, s.Keep...)
		for _, f := range s.Features {
			all = append(all, f.Name)
			k.features = append(k.features, f.Name)
			if f.Kind == dataset.KindCategory {
				free = append(free, f.Name)
			}
			for _, c := range f.Categories {
				values[c] = true
			}
		}
		for name, rule := range s.Rules {
			all = append(all, name)
			if rule.Categories != nil || rule.Ignore {
				free = append(free, name)
			}
			for _, c := range rule.Categories {
				values[c] = true
			}
		}
	}
	for _, n := range all {
		if n != "" && !isNumber(n) && !dataset.IsMissing(n) && !values[n] {
			k.words = append(k.words, n)
		}
	}
	free = slices.DeleteFunc(free, func(s string) bool { return s == "" })
	slices.Sort(free)
	k.texts = len(slices.Compact(free))
	if k.features != nil && k.features[0] == "" {
		k.features = nil
	}
	return k
}

// count is how many known names stand among the cells of a first line:
// numbers count only where those of all features stand there.
func (k *knownColumns) count(cells []string) int {
	have := make(map[string]bool, len(cells))
	for _, c := range cells {
		have[c] = true
	}
	n := 0
	for _, w := range k.words {
		if have[w] {
			n++
		}
	}
	if k.features != nil && !slices.ContainsFunc(k.features, func(f string) bool { return !have[f] }) {
		n = max(n, len(k.features))
	}
	return n
}

// in reports whether known names stand among the cells of a first line.
func (k *knownColumns) in(cells []string) bool { return k.count(cells) > 0 }

// header tells whether the first line is one. Values alone do not: names that
// are known do, or more words than there are columns that may hold any.
func (k *knownColumns) header(first []string, o dataset.ReadOptions) (bool, error) {
	if o.Header != nil {
		return *o.Header, nil
	}
	if k.in(first) {
		return true, nil
	}
	words := 0
	for i, cell := range first {
		_, err := strconv.ParseFloat(cell, 64)
		switch {
		case cell == "" && i == 0: // an index without a name
		case cell == "" || err == nil || decimalComma.MatchString(cell):
			return false, ambiguous(first)
		case !dataset.IsMissing(cell) && !isTruth(cell):
			words++
		}
	}
	if words <= k.texts {
		return false, ambiguous(first)
	}
	return true, nil
}

// isTruth reports whether a cell is a truth value, which numbers may be.
func isTruth(cell string) bool {
	switch cell {
	case "True", "true", "TRUE", "False", "false", "FALSE":
		return true
	}
	return false
}

func ambiguous(first []string) error {
	line := strings.Join(first, ",")
	if len(line) > 80 {
		line = line[:80] + "…"
	}
	return fmt.Errorf("nothing tells whether the first line is a header: %q; say so: --header true|false, or header: true|false of a source", line)
}
