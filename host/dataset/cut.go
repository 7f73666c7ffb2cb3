package dataset

import (
	"errors"
	"fmt"
	"slices"
)

// LabelledAhead is a RowLabels that can tell the labels of all rows before it has
// read one: which rows a split or a limit leaves is then known in one pass.
type LabelledAhead interface {
	RowLabels
	// LabelsAhead are what Label will be of each row, in order; nil: rows have none.
	LabelsAhead() ([]string, error)
}

// ReadableSet is a Set whose rows can be read one by one: those that a source does
// not ask for then take no memory.
type ReadableSet interface {
	Set
	// Rows reads what Load would load, in the same order. The caller closes it.
	Rows(split string) (Reader, error)
}

// spareNumbers is up to how many numbers rows are kept that may not be asked for,
// so that they need not be read again: 16 MiB.
const spareNumbers = 1 << 22

// cut reads the rows that split, range and limit leave, and keeps memory for no
// others, but all rows are read, hashed and pass the door. Where which they are
// is known only after the labels of all rows, rows beyond spareNumbers are read
// again, from what again opens.
func (o *opened) cut(src Source, again func() (*opened, error)) (*Data, error) {
	parted := src.Split != "" && !o.official
	if !parted && src.Range == nil && src.Limit == 0 && !src.Shuffle {
		d, err := o.collect()
		if err == nil {
			d.nameClasses()
		}
		return d, err
	}
	if err := checkRange(src.Range, -1); err != nil {
		return nil, err
	}
	if o.Count() == 0 {
		return nil, errors.New("no rows")
	}
	rows, known, err := o.ahead(src)
	if err != nil {
		return nil, err
	}
	keep, most := func(int) bool { return true }, spareNumbers
	switch {
	case known:
		sorted := slices.Sorted(slices.Values(rows))
		next := 0
		keep = func(n int) bool {
			if next == len(sorted) || sorted[next] != n {
				return false
			}
			next++
			return true
		}
		most = MaxElements
	case !parted && src.Limit == 0 && !src.Shuffle:
		keep = func(n int) bool { return n >= src.Range[0] && n < src.Range[1] }
		most = MaxElements
	}
	size := o.rows.Example().Size()
	room := o.room(src, rows)
	if b, ok := o.Reader.(Bounded); !ok || !b.Bounded() || o.Count() < 0 {
		room = min(room, firstClaim/size)
	}
	if room > MaxElements/size {
		return nil, fmt.Errorf("%d rows of %v: %w", room, o.rows.Example(), ErrTooLarge)
	}
	data := newGathering(o.rows.Example(), room, o.pack)
	var kept []int // nothing is kept of rows beyond most
	total := 0
	texts, err := o.walk(func(n int, row []float32) error {
		total = n + 1
		switch {
		case data == nil || !keep(n):
		case data.numbers() <= most-size:
			data.add(row)
			kept = append(kept, n)
		case most == MaxElements:
			return ErrTooLarge
		default:
			data, kept = nil, nil
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d, err := o.describe(&Data{}, texts, total)
	if err != nil {
		return nil, err
	}
	d.nameClasses()
	if rows, err = pick(src, d.Labels, total, o.official); err != nil {
		return nil, err
	}
	switch {
	case data == nil:
		if data, kept, err = reread(rows, texts, o, again); err != nil {
			return nil, err
		}
	case most == spareNumbers: // there are others among them
		d = d.only(rows)
		data.give(d, rows)
		return d, nil
	}
	return d.only(rows).with(data, kept, rows), nil
}

// ahead is the rows that are asked for, as far as they are known before any is
// read.
func (o *opened) ahead(src Source) (rows []int, known bool, err error) {
	n := o.Count()
	if n < 0 {
		return nil, false, nil
	}
	d := &Data{}
	if src.Limit > 0 || src.Split != "" && !o.official { // what is left is a matter of labels
		var texts []string
		switch r := o.Reader.(type) {
		case LabelledAhead:
			if o.y == nil {
				if texts, err = r.LabelsAhead(); err != nil {
					return nil, false, err
				}
			}
		case RowLabels:
			if o.y == nil {
				return nil, false, nil
			}
		}
		if err := o.label(d, texts, n); err != nil {
			return nil, false, err
		}
	}
	rows, err = pick(src, d.Labels, n, o.official)
	return rows, err == nil, err
}

// room is the number of rows that will be kept, as far as that is known, else 0.
func (o *opened) room(src Source, rows []int) int {
	if rows != nil || src.Range == nil || src.Split != "" && !o.official {
		return len(rows)
	}
	return src.Range[1] - src.Range[0]
}

// reread reads some rows again, those between them without the door, and gives
// them in the file's order.
func reread(rows []int, texts []string, first *opened, again func() (*opened, error)) (data *gathering, kept []int, err error) {
	size := first.rows.Example().Size()
	if len(rows) > MaxElements/size {
		return nil, nil, fmt.Errorf("%d rows of %v: %w", len(rows), first.rows.Example(), ErrTooLarge)
	}
	o, err := again()
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	changed := errors.New("the rows are others when they are read again: the file has changed meanwhile")
	if !o.rows.Example().Equal(first.rows.Example()) {
		return nil, nil, changed
	}
	with, _ := o.Reader.(RowLabels)
	kept = slices.Sorted(slices.Values(rows))
	data = newGathering(first.rows.Example(), len(kept), first.pack)
	row := make([]float32, size)
	at := 0
	for _, r := range kept {
		if gap := r - at; gap > 0 {
			if n, err := skip(o.Reader, gap); err != nil || n != gap {
				return nil, nil, errors.Join(changed, err)
			}
		}
		if err := o.rows.Next(row); err != nil {
			return nil, nil, errors.Join(changed, err)
		}
		data.add(row)
		if at = r + 1; len(texts) > 0 && with != nil && with.Label() != texts[r] {
			return nil, nil, changed
		}
	}
	return data, kept, nil
}

// with gives d the rows of data, which are those of kept in the file's order: it
// orders them as rows are.
func (d *Data) with(rowsOf *gathering, kept, rows []int) *Data {
	if slices.IsSorted(rows) {
		rowsOf.give(d, nil)
		return d
	}
	place := make(map[int]int, len(rows))
	for i, r := range rows {
		place[r] = i
	}
	if rowsOf.packing != nil {
		index := make([]int, len(kept))
		for i, r := range kept {
			index[place[r]] = i
		}
		rowsOf.give(d, index)
		return d
	}
	data := rowsOf.floats
	// Each row goes to its place, and the one that was there goes to its own.
	to := make([]int, len(kept))
	for i, r := range kept {
		to[i] = place[r]
	}
	size := rowsOf.size
	spare := make([]float32, size)
	for i := range to {
		for to[i] != i {
			j := to[i]
			a, b := data[i*size:(i+1)*size], data[j*size:(j+1)*size]
			copy(spare, a)
			copy(a, b)
			copy(b, spare)
			to[i], to[j] = to[j], j
		}
	}
	rowsOf.give(d, nil)
	return d
}
