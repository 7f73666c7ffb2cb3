package spec

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// titled is the first line of a page of Explain: a name and what it is.
var titled = regexp.MustCompile(`^(\S+) \(([^()]+)\)$`)

// Markdown is what Explain and Everything print, as Markdown: a heading for each page,
// tables, and examples as blocks of YAML.
func Markdown(text string) string {
	var b strings.Builder
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		blank := i == 0 || lines[i-1] == ""
		switch m := titled.FindStringSubmatch(line); {
		case line == "Keys" && i == 0:
			b.WriteString("# Keys\n")
		case m != nil && blank:
			b.WriteString("## " + m[1] + " (" + m[2] + ")\n")
		case strings.HasPrefix(line, "option ") && blank:
			i = optionRows(&b, lines, i) - 1
		case strings.HasPrefix(line, "  ") && blank:
			b.WriteString("```yaml\n")
			for ; i < len(lines) && (strings.HasPrefix(lines[i], "  ") || lines[i] == "" && i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ")); i++ {
				b.WriteString(strings.TrimPrefix(lines[i], "  ") + "\n")
			}
			b.WriteString("```\n")
			i--
		case blank && keyed(line):
			b.WriteString("| | |\n|---|---|\n")
			for ; i < len(lines) && keyed(lines[i]); i++ {
				key, value, _ := strings.Cut(lines[i], "  ")
				b.WriteString("| " + cell(key) + " | " + cell(value) + " |\n")
			}
			i--
		default:
			b.WriteString(prose(line) + "\n")
		}
	}
	return b.String()
}

// keyed reports whether a line is a row of two columns: a word or two, spaces, a value.
func keyed(line string) bool {
	key, value, ok := strings.Cut(line, "  ")
	return ok && key != "" && len(key) < 24 && strings.TrimSpace(value) != ""
}

// optionRows writes the table that begins at line i, whose header says where its
// columns begin, and returns the line after it.
func optionRows(b *strings.Builder, lines []string, i int) int {
	var starts []int
	header := []rune(lines[i])
	for at, r := range header {
		if r != ' ' && (at == 0 || at >= 2 && header[at-1] == ' ' && header[at-2] == ' ') {
			starts = append(starts, at)
		}
	}
	for n := 0; i < len(lines) && lines[i] != ""; i, n = i+1, n+1 {
		row := []rune(lines[i])
		for k, from := range starts {
			to := len(row)
			if k+1 < len(starts) {
				to = min(to, starts[k+1])
			}
			text := cell(string(row[min(from, to):to]))
			if n > 0 && k == 0 {
				text = "`" + text + "`"
			}
			b.WriteString("| " + text + " ")
		}
		b.WriteString("|\n")
		if n == 0 {
			b.WriteString(strings.Repeat("|---", len(starts)) + "|\n")
		}
	}
	return i
}

// cell is a text for a cell of a table.
func cell(s string) string { return prose(strings.ReplaceAll(strings.TrimSpace(s), "|", `\|`)) }

// prose is a text of which Markdown takes no character for markup.
func prose(s string) string {
	var b strings.Builder
	for i, r := range s {
		if strings.ContainsRune("*_<>[]#", r) && !(r == '#' && i > 0) && !inWord(s, i, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// inWord reports whether a character stands between letters, where Markdown leaves
// underscores alone.
func inWord(s string, i int, r rune) bool {
	if r != '_' || i == 0 || i+1 >= len(s) {
		return false
	}
	before, _ := utf8.DecodeLastRuneInString(s[:i])
	after, _ := utf8.DecodeRuneInString(s[i+1:])
	return before != ' ' && after != ' ' && before < 0x80 && after < 0x80
}
