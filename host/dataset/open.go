package dataset

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Open reads the rows of one role: the source, of it the split, of that the
// range, of that a class-balanced limit; then each example is reshaped, brought
// from nchw to nhwc and rescaled, in this order. Relative paths start at
// baseDir; named are the sets and formats those of files. Classes is filled where there are labels: classes without names are
// called "0", "1", …. Standardisation is not applied: it needs data.train (Standardize).
func Open(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format]) (*Data, error) {
	if err := checkOne(src); err != nil {
		return nil, err
	}
	d, official, err := load(src, baseDir, named, formats)
	if err != nil {
		return nil, err
	}
	d.nameClasses()
	rows, err := pick(src, d, official)
	if err != nil {
		return nil, err
	}
	if rows != nil {
		d = d.take(rows)
	}
	return d, d.shape(src)
}

// nameClasses calls classes without names by their numbers.
func (d *Data) nameClasses() {
	if d.Labels == nil || d.Classes != nil {
		return
	}
	d.Classes = make([]string, d.NumClasses())
	for c := range d.Classes {
		d.Classes[c] = strconv.Itoa(c)
	}
}

// checkOne holds that exactly one place is named.
func checkOne(src Source) error {
	keys, values := src.places()
	n := 0
	for _, s := range values {
		if s != "" {
			n++
		}
	}
	if n != 1 {
		last := len(keys) - 1
		return fmt.Errorf("want exactly one of %s and %s", strings.Join(keys[:last], ", "), keys[last])
	}
	return nil
}

// load reads all rows, or those of an official split.
func load(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format]) (d *Data, official bool, err error) {
	if src.Dataset == "" {
		o, err := openSource(src, baseDir, formats)
		if err != nil {
			return nil, false, err
		}
		d, err := o.collect()
		return d, o.official, errors.Join(err, o.Close())
	}
	set, split, err := lookup(src, named)
	if err != nil {
		return nil, false, err
	}
	d, err = set.Load(split)
	return d, set.Splits() != nil, err
}

// lookup finds a named set and the split to ask of it.
func lookup(src Source, named registry.Table[Set]) (set Set, split string, err error) {
	set, err = named.Lookup(src.Dataset)
	if err != nil {
		return nil, "", err
	}
	splits := set.Splits()
	if splits == nil || src.Split == "" {
		return set, "", nil
	}
	if !slices.Contains(splits, src.Split) {
		return nil, "", fmt.Errorf("%s has the splits %s, not %s: use range to split one of them",
			src.Dataset, strings.Join(splits, " and "), src.Split)
	}
	return set, src.Split, nil
}

// pick is the rows that split, range and limit leave; nil for all.
func pick(src Source, d *Data, official bool) ([]int, error) {
	n := d.X.N()
	var rows []int
	if src.Split != "" && !official {
		var err error
		if rows, err = partition(n, d.Labels, src.Split, src.SplitSeed); err != nil {
			return nil, err
		}
		n = len(rows)
	}
	if err := checkRange(src.Range, n); err != nil {
		return nil, err
	}
	if rows == nil && (src.Range != nil || src.Limit > 0) {
		rows = make([]int, n)
		for i := range rows {
			rows[i] = i
		}
	}
	if src.Range != nil {
		rows = rows[src.Range[0]:src.Range[1]]
	}
	if src.Limit > 0 {
		rows = balanced(rows, d.Labels, src.Limit)
	}
	if rows != nil && len(rows) == 0 {
		return nil, errors.New("no rows are left by split, range and limit")
	}
	return rows, nil
}

// exampleShape is the shape of one example after reshape and layout.
func exampleShape(src Source, stored tensor.Shape) (tensor.Shape, error) {
	s := stored
	if src.Reshape != nil {
		s = tensor.Shape(src.Reshape)
		if err := s.Valid(1, MaxElements); err != nil {
			return nil, fmt.Errorf("reshape: %w", err)
		}
		if s.Size() != stored.Size() {
			return nil, fmt.Errorf("reshape: %v has %d numbers, an example of %v has %d", s, s.Size(), stored, stored.Size())
		}
	}
	if src.Layout == "nchw" {
		if len(s) != 3 {
			return nil, fmt.Errorf("layout nchw: examples are %v, want channels × height × width", s)
		}
		s = tensor.Shape{s[1], s[2], s[0]}
	}
	return s, nil
}

// shape reshapes, transposes and rescales the rows of d in place.
func (d *Data) shape(src Source) error {
	s, err := exampleShape(src, d.X.Example())
	if err != nil {
		return err
	}
	n := d.X.N()
	if src.Layout == "nchw" {
		h, w, c := s[0], s[1], s[2]
		from := make([]float32, h*w*c)
		for i := range n {
			row := d.X.Row(i)
			copy(from, row) // (C, H, W)
			for p := range h * w {
				for k := range c {
					row[p*c+k] = from[k*h*w+p] // (H, W, C)
				}
			}
		}
	}
	d.X = d.X.Reshape(append([]int{n}, s...)...)
	if r := src.Rescale; r != nil {
		for i, v := range d.X.Data {
			d.X.Data[i] = float32(float64(float64(v)*r.Scale) + r.Offset)
		}
		if err := BadNumber(d.X.Data, Numbered); err != nil {
			return fmt.Errorf("rescale: %w", err)
		}
	}
	return nil
}

// ReadHeader is what Open would give, as far as it can be told without
// reading rows. Faults that Open would find in the options are errors here.
func ReadHeader(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format]) (Header, error) {
	if err := checkOne(src); err != nil {
		return Header{}, err
	}
	h, official, err := header(src, baseDir, named, formats)
	if err != nil {
		return h, err
	}
	if src.Split != "" && !official && h.Rows >= 0 {
		if h.Rows, err = partSize(h.Rows, src.Split); err != nil {
			return h, err
		}
	}
	if err := checkRange(src.Range, h.Rows); err != nil {
		return h, err
	}
	if src.Range != nil {
		h.Rows = src.Range[1] - src.Range[0]
	}
	if src.Limit > 0 && h.Rows >= 0 {
		h.Rows = min(h.Rows, src.Limit)
	}
	h.Example, err = exampleShape(src, h.Example)
	return h, err
}

// header describes the whole source, or an official split.
func header(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format]) (h Header, official bool, err error) {
	if src.Dataset != "" {
		set, split, err := lookup(src, named)
		if err != nil {
			return Header{}, false, err
		}
		h, err = set.Header(split)
		return h, set.Splits() != nil, err
	}
	o, err := openSource(src, baseDir, formats)
	if err != nil {
		return Header{}, false, err
	}
	h = Header{Rows: o.Count(), Example: o.Example().Clone(), Labelled: o.y != nil || src.Label != ""}
	switch r := o.Reader.(type) {
	case Headed:
		h = r.Header()
		h.Labelled = h.Labelled || o.y != nil
	case RowLabels:
		h.Classes = len(r.Classes())
		h.Labelled = h.Labelled || h.Classes > 0
	}
	return h, o.official, o.Close()
}
