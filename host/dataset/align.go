package dataset

import "fmt"

// UseClasses renumbers the labels of d as classes are numbered, going by name:
// two files may not hold the same classes, and so number them differently. A
// class of d's rows that is not among classes is an error, and d is unchanged.
// Without labels it does nothing.
func (d *Data) UseClasses(classes []string) error {
	if d.Labels == nil {
		return nil
	}
	d.nameClasses()
	number := make(map[string]int, len(classes))
	for i, c := range classes {
		number[c] = i
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
