package dataset

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/registry"
)

// maxClass bounds class indices, and the number of classes.
const maxClass = 1 << 16

// ReadLabels reads n labels (n < 0: all) from a file of a [LabelFormat], or an
// array of one (x.npz:KEY), and names their classes. Whole numbers from 0 are
// class indices, called "0", "1", … up to the largest, whether each occurs or
// not; other numbers and text are classes by name, in order.
func ReadLabels(path string, n int, formats registry.Table[Format]) (labels []int, classes []string, err error) {
	return readLabels(path, n, nil, formats)
}

// readLabels is ReadLabels; header says whether a text begins with one, nil: the lines
// tell.
func readLabels(path string, n int, header *bool, formats registry.Table[Format]) (labels []int, classes []string, err error) {
	file, key := splitKey(path, formats)
	f, err := recognise(file, formats)
	if err != nil {
		return nil, nil, err
	}
	with, ok := f.(LabelFormat)
	if !ok {
		return nil, nil, fmt.Errorf("%s: want labels as %s", file, Words(formats, func(f Format) bool { _, ok := f.(LabelFormat); return ok }))
	}
	var a Array
	if headed, ok := with.(HeadedLabels); ok {
		a, err = headed.ReadLabelsBelow(file, key, n, header)
	} else {
		a, err = with.ReadLabels(file, key, n)
	}
	if err != nil {
		return nil, nil, err
	}
	labels, classes, err = a.labels(path, n)
	if err != nil {
		return nil, nil, err
	}
	d := Data{Labels: labels, Classes: classes}
	if numbers, names, ok := d.indices(); ok {
		return numbers, names, nil
	}
	return labels, classes, nil
}

// labels numbers the classes of a vector of n labels (n < 0: any number).
func (a Array) labels(name string, n int) ([]int, []string, error) {
	if len(a.Shape) == 0 || len(a.Shape) > 2 || len(a.Shape) == 2 && a.Shape[1] != 1 {
		return nil, nil, fmt.Errorf("%s: labels of shape %v, want a vector of whole numbers or names", name, a.Shape)
	}
	if n >= 0 && a.Shape[0] != n {
		hint := ""
		if texts, ok := a.Data.([]string); ok && a.Shape[0] == n+1 && !slices.Contains(texts[1:], texts[0]) {
			hint = fmt.Sprintf("; if the first, %.40q, is a header, say header: true of the source", texts[0])
		}
		return nil, nil, fmt.Errorf("%s: %d labels for %d rows%s", name, a.Shape[0], n, hint)
	}
	texts, ok := a.Data.([]string)
	if !ok {
		labels, err := a.Ints()
		if err != nil {
			return nil, nil, fmt.Errorf("%s: labels: %w", name, err)
		}
		texts = make([]string, len(labels))
		for i, y := range labels {
			texts[i] = strconv.Itoa(y)
		}
	}
	return classesOf(name, texts)
}

// indices are labels as class indices, with the names of all classes up to the
// largest; false if they are no whole numbers from 0.
func (d *Data) indices() (labels []int, classes []string, ok bool) {
	labels = make([]int, len(d.Labels))
	for i, y := range d.Labels {
		if !IsClass(d.Classes[y]) {
			return nil, nil, false
		}
		v, _ := strconv.ParseFloat(d.Classes[y], 64)
		labels[i] = int(v)
	}
	all := Data{Labels: labels}
	all.nameClasses()
	return labels, all.Classes, true
}

// index takes texts for indices of d's classes.
func (d *Data) index(texts []string) error {
	d.Labels = make([]int, len(texts))
	for i, s := range texts {
		y, err := strconv.Atoi(s)
		if err != nil || y < 0 || y >= len(d.Classes) {
			return fmt.Errorf("row %d: label %.40q of %d classes", i, s, len(d.Classes))
		}
		d.Labels[i] = y
	}
	return nil
}

// IsClass reports whether a label written as text is a class index: a whole
// number from 0.
func IsClass(text string) bool {
	v, err := strconv.ParseFloat(text, 64)
	return err == nil && v >= 0 && v < maxClass && v == math.Trunc(v)
}

// classesOf numbers labels as they stand in a file: classes are the values that
// occur, whole numbers in their order if all are such, else words by name.
// Class indices without gaps so keep their numbers.
func classesOf(name string, texts []string) (labels []int, classes []string, err error) {
	labels = make([]int, len(texts))
	known := map[string]int{} // by the text, and by what that is canonically
	numbers := true
	for i, s := range texts {
		if _, ok := known[s]; ok {
			continue
		}
		c := canonical(s)
		v, err := strconv.ParseFloat(c, 64)
		number := decimal.MatchString(c) && err == nil
		if number && v != math.Trunc(v) {
			return nil, nil, fmt.Errorf("%s: row %d: label %.40q, want whole numbers or names", name, i, s)
		}
		numbers = numbers && number
		if _, ok := known[c]; !ok {
			if classes = append(classes, c); len(classes) > maxClass {
				return nil, nil, fmt.Errorf("%s: more than %d different labels", name, maxClass)
			}
		}
		known[s], known[c] = 0, 0
	}
	slices.SortFunc(classes, func(a, b string) int {
		if numbers {
			x, _ := strconv.ParseFloat(a, 64)
			y, _ := strconv.ParseFloat(b, 64)
			if c := cmp.Compare(x, y); c != 0 {
				return c
			}
		}
		return cmp.Compare(a, b)
	})
	number := make(map[string]int, len(classes))
	for i, c := range classes {
		number[c] = i
	}
	for s := range known {
		known[s] = number[canonical(s)]
	}
	for i, s := range texts {
		labels[i] = known[s]
	}
	return labels, classes, nil
}
