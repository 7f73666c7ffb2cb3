package arrow

import (
	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
)

// dense is a column of the batch at hand whose values are floats or bytes, with
// none missing: they are taken from where the batch has them.
type dense struct {
	list   array.ListLike // that says where a row's values are; nil: they follow one another
	base   int            // of the first row's
	floats []float32
	double []float64
	bytes  []byte
}

// Numbers fills dst with the values of the next row, sizes[i] of column i, as Next
// would give them, if all columns are of floats or bytes and none is missing.
// Otherwise it reads nothing and gives false, as at the end of a batch.
func (t *Table) Numbers(dst []float32, sizes []int) (ok bool, err error) {
	defer recovered(&err)
	if t.batch == nil {
		if err := t.fill(); err != nil {
			return false, err
		}
	}
	if t.at == t.batch.NumRows() {
		return false, nil
	}
	if t.dense == nil {
		t.dense = t.lay(sizes)
	}
	if len(t.dense) != len(t.columns) {
		return false, nil
	}
	row := int(t.at)
	for i := range t.dense {
		d, n := &t.dense[i], sizes[i]
		at := d.base + row*n
		if d.list != nil {
			lo, hi := d.list.ValueOffsets(row)
			if hi-lo != int64(n) {
				return false, nil
			}
			at = int(lo)
		}
		switch out := dst[:n]; {
		case d.floats != nil:
			copy(out, d.floats[at:at+n])
		case d.double != nil:
			for k, v := range d.double[at : at+n] {
				out[k] = float32(v)
			}
		default:
			for k, v := range d.bytes[at : at+n] {
				out[k] = float32(v)
			}
		}
		dst = dst[n:]
	}
	t.at++
	return true, nil
}

// lay finds the values of the columns: not all of them where one is of another
// kind.
func (t *Table) lay(sizes []int) []dense {
	out := make([]dense, 0, len(t.columns))
	for i, c := range t.columns {
		a := t.batch.Column(i)
		d := dense{}
		n := 1
		for top := true; a.NullN() == 0; top = false {
			if x, ok := a.(array.ExtensionArray); ok {
				a = x.Storage()
				continue
			}
			l, ok := a.(array.ListLike)
			if !ok {
				break
			}
			if f, fixed := a.DataType().(*arrow.FixedSizeListType); fixed {
				lo, _ := l.ValueOffsets(0)
				d.base = (d.base + int(lo)/int(f.Len())) * int(f.Len())
				if lo%int64(f.Len()) != 0 {
					return out
				}
				n *= int(f.Len())
			} else if top {
				d.list, n = l, sizes[i]
			} else {
				return out
			}
			a = l.ListValues()
		}
		if a.NullN() > 0 || c.Reject != "" || c.Text || n != sizes[i] || d.list != nil && d.base > 0 {
			return out
		}
		switch a := a.(type) {
		case *array.Float32:
			d.floats = a.Float32Values()
		case *array.Float64:
			d.double = a.Float64Values()
		case *array.Uint8:
			d.bytes = a.Uint8Values()
		default:
			return out
		}
		out = append(out, d)
	}
	return out
}
