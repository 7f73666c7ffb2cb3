package datasettest

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table checks that the traits of a table's formats go together: no two claim
// the same extension, first bytes or mark, and each says only what the host
// can use.
func Table(t *testing.T, formats registry.Table[dataset.Format]) {
	t.Helper()
	claimed := map[string]string{}
	claim := func(name, what string) {
		if other, ok := claimed[what]; ok {
			t.Errorf("both %s and %s have %s", other, name, what)
		}
		claimed[what] = name
	}
	for _, e := range formats.Entries() {
		traits := e.Default.Traits()
		_, streams := e.Default.(dataset.StreamFormat)
		for _, ext := range traits.Extensions {
			if ext != strings.ToLower(ext) || strings.LastIndex(ext, ".") != 0 || ext == "." || ext == ".gz" {
				t.Errorf("%s: extension %q, want a dot and lower case", e.Name, ext)
			}
			claim(e.Name, "the extension "+ext)
		}
		for _, magic := range traits.Magic {
			if magic == "" || len(magic) > dataset.MaxMagic {
				t.Errorf("%s: first bytes %q, want 1 to %d", e.Name, magic, dataset.MaxMagic)
			}
			claim(e.Name, "the first bytes "+magic)
		}
		for _, mark := range traits.Marks {
			claim(e.Name, "the mark "+mark)
		}
		if traits.Folder && (len(traits.Extensions)+len(traits.Magic) > 0 || streams || traits.Arrays) {
			t.Errorf("%s: a folder has neither extension nor first bytes nor arrays, and does not stream", e.Name)
		}
		if traits.Folder && traits.Marks == nil {
			claim(e.Name, "any folder")
		}
		if !traits.Folder && traits.Marks != nil {
			t.Errorf("%s: marks are of folders", e.Name)
		}
		if traits.Arrays && len(traits.Extensions) == 0 {
			t.Errorf("%s: FILE:KEY goes by the extension, and there is none", e.Name)
		}
		if traits.Default && !streams {
			t.Errorf("%s is standard input's default, and does not stream", e.Name)
		}
		if traits.Default {
			claim(e.Name, "standard input by default")
		}
		if traits.Objects && (traits.Table || traits.Labelled) {
			t.Errorf("%s: objects are rows that may have names and labels, or none", e.Name)
		}
		if traits.Table && traits.Labelled {
			t.Errorf("%s: rows of a table are labelled by a column", e.Name)
		}
	}
}
