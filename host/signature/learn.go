package signature

import (
	"errors"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Learn fits the steps that learn, going over the rows of data.train: open
// opens them through the door that it is given. They are handed back prepared to
// the end, in memory or in their file as open had them. Rows in a file are gone
// over once for each look that a step takes at them; what is learnt has the same
// bits.
//
// Of images that open has only glanced at, whose white is known, the door has yet to
// learn what raw and prepared numbers range over: from each row when it is first
// read, and at the latest in Settle, without which nothing is to be saved.
func (d *Door) Learn(open func(dataset.Door) (*dataset.Data, error)) (*dataset.Data, error) {
	n := d.unfitted()
	part := *d
	part.chain, part.out, part.extent, part.prepared = d.chain[:n], nil, &extent{}, nil
	if n == len(d.chain) {
		part.prepared = &extent{}
	}
	data, err := open(&part)
	if err != nil {
		return nil, err
	}
	prepared := part.prepared
	if data.Stored != nil {
		err = d.learnStored(data, part, n)
	} else {
		err = d.learnInMemory(data, n)
	}
	if err == nil && data.Stored != nil && data.Stored.Glanced() {
		d.out = data.Example().Clone()
		return data, nil
	}
	if err == nil && (prepared == nil || !prepared.any || data.Stored == nil || !data.Stored.Whole()) {
		prepared = &extent{}
		err = prepared.addAll(data.Examples())
	}
	if err != nil {
		if data.Stored != nil {
			err = errors.Join(err, data.Stored.Close())
		}
		return nil, err
	}
	d.out = data.Example().Clone()
	if d.Kind == KindArray && len(d.out) == 3 {
		d.Kind = KindImage
	}
	if e := part.extent; d.Kind == KindImage && d.White == 0 && d.pictured() {
		d.White = e.white()
	} else if e.any && e.Whole && (d.White == math.MaxUint8 && e.High <= 1 || d.White == math.MaxUint16 && e.High <= math.MaxUint8) {
		d.White = 0 // the white of their type is none of theirs: see dim
	}
	d.Signature.Raw, d.Signature.Prepared = part.extent.seen(), prepared.seen()
	return data, nil
}

// learnInMemory fits the steps from link n on and applies them to the rows.
func (d *Door) learnInMemory(data *dataset.Data, n int) error {
	for ; n < len(d.chain); n++ {
		l := d.chain[n]
		in := data.X.Example()
		if err := d.fit(n, data.Examples()); err != nil {
			return err
		}
		b, err := d.bind(l, in)
		if err != nil {
			return d.place(l.key, err)
		}
		if data.X, err = apply(b, data.X); err != nil {
			return d.place(l.key, err)
		}
	}
	return nil
}

// learnStored fits the steps from link n on, each on rows that go through those
// before it whenever they are read. part is the door as it was opened.
func (d *Door) learnStored(data *dataset.Data, part Door, n int) error {
	raw := part.extent
	part.extent, part.prepared = nil, nil
	through := func(links []link) (*dataset.Stored, error) {
		step := part
		step.chain = links
		return data.Stored.Enter(&step)
	}
	for ; n < len(d.chain); n++ {
		rows, err := through(d.chain[:n])
		if err == nil {
			err = d.fit(n, rows)
		}
		if err != nil {
			return err
		}
	}
	if data.Stored.Glanced() {
		last := part
		last.chain, last.extent = d.chain, raw
		others, err := data.Stored.Enter(&last)
		if err != nil {
			return err
		}
		d.later = &later{raw: raw, prepared: &extent{}, others: others}
		last.prepared = d.later.prepared
		if d.later.rows, err = data.Stored.Enter(&last); err != nil {
			return err
		}
		data.Stored = d.later.rows
		return nil
	}
	rows, err := through(d.chain)
	if err == nil {
		data.Stored = rows
	}
	return err
}

// later is what a door has yet to learn of rows that were glanced at, and what it has
// yet to say of others.
type later struct {
	raw, prepared *extent
	rows, others  *dataset.Stored // of data.train, and of its file without being among them
	waiting       []waiting
	unlike        []unlike
}

// waiting is a row of another role, whose units are compared once those of data.train are known.
type waiting struct {
	door   *Door
	source string
	row    int
	extent extent
}

func (l *later) add(d *Door, source string, row int, numbers []float32) {
	w := waiting{door: d, source: source, row: row}
	w.extent.add(numbers)
	l.waiting = append(l.waiting, w)
}

// Settled reports whether there is nothing left for Settle to do.
func (d *Door) Settled() bool { return d.later == nil }

// Settle reads the rows of data.train, and of its file, that nobody has read since they
// were glanced at, and ends what Learn has begun. What it finds is what Learn would have
// found. Doors of other roles are to be made anew after it. There is nothing to do for a
// door that has learnt all, or a second time.
func (d *Door) Settle() error {
	l := d.later
	if l == nil {
		return nil
	}
	if err := l.rows.ReadRest(l.others); err != nil {
		return err
	}
	d.Signature.Raw, d.Signature.Prepared = l.raw.seen(), l.prepared.seen()
	for _, w := range l.waiting {
		of := *w.door
		if sameRescale(of.src.Rescale, d.src.Rescale) { // see For
			of.Signature.Raw, of.Signature.Prepared = d.Signature.Raw, d.Signature.Prepared
		}
		if err := of.unitsOf(&w.extent); err != nil {
			return &dataset.RowError{Source: w.source, Row: w.row, Err: err}
		}
	}
	for _, u := range l.unlike {
		if err := u.door.agrees(u.rows, u.own); err != nil {
			return err
		}
	}
	d.later = nil
	return nil
}

// fit lets link n learn from rows that have gone through those before it, if it
// has to.
func (d *Door) fit(n int, rows dataset.Examples) error {
	l := d.chain[n]
	f, ok := l.step.(Fitter)
	if !ok || d.taken[l.key] != nil {
		return nil
	}
	var unread error
	s, err := f.Fit(rows.Example(), d.indicators(n), rowsOf(rows, &unread))
	if unread != nil {
		return unread
	}
	if err != nil {
		return d.place(l.key, err)
	}
	d.taken[l.key] = s
	return nil
}

// rowsOf ends early where a row cannot be read, which unread then says.
func rowsOf(x dataset.Examples, unread *error) Rows {
	return func(yield func([]float32) bool) {
		for row, err := range dataset.Each(x) {
			if err != nil {
				*unread = err
				return
			}
			if !yield(row) {
				return
			}
		}
	}
}

// apply is one step on rows in memory.
func apply(b Bound, x *tensor.Tensor) (*tensor.Tensor, error) {
	out := tensor.Batch(x.N(), b.Out())
	for i := range x.N() {
		if err := b.Apply(out.Row(i), x.Row(i), x.Example()); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return out, nil
}
