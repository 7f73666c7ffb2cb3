package cli

import (
	"context"
	"io"
)

// stdin is standard input that ends with the context: a read from a terminal or
// a silent pipe waits for ever, and Ctrl-C is not to wait for it.
type stdin struct {
	ctx  context.Context //nolint:containedctx // io.Reader has none
	r    io.Reader
	news chan int // how much of buf was read; nil: nobody reads
	buf  []byte
	rest []byte
	err  error // after rest; written before news
}

// untilDone is r until ctx ends; nil stays nil.
func untilDone(ctx context.Context, r io.Reader) io.Reader {
	if r == nil {
		return nil
	}
	return &stdin{ctx: ctx, r: r}
}

// Read implements io.Reader.
func (s *stdin) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(s.rest) == 0 {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	if n == 0 {
		return 0, s.err
	}
	return n, nil
}

// fill waits for what comes next. The reader below is asked only when asked.
func (s *stdin) fill() error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	if s.err != nil {
		return nil
	}
	if s.buf == nil {
		s.buf, s.news = make([]byte, 1<<16), make(chan int, 1)
	}
	go func() {
		n, err := s.r.Read(s.buf)
		s.err = err
		s.news <- n
	}()
	select {
	case n := <-s.news:
		s.rest = s.buf[:n]
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
