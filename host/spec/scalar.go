package spec

import (
	"regexp"
	"strings"
)

var (
	integerForm = regexp.MustCompile(`^[-+]?(0|[1-9][0-9]*)$`)
	floatForm   = regexp.MustCompile(`^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`)
	octalForm   = regexp.MustCompile(`^[-+]?0[0-9_]+$`)
	groupedForm = regexp.MustCompile(`^[-+]?[0-9]+(_[0-9]+)+(\.[0-9_]*)?$`)
	radixForm   = regexp.MustCompile(`^[-+]?0[xXoObB][0-9a-fA-F_]+$`)
)

// resolve gives a plain scalar its type. It takes only what every YAML
// version reads alike: 010 (8 or 10?), 1_000, 0x10 and yes stay strings, with
// a hint where a number or a truth value was wanted.
func resolve(s string) (shape, string, string) {
	switch s {
	case "", "~", "null", "Null", "NULL":
		return null, "", ""
	case "true", "True", "TRUE":
		return boolean, "true", ""
	case "false", "False", "FALSE":
		return boolean, "false", ""
	}
	switch strings.ToLower(s) {
	case "yes", "on", "y":
		return text, s, "" // a truth value in YAML 1.1 only; the boolean field says what it wants
	case ".nan", ".inf", "+.inf", "-.inf":
		return text, s, "numbers are finite"
	}
	switch {
	case integerForm.MatchString(s):
		return integer, strings.TrimPrefix(s, "+"), ""
	case octalForm.MatchString(s):
		return text, s, "a leading zero is octal to some readers; write it without, or quote it"
	case groupedForm.MatchString(s):
		return text, s, "digits are not grouped with _"
	case radixForm.MatchString(s):
		return text, s, "numbers are decimal; quote it if it is a string"
	case floatForm.MatchString(s):
		return float, s, ""
	}
	return text, s, ""
}
