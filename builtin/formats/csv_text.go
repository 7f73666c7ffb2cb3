package formats

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// newCSVText is the text of c, its lines ended by LF or CR LF, without the mark
// that some programs put first. What is no text is refused by its name.
func newCSVText(c *dataset.Content) (*bufio.Reader, error) {
	head, _ := c.Peek(1) // whatever is there, and no more
	if n := c.Buffered(); n > len(head) {
		head, _ = c.Peek(min(n, 4))
	}
	starts := func(s string) bool { return bytes.HasPrefix(head, []byte(s)) }
	if len(head) > 0 && strings.IndexByte("\xef\xff\xfeP", head[0]) >= 0 && len(head) < 4 {
		head, _ = c.Peek(4) // a mark, perhaps: wait for it
	}
	switch {
	case starts("\xef\xbb\xbf"):
		if _, err := c.Discard(3); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
	case starts("\xff\xfe"), starts("\xfe\xff"):
		return nil, fmt.Errorf("%s is UTF-16: save it as UTF-8 (in a spreadsheet: CSV UTF-8)", c.Name)
	case starts("PK\x03\x04"):
		return nil, fmt.Errorf("%s is a zip: unpack it first", c.Name)
	}
	text := bufio.NewReaderSize(&lineEnds{r: c.Reader}, 1<<16)
	line := firstLine(text)
	switch {
	case strings.HasPrefix(line, "version https://git-lfs"):
		return nil, fmt.Errorf("%s is but a pointer of Git LFS to the file: git lfs pull fetches it", c.Name)
	case strings.IndexByte(line, 0) >= 0:
		return nil, fmt.Errorf("%s holds zero bytes: no text, or UTF-16; save it as UTF-8", c.Name)
	}
	return text, nil
}

// lineEnds makes LF of a lone CR where the first line ends in one.
type lineEnds struct {
	r     *bufio.Reader
	known bool
	cr    bool
}

func (l *lineEnds) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	b = b[:n]
	if !l.known {
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			return n, err
		}
		l.known = true
		if b[i] == '\r' {
			next := b[i+1:]
			if len(next) == 0 {
				next, _ = l.r.Peek(1)
			}
			l.cr = len(next) == 0 || next[0] != '\n'
		}
	}
	if l.cr {
		for i, c := range b {
			if c == '\r' {
				b[i] = '\n'
			}
		}
	}
	return n, err
}

// firstLine is the first line of r, or as much of it as the buffer takes. It
// waits for no more than that: what follows may come much later.
func firstLine(r *bufio.Reader) string {
	text, err := r.Peek(1)
	for err == nil && !bytes.ContainsRune(text, '\n') {
		text, err = r.Peek(max(r.Buffered(), len(text)+1))
	}
	line, _, _ := strings.Cut(string(text), "\n")
	return strings.TrimSuffix(line, "\r")
}

// skipComments passes over lines that begin with #, up to one that holds
// names: what is left of that is the header.
func skipComments(r *bufio.Reader, name string, known *knownColumns) (lines int, notices []string, err error) {
	size := 0
	for {
		line := firstLine(r)
		if !strings.HasPrefix(line, "#") || len(line) > 1 && strings.IndexByte(",;\t", line[1]) >= 0 {
			return lines, notices, nil
		}
		rest := strings.TrimLeft(line, "# ")
		whole, behind := known.count(split(line, separator(line, known))), known.count(split(rest, separator(rest, known)))
		switch {
		case behind > whole:
			_, err := r.Discard(len(line) - len(rest))
			return lines, notices, err
		case whole > 0: // "#id" is a name
			return lines, notices, nil
		}
		for {
			b, err := r.ReadSlice('\n')
			if size += len(b); size > maxRecord {
				return 0, nil, fmt.Errorf("%s: more than %d bytes of comments", name, maxRecord)
			}
			if err == nil || isEOF(err) {
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return 0, nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		if lines++; lines == 1 {
			notices = []string{fmt.Sprintf("lines that begin with # are passed over: %.60q", line)}
		}
	}
}

// split cuts a line without quotes into trimmed cells.
func split(line string, sep rune) []string {
	if sep == ' ' {
		return strings.Fields(line)
	}
	cells := strings.Split(line, string(sep))
	for i, c := range cells {
		cells[i] = strings.TrimSpace(c)
	}
	return cells
}

var (
	quoted       = regexp.MustCompile(`"[^"]*"`)
	decimalComma = regexp.MustCompile(`^[+-]?\d+,\d+([eE][+-]?\d+)?$`)
	decimalPoint = regexp.MustCompile(`^[+-]?\d*\.\d+([eE][+-]?\d+)?$`)
)

// separator looks at the first line: the tab, the comma, or the semicolon,
// which also wins where commas are decimal ones; white space where there is
// nothing else, and numbers or known names between.
func separator(line string, known *knownColumns) rune {
	bare := quoted.ReplaceAllString(line, "")
	switch {
	case strings.ContainsRune(bare, '\t'):
		return '\t'
	case strings.ContainsRune(bare, ';'):
		for _, cell := range split(bare, ';') {
			if strings.ContainsRune(cell, ',') && !decimalComma.MatchString(cell) {
				return ','
			}
		}
		return ';'
	case strings.ContainsRune(bare, ','):
		return ','
	}
	words := strings.Fields(bare)
	if len(words) < 2 || bare != line {
		return ','
	}
	for _, w := range words {
		if !isNumber(w) && !dataset.IsMissing(w) {
			if known.in(words) && !known.in([]string{strings.TrimSpace(line)}) {
				break
			}
			return ','
		}
	}
	return ' '
}

// decimals reads decimal commas, where semicolons separate.
type decimals struct {
	on     bool
	commas bool // seen
	points bool // seen
}

// point is a cell with a decimal point for a comma. Both in one file are an
// error: 1,234 may then be a thousand.
func (d *decimals) point(cell string) (string, error) {
	if !d.on {
		return cell, nil
	}
	switch {
	case decimalComma.MatchString(cell):
		d.commas = true
		cell = strings.Replace(cell, ",", ".", 1)
	case decimalPoint.MatchString(cell):
		d.points = true
	default:
		return cell, nil
	}
	if d.commas && d.points {
		return "", fmt.Errorf("%q: decimal commas and decimal points in one file", cell)
	}
	return cell, nil
}

var _ io.Reader = (*lineEnds)(nil)
