package attack

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Constraints say which rows of a table can exist. The runner holds every
// attack to them: whatever an attack proposes, what is judged is a legal row.
//
// What a row has before the attack is always legal for that row, be it outside
// a column's range, not whole, or no one-hot: an attack may leave it as it is,
// but not change it to something else that is illegal.
type Constraints struct {
	Columns []Column // one for each number of a row
	// Groups are the columns of one-hot groups, whose raw values are 0 and 1,
	// whatever Integer, Min and Max say. No column is in two of them. One
	// immutable column holds the whole group.
	Groups [][]int
}

// Column is what one number of a row may be. The raw value, in which Integer,
// Min and Max are meant, is x·Scale + Offset of the row's number x.
type Column struct {
	Immutable bool
	Integer   bool    // the raw value is a whole number
	Min, Max  float64 // of the raw value; ±Inf: none; both 0: none
	Scale     float64 // 0: 1
	Offset    float64
}

// Validate reports what is wrong with constraints of rows of so many columns.
func (c *Constraints) Validate(columns int) error {
	if len(c.Columns) != columns {
		return fmt.Errorf("constraints of %d columns for rows of %d", len(c.Columns), columns)
	}
	for j, k := range c.Columns {
		if math.IsNaN(k.Scale) || math.IsInf(k.Scale, 0) || math.IsNaN(k.Offset) || math.IsInf(k.Offset, 0) {
			return fmt.Errorf("constraints of column %d: scale %g and offset %g; want finite numbers", j, k.Scale, k.Offset)
		}
		if lo, hi := k.bounds(); !(lo <= hi) {
			return fmt.Errorf("constraints of column %d: min %g is above max %g", j, lo, hi)
		}
	}
	seen := make([]bool, columns)
	for g, group := range c.Groups {
		for _, j := range group {
			if j < 0 || j >= columns {
				return fmt.Errorf("constraints: one-hot group %d has column %d; rows have %d", g, j, columns)
			}
			if seen[j] {
				return fmt.Errorf("constraints: column %d is in two one-hot groups", j)
			}
			seen[j] = true
		}
	}
	return nil
}

// Count is how many columns and groups are constrained, each column by the
// first that it is: immutable, integer, in a range. Those of a one-hot group
// count with it, unless they are immutable.
type Count struct {
	Immutable int `json:"immutable"`
	Integer   int `json:"integer"`
	Ranges    int `json:"ranges"`
	Groups    int `json:"one_hot_groups"`
}

// Count counts the constraints.
func (c *Constraints) Count() Count {
	n, grouped := Count{Groups: len(c.Groups)}, make([]bool, len(c.Columns))
	for _, group := range c.Groups {
		for _, j := range group {
			grouped[j] = true
		}
	}
	for j, k := range c.Columns {
		lo, hi := k.bounds()
		switch {
		case k.Immutable:
			n.Immutable++
		case grouped[j]:
		case k.Integer:
			n.Integer++
		case !math.IsInf(lo, -1) || !math.IsInf(hi, 1):
			n.Ranges++
		}
	}
	return n
}

// String is as "2 immutable columns, 1 integer column".
func (n Count) String() string {
	var parts []string
	say := func(n int, one, many string) {
		if n == 1 {
			parts = append(parts, "1 "+one)
		} else if n > 1 {
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	say(n.Immutable, "immutable column", "immutable columns")
	say(n.Integer, "integer column", "integer columns")
	say(n.Ranges, "column with a range", "columns with a range")
	say(n.Groups, "one-hot group", "one-hot groups")
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// Project moves x, in place, to a legal row near it, where x0 is the row
// before the attack: immutable columns and what is as in x0 keep x0's bits,
// integers are rounded to the nearest whole number in their range (halves
// towards x0), and a one-hot group takes the category of its largest raw value
// (of equals x0's, else the first).
//
// There is no ball here. The runner, whose ball is bounded, never leaves it:
// see Options.Constraints.
func (c *Constraints) Project(x, x0 []float32) {
	newLegal(c, Budget{Norm: Linf, Eps: math.Inf(1)}).project(x0, x)
}

// Legal reports whether an attack on x0 may give x. Whole numbers, codes and
// ranges are met to within the rounding of the row's float32.
func (c *Constraints) Legal(x, x0 []float32) bool {
	grouped := make([]bool, len(x))
	for _, group := range c.Groups {
		same, ones, zeros := true, 0, 0
		for _, j := range group {
			grouped[j] = true
			same = same && x[j] == x0[j]
			switch k := c.Columns[j]; {
			case k.is(x[j], 1):
				ones++
			case k.is(x[j], 0):
				zeros++
			}
		}
		if !same && (c.immutable(group) || ones != 1 || zeros != len(group)-1) {
			return false
		}
	}
	for j, k := range c.Columns {
		if x[j] == x0[j] || grouped[j] {
			continue
		}
		v := k.raw(x[j])
		lo, hi := k.bounds()
		t := k.tolerance(v)
		if k.Immutable || !(v >= lo-t && v <= hi+t) || k.Integer && !k.is(x[j], math.Round(v)) {
			return false
		}
	}
	return true
}

// immutable reports whether a group stands still.
func (c *Constraints) immutable(group []int) bool {
	return slices.ContainsFunc(group, func(j int) bool { return c.Columns[j].Immutable })
}

// divided are the constraints of rows whose columns are divided by unit.
func (c *Constraints) divided(unit []float32) *Constraints {
	out := &Constraints{Columns: slices.Clone(c.Columns), Groups: c.Groups}
	for j := range out.Columns {
		out.Columns[j].Scale = c.Columns[j].scale() * float64(unit[j])
	}
	return out
}

func (k Column) scale() float64 {
	if k.Scale == 0 {
		return 1
	}
	return k.Scale
}

func (k Column) bounds() (lo, hi float64) {
	if k.Min == 0 && k.Max == 0 {
		return math.Inf(-1), math.Inf(1)
	}
	return k.Min, k.Max
}

func (k Column) raw(x float32) float64 { return float64(float64(x)*k.scale()) + k.Offset }

// code is the number of a row whose raw value is v.
func (k Column) code(v float64) float32 { return float32((v - k.Offset) / k.scale()) }

// tolerance is how far rounding to float32 may take a raw value from what it
// stands for: a millionth of its terms, where a unit in the last place is a
// sixteenth of that.
func (k Column) tolerance(v float64) float64 {
	return min(1e-4+1e-6*(math.Abs(v)+math.Abs(k.Offset)), .25)
}

// is reports whether x stands for the raw value v.
func (k Column) is(x float32, v float64) bool { return math.Abs(k.raw(x)-v) <= k.tolerance(v) }
