package wire

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits on what the other end says of itself, in bytes or in number.
const (
	MaxAnswer      = 16 << 20 // bytes of an answer without rows: Describe, Configure, an event of a Fit
	MaxClasses     = 1 << 20
	MaxExample     = 1 << 24 // elements of one row, of the input or of a hidden layer
	MaxHidden      = 4096    // hidden layers
	MaxName        = 1024    // bytes of a name or a digest
	MaxText        = 4096    // bytes of a message
	MaxDiagnostics = 100     // that are read; the rest is counted
	MaxMetrics     = 256     // of an event
	MaxFiles       = 10000   // of a Fit
)

// Text is foreign text as it may stand in a line for a person: at most most bytes
// of it, without what a terminal or a reader of lines would obey. Line breaks, other
// control characters, those that turn the direction of writing, and bytes that are no
// UTF-8 are escaped as in a string of Go; tabs stay.
func Text(s string, most int) string {
	cut := ""
	if len(s) > most {
		for most > 0 && !utf8.RuneStart(s[most]) {
			most--
		}
		s, cut = s[:most], "…"
	}
	if Plain(s) {
		return s + cut
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n <= 1:
			b.WriteString(`\x` + strconv.FormatUint(uint64(s[0])|0x100, 16)[1:])
		case obeyed(r):
			quoted := strconv.QuoteToASCII(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteString(s[:n])
		}
		s = s[n:]
	}
	return b.String() + cut
}

// Plain reports whether Text would leave s as it is, but for its length.
func Plain(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, obeyed) < 0
}

// obeyed are the characters that do something instead of being seen.
func obeyed(r rune) bool {
	switch {
	case r == '\t':
		return false
	case r < 0x20, r >= 0x7f && r < 0xa0: // controls, C1 among them
		return true
	case r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069: // direction
		return true
	case r == 0x2028, r == 0x2029: // line and paragraph
		return true
	}
	return r == 0xfeff || r >= 0xe0000 && r <= 0xe007f // marks and tags that nobody sees
}
