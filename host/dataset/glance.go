package dataset

import (
	"fmt"
	"reflect"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Glancer is an ImageAccess that can look at its files without decoding them. What
// is then known of a row is the digest of its file and what its header says.
type Glancer interface {
	ImageAccess
	// Glance reads all files, once and in place of Next and NextImage: it hands the
	// shape of each image to visit, in order, and Parts is complete after it. A file
	// whose header is none, and an error of visit, end it, as a *RowError.
	Glance(visit func(row int, shape [3]int) error) error
}

// Sized is an Entered that can tell by the shape of an image whether it fits.
type Sized interface {
	Entered
	// Fits is what Next would say of row, an image of a shape that does not fit; nil.
	Fits(row int, shape [3]int) error
}

// Watcher is an Entered that learns from the rows that pass it.
type Watcher interface {
	Entered
	// Watch says whether to learn from the next rows: not if it has seen them before.
	// It reports whether there is anything to learn.
	Watch(on bool) bool
}

// glanced is what is known of a file whose rows were glanced at.
type glanced struct {
	opened *opened
	source Source
	seen   []bool // rows that passed a Watcher
}

// glance is stored for a source whose files need not be decoded to know which rows
// there are: it hears of each file's digest, size and label. What is wrong
// with the pixels of a row is told when it is first read, by ReadRest at the latest.
func (o *opened) glance(r Glancer, f *storedFile, src Source, opts OpenOptions) (*Data, error) {
	f.random, f.image, f.ahead = r, r.ImageAt, r.Ahead
	f.glanced = &glanced{opened: o, source: src}
	rows, err := enterAt(f, opts.Door)
	if err != nil {
		return nil, err
	}
	sized, _ := rows.(Sized)
	err = r.Glance(func(row int, shape [3]int) error {
		f.n = row + 1
		if sized != nil {
			if err := sized.Fits(row, shape); err != nil {
				return err
			}
		}
		if opts.Progress != nil {
			return opts.Progress(f.n, o.Count())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	f.glanced.seen = make([]bool, f.n)
	d, err := o.told(f.n)
	if err != nil {
		return nil, err
	}
	d.Stored = &Stored{file: f, rows: rows}
	return d, nil
}

// glances reports whether a source can be glanced at.
func (o *opened) glances(opts OpenOptions) (Glancer, bool) {
	r, ok := o.Reader.(Glancer)
	if !ok || !opts.Glance || !r.Random() || o.y != nil || o.Count() < 1 {
		return nil, false
	}
	if _, ok := r.(LabelledAhead); !ok {
		if _, labelled := r.(RowLabels); labelled {
			return nil, false
		}
	}
	return r, true
}

// told is all that a reader that was glanced at says of its rows.
func (o *opened) told(n int) (*Data, error) {
	var texts []string
	if l, ok := o.Reader.(LabelledAhead); ok {
		var err error
		if texts, err = l.LabelsAhead(); err != nil {
			return nil, err
		}
	}
	return o.describe(&Data{}, texts, n)
}

// Glanced reports whether the rows were only glanced at when they were opened
// (OpenOptions.Glance): a bad one is first known when it is read.
func (s *Stored) Glanced() bool { return s.file.glanced != nil }

// ReadRest reads the rows of the file that no view has read whose door learns from
// them: its own here, and the others through another view of the file. It tells the
// Progress that they were opened with. It is for rows that were glanced at; of others
// there is no rest.
func (s *Stored) ReadRest(others *Stored) error {
	if !s.Glanced() {
		return nil
	}
	own := make([]bool, s.file.n)
	if s.index == nil {
		for i := range own {
			own[i] = true
		}
	}
	for _, i := range s.index {
		own[i] = true
	}
	through := map[bool]*Stored{true: {file: s.file, rows: s.rows}, false: {file: s.file, rows: others.rows}}
	left := map[bool][]int{}
	for i, seen := range s.file.glanced.seen {
		if !seen {
			left[own[i]] = append(left[own[i]], i)
		}
	}
	done, total := 0, len(left[true])+len(left[false])
	for _, mine := range []bool{true, false} {
		rows, view := left[mine], through[mine]
		const step = 16
		room := tensor.Batch(step, view.Example())
		for ; len(rows) > 0; rows = rows[min(step, len(rows)):] {
			some := rows[:min(step, len(rows))]
			if err := view.Gather(room.Rows(0, len(some)), some); err != nil {
				return err
			}
			done += len(some)
			if p := s.file.progress; p != nil {
				if err := p(done, total); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Holds reports whether a source has the rows of s, though perhaps others of them:
// Another gives those. Only rows that were glanced at are shared so.
func (s *Stored) Holds(src Source) bool {
	if !s.Glanced() {
		return false
	}
	bare := func(s Source) Source {
		s.Split, s.SplitSeed, s.Shuffle, s.Range, s.Limit, s.Stream = "", 0, false, nil, 0, false
		return s
	}
	return reflect.DeepEqual(bare(src), bare(s.file.glanced.source))
}

// Another opens a source that s Holds: what Open gives of it with the door and Pack, in memory,
// but that no row is read which is not asked for.
func (s *Stored) Another(src Source, d Door, pack bool) (*Data, error) {
	o := s.file.glanced.opened
	all, err := o.told(s.file.n)
	if err != nil {
		return nil, err
	}
	all.nameClasses()
	rows, err := pick(src, all.Labels, len(all.Index), o.official)
	if err != nil {
		return nil, err
	}
	if rows == nil {
		rows = make([]int, s.file.n)
		for i := range rows {
			rows[i] = i
		}
	}
	view, err := (&Stored{file: s.file}).Enter(d)
	if err != nil {
		return nil, err
	}
	if len(rows) > MaxElements/view.Example().Size() {
		return nil, fmt.Errorf("%d rows of %v: %w", len(rows), view.Example(), ErrTooLarge)
	}
	out := all.only(rows)
	data := newGathering(view.Example(), len(rows), pack)
	const step = 64 // rows at once
	room := tensor.Batch(step, view.Example())
	for left := rows; len(left) > 0; {
		some := room.Rows(0, min(step, len(left)))
		if err := view.Gather(some, left[:some.N()]); err != nil {
			return nil, err
		}
		for i := range some.N() {
			data.add(some.Row(i))
		}
		left = left[some.N():]
	}
	data.give(out, nil)
	return out, nil
}
