package dataset

import (
	"errors"
	"fmt"
)

// Skipper is a Reader that passes over rows for less than it takes to read them.
type Skipper interface {
	Reader
	// Skip passes over the next n rows and gives how many there were: fewer only at
	// the end. What Parts gives is undefined afterwards.
	Skip(n int) (int, error)
}

// Divided is a Reader of a file that is divided into parts, each of which can be
// read without the others.
type Divided interface {
	Skipper
	// Units are the numbers of rows of the parts, in order, known before the first
	// row is read; nil: it is not divided.
	Units() []int
}

// Units are those of a source that is Divided, else nil.
func (s *Stream) Units() []int {
	if d, ok := s.source.Reader.(Divided); ok {
		return d.Units()
	}
	return nil
}

// Count is the number of rows of the source, -1 if it is unknown without
// reading them.
func (s *Stream) Count() int { return s.source.Count() }

// Skip passes over the next n rows, good or bad, and gives how many there were:
// fewer only at the end. Sources that are no Skippers read them, without the
// door.
func (s *Stream) Skip(n int) (int, error) {
	if s.failed != nil {
		return 0, s.failed
	}
	skipped, err := skip(s.source.Reader, n)
	s.at += skipped
	if err != nil {
		s.failed = err
	}
	return skipped, err
}

func skip(r Reader, n int) (int, error) {
	if s, ok := r.(Skipper); ok {
		return s.Skip(n)
	}
	if r.Count() == 0 { // an example's size is but a claim
		return 0, nil
	}
	row := make([]float32, r.Example().Size())
	for i := range n {
		err := r.Next(row)
		if isEOF(err) {
			return i, nil
		}
		var bad *RowError
		if err != nil && !errors.As(err, &bad) {
			return i, err
		}
	}
	return n, nil
}

// Skip implements Skipper: by Records that have such a method, else record by
// record.
func (t *table) Skip(n int) (skipped int, err error) {
	defer func() { t.row += skipped }()
	if r, ok := t.Records.(interface{ Skip(n int) (int, error) }); ok {
		return r.Skip(n)
	}
	return skipRecords(t.Records, n)
}

// Units implements Divided.
func (t *table) Units() []int {
	if r, ok := t.Records.(interface{ Units() []int }); ok {
		return r.Units()
	}
	return nil
}

func skipRecords(r Records, n int) (int, error) {
	for i := range n {
		_, err := r.Record()
		if isEOF(err) {
			return i, nil
		}
		var bad *RowError
		if err != nil && !errors.As(err, &bad) {
			return i, err
		}
	}
	return n, nil
}

// Skip implements Skipper: a file that is not compressed is not read.
func (r *Numbers) Skip(n int) (int, error) {
	n = min(n, r.n-r.Row)
	width := int64(r.Example().Size()) * int64(r.h.dtype.Size)
	switch {
	case r.h.fortran:
	case r.Random():
		at, err := r.offset()
		if err == nil {
			err = r.seek(at + int64(n)*width)
		}
		if err != nil {
			return 0, fmt.Errorf("%s: row %d: %w", r.Name, r.Row, err)
		}
	default:
		for left := int64(n) * width; left > 0; {
			b := r.buf[:min(left, int64(len(r.buf)))]
			if err := r.Fill(b); err != nil {
				return 0, err
			}
			left -= int64(len(b))
		}
	}
	r.Row += n
	return n, nil
}
