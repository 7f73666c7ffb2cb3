package dataset

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/registry"
)

// maxClass bounds class indices.
const maxClass = 1 << 16

// ReadLabels reads n labels (n < 0: all) from a file of a [LabelFormat], or an
// array of one (x.npz:KEY). Whole numbers from 0 are class indices and classes
// is nil; text is classes by name, in sorted order.
func ReadLabels(path string, n int, formats registry.Table[Format]) (labels []int, classes []string, err error) {
	file, key := splitKey(path, formats)
	f, err := recognise(file, formats)
	if err != nil {
		return nil, nil, err
	}
	with, ok := f.(LabelFormat)
	if !ok {
		return nil, nil, fmt.Errorf("%s: want labels as %s", file, Words(formats, func(f Format) bool { _, ok := f.(LabelFormat); return ok }))
	}
	a, err := with.ReadLabels(file, key, n)
	if err != nil {
		return nil, nil, err
	}
	return a.labels(path, n)
}

// labels turns a vector of n (n < 0: any number) into class indices.
func (a Array) labels(name string, n int) ([]int, []string, error) {
	if len(a.Shape) == 0 || len(a.Shape) > 2 || len(a.Shape) == 2 && a.Shape[1] != 1 {
		return nil, nil, fmt.Errorf("%s: labels of shape %v, want a vector of class indices or names", name, a.Shape)
	}
	if n >= 0 && a.Shape[0] != n {
		return nil, nil, fmt.Errorf("%s: %d labels for %d rows", name, a.Shape[0], n)
	}
	if texts, ok := a.Data.([]string); ok {
		return classesOf(name, texts)
	}
	labels, err := a.Ints()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: labels: %w", name, err)
	}
	for i, y := range labels {
		if y < 0 || y >= maxClass {
			return nil, nil, fmt.Errorf("%s: row %d: label %d, want class indices from 0", name, i, y)
		}
	}
	return labels, nil, nil
}

// IsClass reports whether a label written as text is a class index: a whole
// number from 0.
func IsClass(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && v >= 0 && v < maxClass && v == math.Trunc(v)
}

// classesOf reads labels written as text: class indices if all are whole
// numbers from 0, else names.
func classesOf(name string, texts []string) (labels []int, classes []string, err error) {
	labels = make([]int, len(texts))
	indices := true
	numbers := 0
	seen := map[string]int{}
	for _, s := range texts {
		indices = indices && IsClass(s)
		if _, ok := seen[s]; !ok {
			if v, err := strconv.ParseFloat(s, 64); err == nil && v != math.Trunc(v) {
				numbers++
			}
			seen[s] = 0
		}
	}
	if indices {
		for i, s := range texts {
			v, _ := strconv.ParseFloat(s, 64)
			labels[i] = int(v)
		}
		return labels, nil, nil
	}
	if numbers > 0 {
		i := slices.IndexFunc(texts, func(s string) bool { return !IsClass(s) })
		return nil, nil, fmt.Errorf("%s: row %d: label %.40q, want class indices from 0 or names", name, i, texts[i])
	}
	classes = slices.Sorted(maps.Keys(seen))
	for i, s := range classes {
		seen[s] = i
	}
	for i, s := range texts {
		labels[i] = seen[s]
	}
	return labels, classes, nil
}
