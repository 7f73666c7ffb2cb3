package scoring

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// share is the Source of one shard: the rows of its units, in order. It reads no
// other, as far as the files let rows be passed over.
type share struct {
	d    *host.Detector
	in   *input
	read host.ReadOptions
	i, n int

	mu     sync.Mutex // a pass that failed may leave somebody reading
	stream *dataset.Stream
	source int // of stream
	at     int // next row of stream

	next  int // number of the unit that follows
	left  int // rows of the one at hand; -1: until the file ends
	done  []Unit
	total int // units of all shards; known at the end
	ended error
}

func newShare(d *host.Detector, in *input, read host.ReadOptions, i, n int) *share {
	return &share{d: d, in: in, read: read, i: i, n: n, source: -1, next: i}
}

// Example implements Source.
func (s *share) Example() tensor.Shape { return s.d.InputShape() }

// Trace implements Source.
func (s *share) Trace() dataset.Trace {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		return dataset.Trace{}
	}
	t := s.stream.Trace()
	if s.in.several {
		t.File = s.in.names[s.source]
	}
	return t
}

// ReadRow implements Source.
func (s *share) ReadRow(dst []float32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.ended == nil {
		if s.left == 0 {
			s.ended = s.begin()
			continue
		}
		err := s.stream.ReadRow(dst)
		var bad *dataset.RowError
		switch {
		case err == nil || errors.As(err, &bad):
			s.at++
			s.left = max(-1, s.left-1)
			s.done[len(s.done)-1].Rows++
			return err
		case errors.Is(err, io.EOF):
			s.ended = s.end()
		default:
			s.ended = err
		}
	}
	return s.ended
}

// end is the end of a file within a unit.
func (s *share) end() error {
	switch {
	case s.in.openEnd:
		s.finish()
		return io.EOF
	case s.left < 0:
		s.left = 0
		return nil
	}
	return fmt.Errorf("%s: ends %d rows before what it claimed", s.in.paths[s.source], s.left)
}

// finish counts the units of one file at whose end the stream stands.
func (s *share) finish() {
	s.total = (s.at + rangeRows - 1) / rangeRows
	if last := len(s.done) - 1; last >= 0 && s.done[last].Rows == 0 {
		s.done = s.done[:last]
	}
}

// begin goes to the shard's next unit. io.EOF says that there is none.
func (s *share) begin() error {
	u := Unit{Number: s.next, From: s.next * rangeRows, Rows: rangeRows}
	source := 0
	if s.in.openEnd {
		u.Source = s.in.names[0]
	} else {
		if s.next >= len(s.in.units) {
			s.total = len(s.in.units)
			return io.EOF
		}
		u = s.in.units[s.next]
		source = u.file
	}
	if err := s.open(source); err != nil {
		return err
	}
	skipped, err := s.stream.Skip(u.From - s.at)
	s.at += skipped
	if err != nil {
		return err
	}
	if s.at < u.From {
		if s.in.openEnd {
			s.finish()
			return io.EOF
		}
		return fmt.Errorf("%s: ends before row %d, which it claimed", s.in.paths[source], u.From)
	}
	s.left = u.Rows
	u.Rows = 0
	s.done = append(s.done, u)
	s.next += s.n
	return nil
}

func (s *share) open(source int) error {
	if s.source == source {
		return nil
	}
	if err := s.close(); err != nil {
		return err
	}
	stream, err := s.d.Stream(s.in.paths[source], s.read)
	if err != nil {
		return err
	}
	s.stream, s.source, s.at = stream, source, 0
	return nil
}

// finally ends the reading and closes the file at hand.
func (s *share) finally() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended == nil {
		s.ended = io.ErrClosedPipe
	}
	return s.close()
}

func (s *share) close() error {
	if s.stream == nil {
		return nil
	}
	err := s.stream.Close()
	s.stream, s.source = nil, -1
	return err
}
