package dataset

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
)

// firstClaim bounds the numbers claimed for a source whose count of rows is
// only a claim.
const firstClaim = 1 << 22

// ReadAll reads all rows of r, from the first, with the labels that it has. Any
// bad row is an error, and so are no rows. It does not close r.
func ReadAll(r Reader) (*Data, error) { return newOpened(r).collect() }

// ErrTooLarge is the cause of an error for more than MaxElements numbers, which
// are not read into memory.
var ErrTooLarge = fmt.Errorf("more than %d numbers", MaxElements)

// collect is ReadAll.
func (o *opened) collect() (*Data, error) {
	example := o.rows.Example()
	size := example.Size()
	room := 0
	if n := o.Count(); n > 0 {
		if n > MaxElements/size {
			return nil, fmt.Errorf("%d rows of %v: %w", n, example, ErrTooLarge)
		}
		room = n
		if b, ok := o.Reader.(Bounded); !ok || !b.Bounded() {
			room = min(room, firstClaim/size)
		}
	}
	if o.Count() == 0 { // whatever an example's size is claimed to be
		return nil, errors.New("no rows")
	}
	data := newGathering(example, room, o.pack)
	texts, err := o.walk(func(_ int, row []float32) error {
		if data.numbers() > MaxElements-size {
			return ErrTooLarge
		}
		data.add(row)
		return nil
	})
	if err != nil {
		return nil, err
	}
	d := &Data{}
	data.give(d, nil)
	return o.describe(d, texts, d.N())
}

// walk hands all rows to take, with their number, and gives the labels that they
// carry. No rows are an error.
func (o *opened) walk(take func(n int, row []float32) error) (texts []string, err error) {
	if o.Count() == 0 {
		return nil, errors.New("no rows")
	}
	row := make([]float32, o.rows.Example().Size())
	n, bare := 0, -1 // bare: the first row without a label
	with, _ := o.Reader.(RowLabels)
	for {
		err := o.rows.Next(row)
		if isEOF(err) {
			break
		}
		if err == nil {
			err = take(n, row)
		}
		if err != nil {
			return nil, err
		}
		if with != nil {
			if s := with.Label(); s != "" {
				texts = append(texts, s)
			} else if bare < 0 {
				bare = n
			}
		}
		n++
	}
	if n == 0 {
		return nil, errors.New("no rows")
	}
	if len(texts) > 0 && bare >= 0 {
		return nil, fmt.Errorf("row %d has no label, and %d of %d rows have one", bare, len(texts), n)
	}
	return texts, nil
}

// describe says of n rows that were read where they came from, and their labels.
func (o *opened) describe(d *Data, texts []string, n int) (*Data, error) {
	if r, ok := o.Reader.(Noticed); ok {
		d.Notices = r.Notices()
	}
	if f, ok := o.Reader.(Featured); ok {
		d.Features = f.Features()
	}
	d.Index = make([]int, n)
	for i := range d.Index {
		d.Index[i] = i
	}
	d.setParts(o.Parts())
	return d, o.label(d, texts, n)
}

// label sets the labels of d, n rows, from o.y, or from the texts of the rows.
func (o *opened) label(d *Data, texts []string, n int) (err error) {
	switch {
	case o.y != nil:
		d.Labels, d.Classes, err = o.y.labels(o.yName, n)
		return err
	case len(texts) > 0:
		if d.Classes = o.Reader.(RowLabels).Classes(); d.Classes != nil {
			return d.index(texts)
		}
		d.Labels, d.Classes, err = classesOf("labels", texts)
		return err
	}
	return nil
}

// setParts says where the rows came from.
func (d *Data) setParts(parts []Part) {
	if len(parts) == 1 {
		d.Source = parts[0].Digest
		return
	}
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p.Digest))
	}
	d.Source, d.Parts = hex.EncodeToString(h.Sum(nil)), slices.Clone(parts)
}
