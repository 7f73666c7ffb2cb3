package dataset

import (
	"fmt"
	"slices"
	"strconv"
)

// UseClasses renumbers the labels of d as classes are numbered, going by name:
// two files may not hold the same classes, and so number them differently.
// Where d has numbers, and none of classes is one, they are indices of classes.
// A class of d's rows that is not among classes is an error, and d is
// unchanged. Without labels it does nothing.
func (d *Data) UseClasses(classes []string) error {
	if d.Labels == nil {
		return nil
	}
	d.nameClasses()
	number := make(map[string]int, len(classes))
	for i, c := range classes {
		number[c] = i
	}
	if !slices.ContainsFunc(classes, decimal.MatchString) && !slices.ContainsFunc(d.Classes, func(c string) bool { return !IsClass(c) }) {
		number = make(map[string]int, len(classes))
		for i := range classes {
			number[strconv.Itoa(i)] = i
		}
	}
	labels := make([]int, len(d.Labels))
	for i, y := range d.Labels {
		to, ok := number[d.Classes[y]]
		if !ok {
			row := i
			if d.Index != nil {
				row = d.Index[i]
			}
			return fmt.Errorf("row %d: class %q is not among the %d classes %.60q", row, d.Classes[y], len(classes), classes)
		}
		labels[i] = to
	}
	d.Labels, d.Classes = labels, classes
	return nil
}
