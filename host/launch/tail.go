package launch

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

// greeting sees whether the first line of a stream is too long for a handshake.
type greeting struct {
	n     int
	ended bool
	long  *atomic.Bool
}

func (f *greeting) write(b []byte) {
	if f.ended {
		return
	}
	line, _, ended := bytes.Cut(b, []byte{'\n'})
	f.n += len(line)
	f.ended = ended || f.n >= maxHandshake
	if f.n >= maxHandshake {
		f.long.Store(true)
	}
}

// pipeEnd reads a pipe that may be closed under it: that is its end.
type pipeEnd struct {
	*os.File
	tee   interface{ write([]byte) } // nil: nobody
	short *shortener                 // nil: lines stay as long as they are
	ended func()
}

func (p pipeEnd) Read(b []byte) (n int, err error) {
	for n == 0 && err == nil && len(b) > 0 { // of a long line nothing may be left
		n, err = p.File.Read(b)
		if p.tee != nil {
			p.tee.write(b[:n])
		}
		if p.short != nil {
			n = p.short.keep(b[:n])
		}
	}
	if errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	if err != nil && p.ended != nil {
		p.ended()
	}
	return n, err
}

// shortener takes the ends of long lines out of a stream.
type shortener struct{ n int } // bytes of the open line so far

// keep moves what stays of b to its beginning, and returns how much that is.
func (s *shortener) keep(b []byte) int {
	kept := 0
	for _, c := range b {
		if s.n++; c == '\n' {
			s.n = 0
		} else if s.n > maxLine {
			continue
		}
		b[kept] = c
		kept++
	}
	return kept
}

// tail keeps the last lines of what a process prints, and above them the one by which a Go
// program says why it dies, which it follows with all of its stacks.
type tail struct {
	hide  *hider // nil: nothing
	mu    sync.Mutex
	cause string
	lines []string
	from  []*lines // the streams whose lines these are
	main  *lines   // of write
}

// write takes a piece of the stream that the plugin has from the start.
func (t *tail) write(b []byte) {
	t.mu.Lock()
	if t.main == nil {
		t.main = &lines{line: t.push}
		t.from = append(t.from, t.main)
	}
	main := t.main
	t.mu.Unlock()
	_, _ = main.Write(b) // it never fails
}

// also is one more stream, whose lines are given to f too. Lines of streams do not mix.
func (t *tail) also(f func(text []byte)) *lines {
	l := &lines{line: func(text []byte) {
		t.push(text)
		f(text)
	}}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from = append(t.from, l)
	return l
}

func (t *tail) push(line []byte) {
	text := wire.Text(t.hide.line(string(line)), tailWidth)
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, start := range []string{"panic: ", "fatal error: ", "runtime/cgo: "} {
		if strings.HasPrefix(text, start) {
			t.cause = text
		}
	}
	t.lines = append(t.lines, text)
	t.lines = t.lines[max(0, len(t.lines)-tailLines):]
}

func (t *tail) last() []string {
	t.mu.Lock()
	from := slices.Clone(t.from)
	t.mu.Unlock()
	for _, l := range from {
		l.flush()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cause != "" && !slices.Contains(t.lines, t.cause) {
		return append([]string{t.cause}, t.lines...)
	}
	return append([]string(nil), t.lines...)
}
