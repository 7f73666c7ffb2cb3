package dataset

import (
	"iter"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Examples are rows that can be read in any order, again and again, with the
// same bits each time: in memory (InMemory) or in files (Stored). Methods may be
// called concurrently.
type Examples interface {
	// N is the number of rows.
	N() int
	// Example is the shape of one. It must not be changed.
	Example() tensor.Shape
	// Gather fills dst, (len(rows), example…), with rows by number. An error
	// names the place of the row, and leaves dst undefined.
	Gather(dst *tensor.Tensor, rows []int) error
}

// InMemory are the rows of x, (N, example…), which must not change; nil for nil.
func InMemory(x *tensor.Tensor) Examples {
	if x == nil {
		return nil
	}
	return inMemory{x}
}

type inMemory struct{ x *tensor.Tensor }

func (m inMemory) N() int                { return m.x.N() }
func (m inMemory) Example() tensor.Shape { return m.x.Example() }

func (m inMemory) Gather(dst *tensor.Tensor, rows []int) error {
	for i, r := range rows {
		copy(dst.Row(i), m.x.Row(r))
	}
	return nil
}

// Chunks goes over the rows in order, up to size at a time. A chunk is valid
// until the next and must not be changed. An error ends it, and comes with nil.
func Chunks(e Examples, size int) iter.Seq2[*tensor.Tensor, error] {
	return func(yield func(*tensor.Tensor, error) bool) {
		n := e.N()
		size = max(1, min(size, n))
		memory, shared := e.(inMemory)
		var room *tensor.Tensor
		if !shared {
			room = tensor.Batch(size, e.Example())
		}
		var rows []int
		for lo := 0; lo < n; lo += size {
			hi := min(lo+size, n)
			if shared {
				if !yield(memory.x.Rows(lo, hi), nil) {
					return
				}
				continue
			}
			rows = rows[:0]
			for i := lo; i < hi; i++ {
				rows = append(rows, i)
			}
			x := room.Rows(0, hi-lo)
			if err := e.Gather(x, rows); err != nil {
				yield(nil, err)
				return
			}
			if !yield(x, nil) {
				return
			}
		}
	}
}

// Each goes over the rows in order, one by one, as Chunks does. Of Stored rows it
// tells the Progress that they were opened with, which can end it.
func Each(e Examples) iter.Seq2[[]float32, error] {
	var progress func(done, total int) error
	if s, ok := e.(*Stored); ok {
		progress = s.file.progress
	}
	return func(yield func([]float32, error) bool) {
		done := 0
		for x, err := range Chunks(e, 16) {
			if err == nil && progress != nil {
				done += x.N()
				err = progress(done, e.N())
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for i := range x.N() {
				if !yield(x.Row(i), nil) {
					return
				}
			}
		}
	}
}

// Take is some rows by number, in memory.
func Take(e Examples, rows []int) (*tensor.Tensor, error) {
	if m, ok := e.(inMemory); ok {
		return m.x.Gather(rows), nil
	}
	x := tensor.Batch(len(rows), e.Example())
	return x, e.Gather(x, rows)
}
