package datasets

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestDigests holds that the embedded files are those that README.md names,
// bit by bit, and that it names all of them.
func TestDigests(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, begins := strings.Cut(string(page), "<!-- sha256 of data -->\n")
	text, _, ends := strings.Cut(text, "<!-- end of sha256 -->")
	if !begins || !ends {
		t.Fatal("README.md has no table of digests")
	}
	entries, err := files.ReadDir("data")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("\n| file | bytes | sha256 |\n|---|---|---|\n")
	for _, e := range entries {
		b, err := files.ReadFile("data/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "| `%s` | %d | `%x` |\n", e.Name(), len(b), sha256.Sum256(b))
	}
	want.WriteString("\n")
	if text != want.String() {
		t.Errorf("README.md's digests are not those of data; they are:\n%s", want.String())
	}
}
