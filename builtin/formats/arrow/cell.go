package arrow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// Cell is one value of a row.
type Cell struct {
	Column int
	Null   bool
	Number float64 // if the column is not text; booleans are 0 and 1
	Text   string  // if it is; also a number that Number does not hold exactly
}

// maxScale bounds the digits behind a decimal point.
const maxScale = 76

// maxValues bounds the values of one list, and of one row.
const maxValues = 1 << 22

// describe says what a field holds.
func describe(f arrow.Field) Column {
	c := Column{Name: f.Name}
	c.Reject = c.take(f.Type)
	if len(c.Shape) == 1 || c.List {
		c.Shape = nil
	}
	if v, ok := f.Metadata.GetValue("ARROW:extension:name"); ok && v == "arrow.fixed_shape_tensor" && c.Reject == "" {
		about, _ := f.Metadata.GetValue("ARROW:extension:metadata")
		c.Reject = c.tensor(about)
	}
	return c
}

// tensor takes the shape of a fixed-shape tensor from its metadata, and says
// why it cannot be used, if so.
func (c *Column) tensor(about string) string {
	var t struct {
		Shape       []int `json:"shape"`
		Permutation []int `json:"permutation"`
	}
	if err := json.Unmarshal([]byte(about), &t); err != nil {
		return "is a tensor without a shape"
	}
	size := 1
	for _, n := range t.Shape {
		if n < 1 || n > maxValues/size {
			return fmt.Sprintf("holds tensors of shape %v", t.Shape)
		}
		size *= n
	}
	switch {
	case size != c.Size:
		return fmt.Sprintf("holds tensors of shape %v in lists of %d", t.Shape, c.Size)
	case !slices.IsSorted(t.Permutation):
		return fmt.Sprintf("holds tensors of permuted dimensions, %v, want them in C order", t.Permutation)
	}
	c.Shape = t.Shape
	return ""
}

// take follows a type to its values, and says why they cannot be used, if so.
func (c *Column) take(t arrow.DataType) string {
	switch t := t.(type) {
	case *arrow.DictionaryType:
		return c.take(t.ValueType)
	case arrow.ExtensionType:
		return c.take(t.StorageType())
	case *arrow.FixedSizeListType:
		n := int(t.Len())
		if n < 1 || n > maxValues/max(c.Size, 1) {
			return fmt.Sprintf("holds lists of %d", n)
		}
		c.Size = max(c.Size, 1) * n
		c.Shape = append(c.Shape, n)
		return c.take(t.Elem())
	case *arrow.ListType:
		c.List = true
		return c.take(t.Elem())
	case *arrow.LargeListType:
		c.List = true
		return c.take(t.Elem())
	case arrow.DecimalType:
		if s := t.GetScale(); s < 0 || s > maxScale {
			return fmt.Sprintf("is of type %s, want 0 to %d digits behind the point", t, maxScale)
		}
		return ""
	}
	c.Bytes, c.Unsigned = t.ID() == arrow.UINT8, t.ID() == arrow.UINT64
	c.Whole = c.Unsigned || t.ID() == arrow.INT64
	switch t.ID() {
	case arrow.BINARY, arrow.LARGE_BINARY, arrow.BINARY_VIEW:
		c.Text, c.Binary = true, !c.List && c.Size == 0
	case arrow.FIXED_SIZE_BINARY:
		c.Binary = !c.List && c.Size == 0
		return "is of type " + t.String()
	case arrow.STRING, arrow.LARGE_STRING, arrow.STRING_VIEW:
		c.Text = true
	case arrow.NULL, arrow.BOOL, arrow.INT8, arrow.INT16, arrow.INT32, arrow.INT64, arrow.UINT8, arrow.UINT16, arrow.UINT32, arrow.UINT64,
		arrow.FLOAT16, arrow.FLOAT32, arrow.FLOAT64:
	default:
		return "is of type " + t.String()
	}
	return ""
}

// add appends the cells of one value of a column. Lists may share their values, and
// those of nulls take no bytes: what a row holds is bounded here.
func (t *Table) add(column int, a arrow.Array, i int) error {
	if t.visited++; t.visited > 2*maxValues {
		return errRow
	}
	c := Cell{Column: column}
	if a.IsNull(i) {
		c.Null = true
		n := 1
		if l, ok := a.DataType().(*arrow.FixedSizeListType); ok && !t.columns[column].List {
			n = width(l)
		}
		if n > maxValues-len(t.cells) {
			return errRow
		}
		for range n {
			t.cells = append(t.cells, c)
		}
		return nil
	}
	switch a := a.(type) {
	case *array.Dictionary:
		return t.add(column, a.Dictionary(), a.GetValueIndex(i))
	case array.ExtensionArray:
		return t.add(column, a.Storage(), i)
	case array.ListLike:
		from, to := a.ValueOffsets(i)
		if to-from > 2*maxValues-int64(t.visited) {
			return errRow
		}
		for k := from; k < to; k++ {
			if err := t.add(column, a.ListValues(), int(k)); err != nil {
				return err
			}
		}
		return nil
	case *array.Boolean:
		if a.Value(i) {
			c.Number = 1
		}
	case *array.Int8:
		c.Number = float64(a.Value(i))
	case *array.Int16:
		c.Number = float64(a.Value(i))
	case *array.Int32:
		c.Number = float64(a.Value(i))
	case *array.Int64:
		v := a.Value(i)
		if c.Number = float64(v); !exact(v) {
			c.Text = strconv.FormatInt(v, 10)
		}
	case *array.Uint8:
		c.Number = float64(a.Value(i))
	case *array.Uint16:
		c.Number = float64(a.Value(i))
	case *array.Uint32:
		c.Number = float64(a.Value(i))
	case *array.Uint64:
		v := a.Value(i)
		if c.Number = float64(v); v > 1<<53 {
			c.Text = strconv.FormatUint(v, 10)
		}
	case *array.Float16:
		c.Number = float64(a.Value(i).Float32())
	case *array.Float32:
		c.Number = float64(a.Value(i))
	case *array.Float64:
		c.Number = a.Value(i)
	case array.StringLike:
		c.Text = a.Value(i)
	case interface{ Value(i int) []byte }:
		if t.columns[column].Bytes {
			if len(a.Value(i)) > maxValues-len(t.cells) {
				return errRow
			}
			for _, b := range a.Value(i) {
				c.Number = float64(b)
				t.cells = append(t.cells, c)
			}
			return nil
		}
		c.Text = string(a.Value(i))
	case *array.Decimal32:
		c.decimal(a.Value(i).ToString(scale(a)))
	case *array.Decimal64:
		c.decimal(a.Value(i).ToString(scale(a)))
	case *array.Decimal128:
		c.decimal(a.Value(i).ToString(scale(a)))
	case *array.Decimal256:
		c.decimal(a.Value(i).ToString(scale(a)))
	default:
		c.Null = true
	}
	if len(t.cells) == maxValues {
		return errRow
	}
	t.cells = append(t.cells, c)
	return nil
}

var errRow = fmt.Errorf("a row of more than %d values", maxValues)

func scale(a arrow.Array) int32 { return a.DataType().(arrow.DecimalType).GetScale() }

// decimal is a number with all its digits.
func (c *Cell) decimal(text string) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		v = nan
	}
	c.Number, c.Text = v, text
}

// width is the number of values of a list of one length.
func width(t *arrow.FixedSizeListType) int {
	n := int(t.Len())
	if inner, ok := t.Elem().(*arrow.FixedSizeListType); ok {
		n *= width(inner)
	}
	return n
}
