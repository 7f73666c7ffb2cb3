package launch

import (
	"path/filepath"
	"testing"
)

// TestWholeFolderOfAPack: of what came in a pack the digest covers all that lies beside
// the program, under the same name wherever the pack was extracted. A program alone has
// the digest of its file.
func TestWholeFolderOfAPack(t *testing.T) {
	digests := func(root, base string) (d [3]string) {
		f := Finder{ReadManifest: readJSON}
		folder, err := f.Open(filepath.Join(root, "folder"))
		if err != nil {
			t.Fatal(err)
		}
		path, err := f.Path(filepath.Join(root, "plugin", "prog"), "")
		if err != nil {
			t.Fatal(err)
		}
		word := "command/run"
		if base != root {
			word = filepath.Join(root, "command", "run") // as --base has it
		}
		for i, p := range []Plugin{folder, {Command: Argv([]string{word}, base)}, path} {
			got, err := Consent{Root: root}.Digest(p)
			if err != nil {
				t.Fatal(err)
			}
			d[i] = got.SHA256
		}
		return d
	}
	made := func() string {
		root := t.TempDir()
		write(t, `{"name": "p", "command": ["./run"]}`, root, "folder", ManifestName)
		write(t, "#!/bin/sh\n", root, "folder", "run")
		write(t, "#!/bin/sh\n", root, "command", "run")
		write(t, "machine code", root, "plugin", "prog")
		return root
	}
	one, two := made(), made()
	was := digests(one, one)
	if got := digests(two, two); got != was {
		t.Errorf("in another folder: %q, %q", got, was)
	}
	if got := digests(two, t.TempDir()); got != was {
		t.Errorf("with another base: %q, %q", got, was)
	}
	if was[2] != sha([]byte("machine code")) {
		t.Errorf("a program alone: %s", was[2])
	}
	for _, dir := range []string{"folder", "command", "plugin"} {
		write(t, "evil", two, dir, "beside")
	}
	for i, got := range digests(two, two) {
		if got == was[i] {
			t.Errorf("plugin %d: a file beside it is not covered", i)
		}
	}
}
