package formats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// jsonSource gives the values of a JSON text one by one: those of its lines,
// blank ones passed over, or the entries of one array. It tells which by the
// first line, and waits for no more than that.
type jsonSource struct {
	*dataset.Content
	in    *bufio.Reader
	array bool // entries of one array
	begun bool // the array's bracket is read
	ended bool
	line  int // where the last value began
	at    int // line feeds read of an array
	buf   []byte
}

var errLong = fmt.Errorf("the row exceeds %d bytes", maxRecord)

// newJSONSource also gives the byte that the first value begins with, 0 if
// there is none. example is the shape wanted, nil if none is.
func newJSONSource(c *dataset.Content, example tensor.Shape) (*jsonSource, byte, error) {
	s := &jsonSource{Content: c, in: c.Reader}
	first, err := s.blank()
	if err != nil {
		if isEOF(err) {
			return s, 0, nil
		}
		return nil, 0, fmt.Errorf("%s: %w", c.Name, err)
	}
	switch first {
	case 0xff, 0xfe:
		return nil, 0, fmt.Errorf("%s is UTF-16: save it as UTF-8", c.Name)
	case '[':
		if s.array = s.isArray(example); s.array {
			return s, s.second(), nil
		}
	case 'v':
		if strings.HasPrefix(firstLine(s.in), "version https://git-lfs") {
			return nil, 0, fmt.Errorf("%s is but a pointer of Git LFS to the file: git lfs pull fetches it", c.Name)
		}
	}
	return s, first, nil
}

// blank passes over blanks and the mark that some programs put first, and gives
// the byte behind, unread.
func (s *jsonSource) blank() (byte, error) {
	for {
		b, err := s.in.Peek(1)
		if err != nil {
			return 0, err
		}
		skip := 1
		switch b[0] {
		case '\n':
			s.at++
		case ' ', '\t', '\r':
		case 0xef:
			if mark, _ := s.in.Peek(3); string(mark) != "\uFEFF" {
				return b[0], nil
			}
			skip = 3
		default:
			return b[0], nil
		}
		if _, err := s.in.Discard(skip); err != nil {
			return 0, err
		}
	}
}

// second is the byte behind an array's bracket and blanks.
func (s *jsonSource) second() byte {
	for n := 2; ; n++ {
		b, err := s.in.Peek(n)
		if err != nil {
			return 0
		}
		if c := b[n-1]; strings.IndexByte(" \t\r\n", c) < 0 {
			if c == ']' {
				return 0
			}
			return c
		}
	}
}

// isArray tells whether a text that begins with a bracket is one array of rows:
// of objects, or one that does not end on its line; in a file called .json
// also nested arrays that nothing follows, unless they are the example wanted.
func (s *jsonSource) isArray(example tensor.Shape) bool {
	line := firstLine(s.in)
	inner := strings.TrimLeft(line[1:], " \t\r")
	if strings.HasPrefix(inner, "{") || inner == "" {
		return true
	}
	named := strings.HasSuffix(strings.TrimSuffix(strings.ToLower(s.Name), ".gz"), ".json")
	if len(line) >= s.in.Size()-1 && named {
		s.in = bufio.NewReaderSize(s.in, maxRecord)
		line = firstLine(s.in)
	}
	if len(line) >= s.in.Size()-1 {
		return named && len(line) >= maxRecord-1 // a line so long is no row
	}
	if !closes(line) {
		return true
	}
	if !named || !strings.HasPrefix(inner, "[") || example != nil && depthOf([]byte(line)) == len(example) {
		return false
	}
	rest, _ := s.in.Peek(min(s.in.Size(), len(line)+256))
	return len(bytes.TrimSpace(rest[len(line):])) == 0
}

// closes reports whether the brackets of a line that begins with one close.
func closes(line string) bool {
	depth := 0
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return true
			}
		}
	}
	return false
}

// next is the next value, valid until the next call; errLong leaves one out.
func (s *jsonSource) next() ([]byte, error) {
	if s.array {
		return s.entry()
	}
	for {
		b, err := s.in.ReadSlice('\n')
		line, long := b, false // copied only where the reader's buffer cannot hold it
		if err != nil && !isEOF(err) {
			s.buf = s.buf[:0]
			for {
				if long = long || len(s.buf)+len(b) > maxRecord; !long {
					s.buf = append(s.buf, b...)
				}
				if err == nil || isEOF(err) {
					break
				}
				if len(b) == 0 { // a full buffer has bytes, a failed reader has none
					return nil, err
				}
				b, err = s.in.ReadSlice('\n')
			}
			line = s.buf
		}
		s.at++
		s.line = s.at
		text := bytes.TrimSpace(line)
		switch {
		case long:
			return nil, errLong
		case len(text) > 0:
			return text, nil
		case err != nil:
			return nil, err
		}
	}
}

var errCut = errors.New("truncated: the array of rows does not end")

// entry is the next one of the array, its line feeds made spaces.
func (s *jsonSource) entry() ([]byte, error) {
	if s.ended {
		return nil, s.behind()
	}
	if !s.begun {
		s.begun = true
		if _, err := s.in.Discard(1); err != nil {
			return nil, err
		}
		if c, err := s.blank(); err == nil && c == ']' {
			return nil, s.end()
		}
	}
	if _, err := s.blank(); err != nil {
		return nil, cut(err)
	}
	s.line = s.at + 1
	s.buf = s.buf[:0]
	depth, quoted, escaped, long := 0, false, false, false
	for {
		c, err := s.in.ReadByte()
		if err != nil {
			return nil, cut(err)
		}
		switch {
		case escaped:
			escaped = false
		case quoted:
			quoted, escaped = c != '"', c == '\\'
		case c == '"':
			quoted = true
		case c == '[' || c == '{':
			depth++
		case depth == 0 && (c == ',' || c == ']'):
			if c == ']' {
				s.ended = true
			}
			text := bytes.TrimSpace(s.buf)
			switch {
			case long:
				return nil, errLong
			case len(text) == 0:
				return nil, fmt.Errorf("line %d: an entry without a value", s.line)
			}
			return text, nil
		case c == ']' || c == '}':
			depth--
		}
		if c == '\n' {
			s.at++
			c = ' '
		}
		if long = long || len(s.buf) >= maxRecord; !long {
			s.buf = append(s.buf, c)
		}
	}
}

func cut(err error) error {
	if isEOF(err) {
		return errCut
	}
	return err
}

// end reads the bracket that closes the array.
func (s *jsonSource) end() error {
	s.ended = true
	if _, err := s.in.Discard(1); err != nil {
		return err
	}
	return s.behind()
}

// behind is io.EOF if nothing follows the array.
func (s *jsonSource) behind() error {
	if _, err := s.blank(); err != nil {
		return err
	}
	return errors.New("text after the array of rows")
}

func (s *jsonSource) bad(err error) error {
	return &dataset.RowError{Source: s.Name, Row: s.Row - 1, Err: fmt.Errorf("line %d: %w", s.line, err)}
}
