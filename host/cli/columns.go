package cli

import (
	"strings"

	"golang.org/x/text/width"
)

// defaultWidth is assumed of a terminal that does not tell its own.
const defaultWidth = 80

// columns is how many columns of a terminal a line takes.
func columns(line string) int {
	n := 0
	for _, r := range line {
		n += runeColumns(r)
	}
	return n
}

func runeColumns(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cutColumns is the line if it takes at most that many columns, else its
// beginning and an ellipsis.
func cutColumns(line string, most int) string {
	if columns(line) <= most {
		return line
	}
	var b strings.Builder
	n := 0
	for _, r := range line {
		if n += runeColumns(r); n > most-1 {
			break
		}
		b.WriteRune(r)
	}
	if most > 0 {
		b.WriteString("…")
	}
	return b.String()
}
