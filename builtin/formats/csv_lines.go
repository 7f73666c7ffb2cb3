package formats

import (
	"bufio"
	"bytes"
	"errors"
)

// csvLines gives a csv.Reader the lines of a text, one a Read, and no line before it is
// asked for: so it is known which lines made a record, and they can be given again.
type csvLines struct {
	r     *bufio.Reader
	queue [][]byte // lines to be given again, before those of r; nil: one that is too long
	given []byte   // of the record at hand
	ends  []int    // of its lines
	rest  []byte   // of the last line, where the reader had no room for it
	line  int      // number of the last line, from 1
}

// begin begins a record.
func (l *csvLines) begin() { l.given, l.ends, l.rest = l.given[:0], l.ends[:0], nil }

// count is how many lines the record has, empty ones before it too.
func (l *csvLines) count() int { return len(l.ends) }

// from is which of its lines is the first that is not empty, from 1.
func (l *csvLines) from() int {
	start := 0
	for i, end := range l.ends {
		if len(bytes.TrimRight(l.given[start:end], "\r\n")) > 0 {
			return i + 1
		}
		start = end
	}
	return len(l.ends)
}

// again gives the lines of the record after the first n once more.
func (l *csvLines) again(n int) {
	if n >= len(l.ends) {
		return
	}
	var lines [][]byte
	for i := n; i < len(l.ends); i++ {
		start := 0
		if i > 0 {
			start = l.ends[i-1]
		}
		lines = append(lines, bytes.Clone(l.given[start:l.ends[i]]))
	}
	l.queue = append(lines, l.queue...)
	l.line -= len(lines)
}

// Read implements io.Reader. A record that grows too long ends with errLong.
func (l *csvLines) Read(b []byte) (int, error) {
	if len(l.rest) == 0 {
		line, err := l.next()
		if err != nil {
			return 0, err
		}
		l.line++
		l.given = append(l.given, line...)
		l.ends = append(l.ends, len(l.given))
		l.rest = l.given[len(l.given)-len(line):]
	}
	n := copy(b, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// next is the next line, with its end.
func (l *csvLines) next() ([]byte, error) {
	if len(l.queue) > 0 {
		line := l.queue[0]
		if line != nil && len(l.given)+len(line) > maxRecord {
			return nil, errLong
		}
		if line == nil && len(l.given) > 0 {
			return nil, errLong
		}
		if l.queue = l.queue[1:]; line == nil {
			l.skip()
			return nil, errLong
		}
		return line, nil
	}
	line, err := l.r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		if len(line) == 0 {
			return nil, err
		}
		return l.bounded(line)
	}
	long := bytes.Clone(line)
	for errors.Is(err, bufio.ErrBufferFull) {
		line, err = l.r.ReadSlice('\n')
		if len(long) <= maxRecord {
			long = append(long, line...)
		}
	}
	return l.bounded(long)
}

// bounded is a line of r, unless it makes the record too long: then it is the next one's.
func (l *csvLines) bounded(line []byte) ([]byte, error) {
	switch {
	case len(l.given)+len(line) <= maxRecord:
		return line, nil
	case len(line) > maxRecord && len(l.given) == 0:
		l.skip()
		return nil, errLong
	case len(line) > maxRecord:
		line = nil
	}
	l.queue = append(l.queue, bytes.Clone(line))
	return nil, errLong
}

// skip counts a line that is not given.
func (l *csvLines) skip() {
	l.line++
	l.ends = append(l.ends, len(l.given))
}
