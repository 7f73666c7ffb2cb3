package datasets

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var _ dataset.ReadableSet = installed{}

// Rows implements dataset.ReadableSet.
func (s installed) Rows(split string) (dataset.Reader, error) {
	header, err := s.Header(split)
	if err != nil {
		return nil, fmt.Errorf("dataset %w", err)
	}
	dir, err := s.find()
	if err != nil {
		return nil, err
	}
	r := &setRows{name: s.name, dir: dir, classes: s.classes, n: header.Rows}
	for _, h := range s.halves {
		if split == "" || split == h.split {
			r.halves = append(r.halves, h)
		}
	}
	return r, nil
}

// setRows reads the halves of an installed set, one after the other, and holds
// each against its digests.
type setRows struct {
	name    string
	dir     string
	halves  []half
	classes []string
	n       int

	labels []string       // of all rows; nil: not read
	file   string         // that at reads
	at     dataset.Reader // of the half behind those of parts; nil: not open
	parts  []dataset.Part
	row    int
}

var _ dataset.LabelledAhead = (*setRows)(nil)

func (r *setRows) Example() tensor.Shape { return tensor.Shape{28, 28, 1} }
func (r *setRows) Count() int            { return r.n }
func (r *setRows) Classes() []string     { return r.classes }
func (r *setRows) Parts() []dataset.Part { return r.parts }

// Bounded implements dataset.Bounded: the sizes of sets are known.
func (r *setRows) Bounded() bool { return true }

// LabelsAhead implements dataset.LabelledAhead.
func (r *setRows) LabelsAhead() ([]string, error) {
	if r.labels != nil {
		return r.labels, nil
	}
	var out []string
	for _, h := range r.halves {
		path, err := resolve(r.dir, h.labels.name)
		if err != nil {
			return nil, r.named(err)
		}
		if err := h.labels.verify(path); err != nil {
			return nil, r.named(err)
		}
		labels, _, err := dataset.ReadLabels(path, h.rows, formats.Table())
		if err != nil {
			return nil, r.named(err)
		}
		for _, y := range labels {
			out = append(out, strconv.Itoa(y))
		}
	}
	r.labels = out
	return out, nil
}

func (r *setRows) named(err error) error { return fmt.Errorf("dataset %s: %w", r.name, err) }

// Label implements dataset.RowLabels.
func (r *setRows) Label() string { return r.labels[r.row-1] }

// Next implements dataset.Reader.
func (r *setRows) Next(dst []float32) error {
	if _, err := r.LabelsAhead(); err != nil {
		return err
	}
	for {
		if r.at == nil {
			if len(r.parts) == len(r.halves) {
				return io.EOF
			}
			var err error
			if r.file, err = resolve(r.dir, r.halves[len(r.parts)].images.name); err == nil {
				r.at, err = formats.IDX{}.Open(r.file, dataset.ReadOptions{})
			}
			if err != nil {
				return r.named(err)
			}
			if !r.at.Example().Equal(r.Example()) {
				return r.named(fmt.Errorf("%s: images are %v, want %v", r.file, r.at.Example(), r.Example()))
			}
		}
		err := r.at.Next(dst)
		if err == nil {
			r.row++
			return nil
		}
		if !errors.Is(err, io.EOF) {
			return r.named(err)
		}
		part, want := r.at.Parts()[0], r.halves[len(r.parts)].images.sha256
		if part.Digest != want {
			return r.named(mismatch(r.file, part.Digest, want))
		}
		r.parts = append(r.parts, part)
		err, r.at = r.at.Close(), nil
		if err != nil {
			return r.named(err)
		}
	}
}

// Close implements dataset.Reader.
func (r *setRows) Close() error {
	if r.at == nil {
		return nil
	}
	return r.at.Close()
}
