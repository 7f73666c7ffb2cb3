package dataset

import (
	"errors"
	"os"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/registry"
)

// First is what a source tells at little cost: its header and its first rows.
type First struct {
	// Header is that of ReadHeader. Its Rows, and Classes, are counted where the
	// rows were read to their end.
	Header
	// Seen are the classes that occur, each once, as far as they are known;
	// numbers are written out. With range they are those of its rows; split and
	// limit may leave some of them out.
	Seen []string
	// Whole says that no other class can occur.
	Whole bool
	// Low and High are the least and the largest number of the first FirstRows rows,
	// as the source has them; Low > High: none was read.
	Low, High float32
}

// Enough is what ReadFirst is to find out. The zero value wants no more than
// FirstRows.
type Enough struct {
	// Classes is how many classes it is enough to have seen.
	Classes int
	// Rows reports whether it is enough to know that Open would give n rows or
	// more; nil: always.
	Rows func(n int) bool
}

// FirstRows is how many rows ReadFirst reads at least, where there are so many.
const FirstRows = 64

// What ReadFirst may cost.
const (
	firstNumbers = 1 << 24 // in its first rows
	countNumbers = 1 << 28 // in all
	countBytes   = 1 << 30 // of a file that is read on
)

// ReadFirst is ReadHeader, and reads the first rows, on until enough is known or
// the rows end; a file larger than 1 GiB it does not read on. Errors are those
// that Open would give, for the rows that it reads. Of a named set it reads the
// header alone.
func ReadFirst(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format], want Enough, opts ...OpenOptions) (f First, err error) {
	h, err := ReadHeader(src, baseDir, named, formats, opts...)
	if err != nil {
		return First{}, err
	}
	f.Header, f.Low = h, 1
	if src.Dataset != "" {
		for c := range h.Classes {
			f.Seen = append(f.Seen, strconv.Itoa(c))
		}
		return f, nil
	}
	var schema *Schema
	if len(opts) > 0 {
		schema = opts[0].Schema
	}
	o, err := openSource(src, baseDir, formats, schema)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	if err := f.labels(src, o); err != nil {
		return f, err
	}
	size := o.Example().Size()
	if size > firstNumbers {
		return f, nil
	}
	most := min(FirstRows, firstNumbers/size)
	file, _ := src.file(formats)
	if info, err := os.Stat(below(baseDir, file)); err == nil && info.Mode().IsRegular() && info.Size() <= countBytes {
		most = countNumbers / size
	}
	return f, f.read(src, o, most, want)
}

// labels takes the classes that are known without reading rows.
func (f *First) labels(src Source, o *opened) error {
	if with, ok := o.Reader.(RowLabels); ok && len(with.Classes()) > 0 {
		f.Seen, f.Whole = slices.Clone(with.Classes()), src.Range == nil && src.Split == ""
	}
	if o.y == nil {
		return nil
	}
	labels, names, err := o.y.labels(o.yName, o.Count())
	if err != nil {
		return err
	}
	for i, y := range labels {
		if !src.ranged(i) {
			continue
		}
		name := strconv.Itoa(y)
		if names != nil {
			name = names[y]
		}
		f.see(name)
	}
	f.Whole, f.Labelled = true, true
	return f.count(labels, names, nil)
}

// count tells the number of classes that Open would find, if the header does
// not. All labels are known.
func (f *First) count(labels []int, names []string, err error) error {
	if err == nil && f.Classes == 0 {
		f.Classes = (&Data{Labels: labels, Classes: names}).NumClasses()
	}
	return err
}

// see adds a class.
func (f *First) see(name string) {
	if name != "" && !slices.Contains(f.Seen, name) {
		f.Seen = append(f.Seen, name)
	}
}

// ranged reports whether row i of the file may be one of those that Open gives.
func (s *Source) ranged(i int) bool {
	return s.Split != "" || s.Shuffle || s.Range == nil || len(s.Range) == 2 && s.Range[0] <= i && i < s.Range[1]
}

// read reads at most so many rows.
func (f *First) read(src Source, o *opened, most int, want Enough) error {
	row := make([]float32, o.Example().Size())
	with, _ := o.Reader.(RowLabels)
	if f.Whole || len(f.Seen) > 0 {
		with = nil // known already
	}
	for n := 0; n < most; n++ {
		if n >= FirstRows && (with == nil || !f.Labelled || len(f.Seen) >= want.Classes) && f.counted(src, o, n, want) {
			return nil
		}
		numbers, err := o.next(row)
		if isEOF(err) {
			if n == 0 {
				return errors.New("no rows")
			}
			if with != nil {
				f.Whole = true
				if err := f.count(classesOf("labels", f.Seen)); err != nil {
					return err
				}
			}
			f.Rows, err = src.selected(n, o.official)
			return err
		}
		if err != nil {
			return err
		}
		if n < FirstRows {
			f.widen(numbers)
		}
		if with != nil && src.ranged(n) {
			f.see(with.Label())
			f.Labelled = f.Labelled || with.Label() != ""
		}
	}
	return nil
}

// widen adds the numbers of a row to the range.
func (f *First) widen(row []float32) {
	for _, v := range row {
		switch {
		case v != v: // missing
		case f.Low > f.High:
			f.Low, f.High = v, v
		default:
			f.Low, f.High = min(f.Low, v), max(f.High, v)
		}
	}
}

// next is Next, whatever the size of an image. row has room for one of Example.
func (o *opened) next(row []float32) ([]float32, error) {
	if v, ok := o.Reader.(Varied); ok {
		image, _, err := v.NextImage()
		return image, err
	}
	return row, o.Next(row)
}

// counted reports whether it is enough to know that there are n rows.
func (f *First) counted(src Source, o *opened, n int, want Enough) bool {
	switch {
	case f.Rows >= 0 && (src.Range == nil || o.Count() >= 0): // by the header
		return true
	case src.Range == nil && want.Rows == nil:
		return true
	case n%FirstRows != 0:
		return false
	}
	left, err := src.selected(n, o.official)
	return err == nil && (want.Rows == nil || want.Rows(left)) // a range may end after the rows
}

// selected is how many of n rows split, range and limit leave.
func (s *Source) selected(n int, official bool) (int, error) {
	if s.Split != "" && !official {
		var err error
		if n, err = partSize(n, s.Split); err != nil {
			return 0, err
		}
	}
	if err := checkRange(s.Range, n); err != nil {
		return 0, err
	}
	if s.Range != nil {
		n = s.Range[1] - s.Range[0]
	}
	if s.Limit > 0 {
		n = min(n, s.Limit)
	}
	return n, nil
}
