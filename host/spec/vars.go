package spec

import (
	"fmt"
	"regexp"
	"strings"
)

// variable is ${NAME} or ${NAME:default}; the default runs to the brace.
var variable = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(:[^}\n]*)?\}`)

// Within YAML's flow collections braces, colons and commas end a plain
// scalar, so ${VAR:a, b} could not stand there. Before the YAML parser sees a
// variable, its ASCII is moved to a private-use plane, character by character:
// lines and columns stay what they are.
const plane = 0xE000

var hidden = regexp.MustCompile("\\$[\uE020-\uE07E]+")

func hideVariables(data []byte) []byte {
	return variable.ReplaceAllFunc(data, func(m []byte) []byte {
		return []byte(strings.Map(func(r rune) rune {
			if r == '$' || r < 0x20 || r > 0x7E {
				return r
			}
			return r + plane
		}, string(m)))
	})
}

func showVariables(s string) string {
	return hidden.ReplaceAllStringFunc(s, func(m string) string {
		return strings.Map(func(r rune) rune {
			if r >= plane+0x20 && r <= plane+0x7E {
				return r - plane
			}
			return r
		}, m)
	})
}

// expand replaces each variable of s. $${…} stands for ${…} itself. changed
// says whether s held any; fault, if not empty, what is wrong with one.
func expand(s string, lookup func(string) (string, bool)) (out string, changed bool, fault string) {
	if !strings.Contains(s, "${") {
		return s, false, ""
	}
	out = variable.ReplaceAllStringFunc(s, func(m string) string {
		changed = true
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		parts := variable.FindStringSubmatch(m)
		if v, ok := lookup(parts[1]); ok {
			return v
		}
		if parts[2] == "" {
			if fault == "" {
				fault = fmt.Sprintf("variable %s is not set; set it, or write ${%s:DEFAULT}", parts[1], parts[1])
			}
			return m
		}
		return parts[2][1:]
	})
	if fault == "" && strings.Contains(variable.ReplaceAllString(s, ""), "${") {
		fault = "${ does not begin a variable here; write ${NAME}, ${NAME:default}, or $${NAME} for the text itself"
	}
	return out, changed, fault
}

// soleVariable reports whether s is one ${VAR} and nothing else, without a
// default but that of none, ${VAR:}: what a secret must be.
func soleVariable(s string) bool {
	m := variable.FindStringSubmatch(s)
	return m != nil && m[0] == s && (m[2] == "" || m[2] == ":") && !strings.HasPrefix(s, "$$")
}
