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

// Door is the one way in for rows, from what files hold to what the guard
// takes. Package signature has it.
type Door interface {
	// Enter settles what the rows of r become. It reads none. Rows that can never
	// fit are an error that says what was wanted.
	Enter(r Reader) (Entered, error)
	// Raw is the shape of a row before the door, nil if rows may differ or it is
	// not known.
	Raw() tensor.Shape
}

// Entered are rows that came through a door.
type Entered interface {
	// Example is the shape of one, without a 0.
	Example() tensor.Shape
	// Next fills dst with the next row, as a Reader's does.
	Next(dst []float32) error
}

// OpenOptions say how rows are read. The zero value reads them raw, as the
// source has them.
type OpenOptions struct {
	Schema *Schema // what the columns of a table are for; nil: what the source says
	Door   Door    // nil: none

	// Glance leaves images of a source with stream undecoded until they are due, where
	// the reader is a Glancer: see Stored.Glanced. The caller then calls ReadRest before it
	// relies on all rows, and on what the door learns of them.
	Glance bool

	// Pack keeps rows in memory as bytes where that loses nothing: Data.Packed.
	Pack bool

	// Temp is the folder for the temporary file of a source with stream whose
	// rows cannot be read in any order where they are; "": that of the system.
	Temp string
	// Progress is called after each row of a source with stream, also when they
	// are gone over later (Each), and Note told of a temporary file; nil: none.
	// total is -1 as long as it is not known. An error of Progress ends the pass.
	Progress func(done, total int) error
	Note     func(message string)
}

// Open reads the rows of one role: the source, of it the split, of that the
// range, of that a class-balanced limit. Relative paths start at baseDir; named
// are the sets and formats those of files. Classes is filled where there are
// labels: classes without names are called "0", "1", …. What the source says of
// preparation is the door's to do, and an error without one. Rows of a source
// with stream are Stored, and the caller closes them; they have the bits that
// they would have in memory.
func Open(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format], opts ...OpenOptions) (*Data, error) {
	var o OpenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if err := checkOne(src); err != nil {
		return nil, err
	}
	if o.Door == nil && src.Prepared() {
		return nil, errors.New("reshape, layout, rescale and scale are steps of a door: open the source through one")
	}
	open := func() (*opened, error) { return openSource(src, baseDir, formats, o.Schema) }
	if src.Dataset != "" {
		set, split, err := lookup(src, named)
		if err != nil {
			return nil, err
		}
		r, ok := set.(ReadableSet)
		if !ok {
			return openLoaded(src, set, split, o.Door)
		}
		open = func() (*opened, error) {
			rows, err := r.Rows(split)
			if err != nil {
				return nil, err
			}
			from := newOpened(rows)
			from.official = set.Splits() != nil
			return from, nil
		}
	}
	from, err := open()
	if err != nil {
		return nil, err
	}
	if src.Stream && src.Dataset == "" {
		return from.openStored(src, o)
	}
	if err := from.enter(o.Door); err != nil {
		return nil, errors.Join(err, from.Close())
	}
	from.pack = o.Pack
	d, err := from.cut(src, func() (*opened, error) {
		again, err := open()
		if err != nil {
			return nil, err
		}
		if err := again.enter(o.Door); err != nil {
			return nil, errors.Join(err, again.Close())
		}
		return again, nil
	})
	if err = errors.Join(err, from.Close()); err != nil {
		return nil, err
	}
	return d, nil
}

// openStored is Open of a source with stream.
func (o *opened) openStored(src Source, opts OpenOptions) (*Data, error) {
	d, err := o.store(src, opts)
	if err != nil {
		return nil, err
	}
	d.nameClasses()
	rows, err := pick(src, d.Labels, d.N(), o.official)
	if err != nil {
		return nil, errors.Join(err, d.Stored.Close())
	}
	if rows != nil {
		d = d.take(rows)
	}
	return d, nil
}

// openLoaded is Open of a named set whose rows come all at once.
func openLoaded(src Source, set Set, split string, door Door) (*Data, error) {
	d, err := set.Load(split)
	if err == nil && door != nil {
		err = d.enter(door)
	}
	if err != nil {
		return nil, err
	}
	d.nameClasses()
	rows, err := pick(src, d.Labels, d.N(), set.Splits() != nil)
	if err != nil {
		return nil, err
	}
	if rows != nil {
		d = d.take(rows)
	}
	return d, nil
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

// pick is the rows that split, range and limit leave of n; nil for all.
func pick(src Source, labels []int, n int, official bool) ([]int, error) {
	var rows []int
	if src.Split != "" && !official {
		var err error
		if rows, err = partition(n, labels, src.Split, src.SplitSeed); err != nil {
			return nil, err
		}
		n = len(rows)
	}
	if err := checkRange(src.Range, n); err != nil {
		return nil, err
	}
	if rows == nil && src.Shuffle {
		rows = permutation(n, src.SplitSeed)
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
		rows = balanced(rows, labels, src.Limit)
	}
	if rows != nil && len(rows) == 0 {
		return nil, errors.New("no rows are left by split, range and limit")
	}
	return rows, nil
}

// ReadHeader is what Open would give without a door, as far as it can be told
// without reading rows. Faults that Open would find in the options are errors
// here.
func ReadHeader(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format], opts ...OpenOptions) (Header, error) {
	var o OpenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if err := checkOne(src); err != nil {
		return Header{}, err
	}
	h, official, err := header(src, baseDir, named, formats, o.Schema)
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
	return h, nil
}

// header describes the whole source, or an official split.
func header(src Source, baseDir string, named registry.Table[Set], formats registry.Table[Format], schema *Schema) (h Header, official bool, err error) {
	if src.Dataset != "" {
		set, split, err := lookup(src, named)
		if err != nil {
			return Header{}, false, err
		}
		h, err = set.Header(split)
		return h, set.Splits() != nil, err
	}
	o, err := openSource(src, baseDir, formats, schema)
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
	h.About = AboutReader(o.Reader)
	return h, o.official, o.Close()
}
