package dataset

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// field is one number of a row: where it comes from and what it may be.
type field struct {
	cell int
	of   *domain // nil: any number
}

// domain is what the values of a feature may be.
type domain struct {
	Feature
	codes  map[string]int  // of categories
	values map[float32]int // of categories that are numbers; -1: of several, which float32 does not tell apart
	places bool            // a number may be a code where no category is a number
}

func newField(cell int, f Feature) field {
	if f.Kind != KindInteger && f.Kind != KindCategory && !f.Missing {
		return field{cell: cell}
	}
	d := &domain{Feature: f}
	if f.Kind == KindCategory {
		d.codes, d.values = make(map[string]int, len(f.Categories)), map[float32]int{}
		for i, c := range f.Categories {
			if _, ok := d.codes[canonical(c)]; !ok {
				d.codes[canonical(c)] = i
			}
			if v, ok := valueOf(strings.TrimSpace(c)); ok {
				if _, twice := d.values[v]; twice {
					i = -1
				}
				d.values[v] = i
			}
		}
	}
	return field{cell: cell, of: d}
}

// The faults of a value that data.columns can do something about.
var (
	errMissing = errors.New("no value")
	errText    = errors.New("is not a number")
)

var nan = float32(math.NaN())

// value is the number that a cell stands for.
func (f *field) value(c *Cell) (float32, error) {
	if d := f.of; d != nil {
		if d.codes != nil {
			if code, ok := d.code(c); ok {
				return float32(code), nil
			}
		}
		if c.missing() {
			if d.Missing {
				return nan, nil
			}
			return 0, c.noValue()
		}
		if d.codes != nil {
			return 0, fmt.Errorf("%.40q is none of %s", c.name(), list(d.Categories))
		}
	}
	v, err := c.number()
	if err != nil {
		return 0, err
	}
	if f.of != nil && f.of.Kind == KindInteger && float64(v) != math.Trunc(float64(v)) {
		return 0, fmt.Errorf("%v is no whole number", v)
	}
	return v, nil
}

// code is the category of a cell.
func (d *domain) code(c *Cell) (int, bool) {
	if c.Kind == CellMissing {
		return 0, false
	}
	code, ok := d.codes[canonical(c.name())]
	if !ok && c.Kind == CellNumber && c.Text != "" { // a truth value written out
		code, ok = d.codes[numeral(c.Number)]
	}
	switch v := float32(c.Number); {
	case ok || c.Kind != CellNumber:
	case len(d.values) > 0 && float64(v) == c.Number: // of a column of float32, perhaps
		code, ok = d.codeOf(v)
	case len(d.values) == 0 && d.places && (c.Text == "" || decimal.MatchString(c.Text)):
		code, ok = d.codeOf(v)
	}
	return code, ok
}

// number is a finite float32.
func (c *Cell) number() (float32, error) {
	var f float32
	switch {
	case c.Kind == CellMissing:
		return 0, errMissing
	case c.Text == "" && c.Kind == CellNumber:
		f = float32(c.Number)
	default:
		text := strings.TrimSpace(c.Text)
		if v, n, ok := Decimal(text); ok && n == len(text) {
			return v, nil
		}
		v, err := strconv.ParseFloat(text, 32)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			switch text { // as pandas and JSON write truth values
			case "True", "true", "TRUE":
				return 1, nil
			case "False", "false", "FALSE":
				return 0, nil
			}
			if c.missing() {
				return 0, c.noValue()
			}
			return 0, fmt.Errorf("%.40q %w", text, errText)
		}
		f = float32(v)
	}
	if f-f == 0 {
		return f, nil
	}
	if c.missing() {
		return 0, c.noValue()
	}
	return 0, fmt.Errorf("%.40q: want finite numbers of float32", c.name())
}

// missing reports whether a cell has no value: none, NaN, or one of the words
// that stand for it.
func (c *Cell) missing() bool {
	switch c.Kind {
	case CellMissing:
		return true
	case CellNumber:
		return c.Number != c.Number
	}
	return IsMissing(c.Text)
}

// noValue says that a missing value is, in the file's words.
func (c *Cell) noValue() error {
	if text := c.name(); text != "" {
		return fmt.Errorf("%q: %w", text, errMissing)
	}
	return errMissing
}

// IsMissing reports whether text stands for a value that is missing: empty, NA,
// N/A, NaN, null, None or "?", as R, pandas and the archives of data sets write
// it.
func IsMissing(text string) bool {
	switch strings.TrimSpace(text) {
	case "", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "null", "NULL", "None", "?":
		return true
	}
	return false
}

// name is a cell as text: what a label, an id or a category is.
func (c *Cell) name() string {
	if c.Kind == CellNumber && c.Text == "" {
		if c.Number != c.Number {
			return ""
		}
		return numeral(c.Number)
	}
	return strings.TrimSpace(c.Text)
}

// numeral writes a number: whole ones without point or exponent.
func numeral(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<63 {
		return strconv.FormatFloat(v+0, 'f', -1, 64) // +0: no -0
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

var decimal = regexp.MustCompile(`^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$`)

// canonical is one way of writing a label or a category: without spaces around
// it, and where it is a number as short as that goes, so that 1, 1.0 and 1e0
// agree.
func canonical(text string) string {
	text = strings.TrimSpace(text)
	if !decimal.MatchString(text) {
		return text
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.Abs(v) >= 1<<53 {
		return text
	}
	return numeral(v)
}

// advise adds to the fault of a value what data.columns can do about it.
func (t *table) advise(err error, f *field) error {
	key := t.cellName(f.cell)
	switch {
	case errors.Is(err, errMissing):
		return fmt.Errorf("%w; data.columns: {%s: {missing: median}} accepts it", err, yamlKey(key))
	case errors.Is(err, errText):
		return fmt.Errorf("%w%s", err, waysOut(key))
	}
	return err
}

// waysOut are what can be done about a column of text.
func waysOut(name string) string {
	k := yamlKey(name)
	return fmt.Sprintf("; data.columns: {%s: {categories: [...]}} says which words it has, {%s: {ignore: true}} leaves it out, id: %s names rows by it", k, k, k)
}

// yamlKey writes a name as a key.
func yamlKey(name string) string {
	for _, c := range name {
		if !(c == '_' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c > 127) {
			return strconv.Quote(name)
		}
	}
	if name == "" {
		return `""`
	}
	return name
}
