package pack

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzExtract: whatever the bytes, what is written lies in the folder and is what
// the manifest lists.
func FuzzExtract(f *testing.F) {
	a, b := entry{name: "a", text: "1"}, entry{name: "b/c", text: "22"}
	f.Add(makeTar(f, list(f, nil, a, b), a, b))
	f.Add(makeTar(f, list(f, func(m *Manifest) { m.Places = []Place{{"path", "b"}} }, a, b), a, b))
	f.Add(makeTar(f, a))
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		dir := filepath.Join(parent, "to")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		to, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = to.Close() }()
		m, err := extractTar(bytes.NewReader(data), int64(len(data)), to)
		if entries, _ := os.ReadDir(parent); len(entries) != 1 {
			t.Fatalf("it wrote outside: %v", entries)
		}
		if err != nil {
			return
		}
		got := tree(t, dir)
		if len(got) != len(m.Files) {
			t.Errorf("%d files, the manifest has %d", len(got), len(m.Files))
		}
		for _, file := range m.Files {
			if _, ok := got[file.Name]; !ok {
				t.Errorf("%q was not written", file.Name)
			}
		}
	})
}
