package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the table of SECURITY.md")

// hostile is a bad input: what is wrong with it and a part of what the reader
// must say to it.
type hostile struct {
	reader, what string
	read         func(t *testing.T) error
	want         string
}

// mostTaken bounds the bytes that reading one bad input may take: none is
// believed about its size.
const mostTaken = 192 << 20

const (
	securityPage = "../../SECURITY.md"
	tableBegin   = "<!-- bad inputs: written by TestHostileInputs -update -->\n"
	tableEnd     = "<!-- end of bad inputs -->\n"
)

// TestHostileInputs reads every bad input, wants it refused by its cause
// without much memory, and holds that SECURITY.md lists just these.
func TestHostileInputs(t *testing.T) {
	var page strings.Builder
	page.WriteString("\n| reader | bad input | refused with |\n|---|---|---|\n")
	for _, group := range [][]hostile{hostileSpecs(), hostileArrays(), hostileTables(), hostileImages(), hostileModels(t), hostileDetectors(t), hostileAnswers(t)} {
		for _, h := range group {
			fmt.Fprintf(&page, "| %s | %s | %s |\n", h.reader, h.what, strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(h.want))
			t.Run(h.reader+": "+h.what, func(t *testing.T) {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := h.read(t)
				runtime.ReadMemStats(&after)
				if err == nil || !strings.Contains(err.Error(), h.want) {
					t.Errorf("got %v, want %q", err, h.want)
				}
				if took := after.TotalAlloc - before.TotalAlloc; took > mostTaken {
					t.Errorf("took %d MiB", took>>20)
				}
			})
		}
	}
	page.WriteString("\n")
	rewrite(t, tableBegin, tableEnd, page.String(), "TestHostileInputs")
}

// rewrite holds that SECURITY.md has a table between two marks, and with -update writes it.
func rewrite(t *testing.T, begin, end, page, test string) {
	t.Helper()
	text, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), begin)
	old, tail, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table of %s", securityPage, test)
	}
	switch {
	case old == page:
	case *update:
		if err := os.WriteFile(securityPage, []byte(head+begin+page+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not have the table as it is: go test ./host/cmd/vaeguard -run %s -update", securityPage, test)
	}
}

// put writes a file into a fresh folder.
func put(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
