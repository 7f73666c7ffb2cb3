package dataset

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Coded is a Reader of a table that gives categories as their codes, 0, 1 …, and held
// its values to what its features may be. Rows of other readers are numbers as arrays
// and programs have them, which [Domains] takes.
type Coded interface {
	Reader
	// Coded reports whether it does.
	Coded() bool
}

// Domains are what the numbers of the rows of an array may be that has a table's
// features: a category means its value, as in files of text, and its code only where
// every category is a word.
type Domains struct{ fields []field }

// NewDomains are those of features; nil where each may be any number.
func NewDomains(features []Feature) *Domains {
	d := &Domains{}
	for i, f := range features {
		d.fields = append(d.fields, newField(i, f))
	}
	if !slices.ContainsFunc(d.fields, func(f field) bool { return f.of != nil }) {
		return nil
	}
	return d
}

// ByValue reports whether arrays can hold values of a category: one of them is a
// number or a truth value.
func (f Feature) ByValue() bool {
	return slices.ContainsFunc(f.Categories, func(c string) bool { _, ok := valueOf(c); return ok })
}

// Values are the categories as arrays hold them, NaN for a word.
func (f Feature) Values() []float32 {
	out := make([]float32, len(f.Categories))
	for i, c := range f.Categories {
		v, ok := valueOf(c)
		if !ok {
			v = nan
		}
		out[i] = v
	}
	return out
}

// Take makes codes of the categories of a row, in place. A value that its feature may
// not have is an error that names the column.
func (d *Domains) Take(row []float32) error {
	for i := range d.fields {
		f := &d.fields[i]
		if f.of == nil {
			continue
		}
		v, err := f.of.number(row[i])
		if err != nil {
			column := Numbered(i)
			if f.of.Name != "" {
				column = fmt.Sprintf("column %q", f.of.Name)
			}
			if errors.Is(err, errMissing) {
				return fmt.Errorf("%s has no value", column)
			}
			return fmt.Errorf("%s: %w", column, err)
		}
		row[i] = v
	}
	return nil
}

// number is what a number of an array stands for.
func (d *domain) number(v float32) (float32, error) {
	switch {
	case v != v && d.Missing:
		return v, nil
	case v != v:
		return 0, errMissing
	case d.codes != nil:
		if code, ok := d.codeOf(v); ok {
			return float32(code), nil
		}
		if len(d.values) == 0 {
			return 0, fmt.Errorf("%v is none of %s, nor the place of one, 0 to %d", v, list(d.Categories), len(d.Categories)-1)
		}
		return 0, fmt.Errorf("%v is none of %s", v, list(d.Categories))
	case d.Kind == KindInteger && float64(v) != math.Trunc(float64(v)):
		return 0, fmt.Errorf("%v is no whole number", v)
	}
	return v, nil
}

// codeOf is the category of a number: by its value, by its place where all are words.
func (d *domain) codeOf(v float32) (int, bool) {
	if len(d.values) > 0 {
		code, ok := d.values[v]
		return code, ok && code >= 0
	}
	code := int(v)
	return code, float32(code) == v && code >= 0 && code < len(d.Categories)
}

// valueOf is a category as a number, as arrays have it; false of a word.
func valueOf(category string) (float32, bool) {
	switch category {
	case "True", "true", "TRUE":
		return 1, true
	case "False", "false", "FALSE":
		return 0, true
	}
	if !decimal.MatchString(category) {
		return 0, false
	}
	c := Cell{Kind: CellText, Text: category}
	v, err := c.number()
	return v, err == nil
}
