package wire_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"a cat, eine Katze, 猫 👩‍⚕️\t1": "a cat, eine Katze, 猫 👩‍⚕️\t1",
		"one\nvaeguard: all is well":   `one\nvaeguard: all is well`,
		"\x1b[2J\x1b]0;title\a":        `\x1b[2J\x1b]0;title\a`,
		"\u009b31m":                    `\u009b31m`,
		"abc\u202egpj.exe":             `abc\u202egpj.exe`,
		"\u2028next":                   `\u2028next`,
		"\xff\x9b":                     `\xff\x9b`,
		strings.Repeat("é", 100):       strings.Repeat("é", 25) + "…",
	} {
		if got := wire.Text(in, 51); got != want {
			t.Errorf("Text(%q) is %q, want %q", in, got, want)
		}
	}
}

// FuzzText: whatever comes in, what goes out is one line that nothing obeys.
func FuzzText(f *testing.F) {
	f.Add("a\r\n\x1b[0m\u2066\xc3", 5)
	f.Fuzz(func(t *testing.T, s string, most int) {
		got := wire.Text(s, max(0, most))
		if !wire.Plain(got) || !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x1b") {
			t.Errorf("Text(%q, %d) is %q", s, most, got)
		}
	})
}
