package pack

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// sources are a folder with a plain file, a program and an empty file, and data.
func sources(t *testing.T) []Source {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"run": "#!/bin/sh\n", "empty": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []Source{
		{Name: "plugin/run", Path: filepath.Join(dir, "run"), Program: true},
		{Name: "detector/meta.json", Data: []byte("{}")},
		{Name: "plugin/" + strings.Repeat("long", 60) + "/empty", Path: filepath.Join(dir, "empty")},
	}
}

// tree is what a folder holds: contents and modes by name.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = fmt.Sprintf("%v %s", info.Mode(), b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRoundTrip: a tar and a folder give back the same files, and the same files
// the same bytes, in whatever order they are named and wherever they lay.
func TestRoundTrip(t *testing.T) {
	files := sources(t)
	m := Manifest{Places: []Place{{"path", "plugin"}}, Needs: []string{"nothing"}}
	dir := t.TempDir()
	var packs []string
	for i, folder := range []bool{false, false, true} {
		out := filepath.Join(dir, fmt.Sprint(i))
		slices.Reverse(files)
		if _, err := Write(out, folder, m, files); err != nil {
			t.Fatal(err)
		}
		if !Is(out) {
			t.Errorf("%s is not taken for a pack", out)
		}
		if _, err := Write(out, folder, m, files); err == nil || !strings.Contains(err.Error(), "it exists") {
			t.Errorf("written over: %v", err)
		}
		packs = append(packs, out)
	}
	a, _ := os.ReadFile(packs[0])
	b, _ := os.ReadFile(packs[1])
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Error("the same files give other bytes")
	}
	var trees []map[string]string
	for _, p := range packs {
		to := t.TempDir()
		got, err := Extract(p, to)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Files) != 3 || got.Places[0] != m.Places[0] || got.Needs[0] != "nothing" {
			t.Errorf("manifest %+v", got)
		}
		trees = append(trees, tree(t, to))
	}
	if got := trees[0]["plugin/run"]; got != "-rwxr-xr-x #!/bin/sh\n" {
		t.Errorf("program: %q", got)
	}
	if got := trees[0]["detector/meta.json"]; got != "-rw-r--r-- {}" || len(trees[0]) != 3 {
		t.Errorf("files: %q", trees[0])
	}
	if fmt.Sprint(trees[0]) != fmt.Sprint(trees[2]) {
		t.Errorf("a folder gives %q, a tar %q", trees[2], trees[0])
	}
	if info, err := os.Stat(packs[2]); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
}

// entry is one of a tar that is made by hand.
type entry struct {
	name, text string
	change     func(*tar.Header)
}

func makeTar(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Size: int64(len(e.text)), Mode: 0o644, ModTime: time.Unix(0, 0)}
		if e.change != nil {
			e.change(h)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write([]byte(e.text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// list is a pack.json of files with their texts, as they are named.
func list(t testing.TB, change func(*Manifest), files ...entry) entry {
	t.Helper()
	m := Manifest{FormatVersion: FormatVersion, Places: []Place{}, Needs: []string{}, Files: []File{}}
	for _, f := range files {
		sum := sha256.Sum256([]byte(f.text))
		m.Files = append(m.Files, File{Name: f.name, Size: int64(len(f.text)), Mode: plainMode, SHA256: hex.EncodeToString(sum[:])})
	}
	if change != nil {
		change(&m)
	}
	b, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	return entry{name: ManifestName, text: string(b)}
}

// TestExtractRefuses: each way to harm, its message, and that nothing was written
// where the sizes alone tell.
func TestExtractRefuses(t *testing.T) {
	a, b := entry{name: "a", text: "1"}, entry{name: "b", text: "2"}
	named := func(names ...string) []byte {
		var files []entry
		for _, n := range names {
			files = append(files, entry{name: n, text: "1"})
		}
		return makeTar(t, append([]entry{list(t, nil, files...)}, files...)...)
	}
	changed := func(change func(*Manifest)) []byte { return makeTar(t, list(t, change, a, b), a, b) }
	sound := makeTar(t, list(t, nil, a, b), a, b)
	for what, c := range map[string]struct {
		tar  []byte
		want string
	}{
		"empty":           {nil, "neither a pack"},
		"no tar":          {bytes.Repeat([]byte("x"), 2048), "neither a pack"},
		"another tar":     {makeTar(t, a), `not a pack: it begins with "a"`},
		"no JSON":         {makeTar(t, entry{name: ManifestName, text: "{"}), "pack.json"},
		"version":         {changed(func(m *Manifest) { m.FormatVersion = 7 }), "format version 7, this program reads 1"},
		"no version":      {makeTar(t, entry{name: ManifestName, text: "{}"}), "format version none"},
		"unknown key":     {makeTar(t, entry{name: ManifestName, text: `{"format_version": 1, "run": "x"}`}), "unknown field"},
		"absolute":        {named("/etc/passwd"), "absolute"},
		"outside":         {named("../x"), "leaves the pack"},
		"outside later":   {named("a/../../x"), "leaves the pack"},
		"unclean":         {named("a//b"), "not clean"},
		"empty name":      {named(""), "want a name"},
		"drive":           {named("c:x"), "not every system"},
		"backslash":       {named(`a\..\..\x`), "not every system"},
		"escape":          {named("a\x1b[31m"), "not every system"},
		"device":          {named("a/NUL.txt"), "device on Windows"},
		"dot":             {named("a."), "ends in a dot"},
		"long name":       {named(strings.Repeat("x", 2000)), "want a name of 1 to 1024"},
		"deep":            {named(strings.Repeat("x/", 70) + "x"), "too many folders"},
		"twice":           {named("a", "a"), "twice"},
		"case":            {named("A", "a"), "differ only in case"},
		"case of folders": {named("A/x", "a/y"), "differ only in case"},
		"file and folder": {named("a", "a/b"), "both a file and a folder"},
		"own name":        {named("PACK.json"), "differ only in case"},
		"order":           {named("b", "a"), "out of order"},
		"mode":            {changed(func(m *Manifest) { m.Files[0].Mode = "4755" }), `mode "4755"`},
		"no digest":       {changed(func(m *Manifest) { m.Files[0].SHA256 = "ab" }), "no sha256"},
		"negative":        {changed(func(m *Manifest) { m.Files[0].Size = -1 }), "the most that is allowed"},
		"huge":            {changed(func(m *Manifest) { m.Files[0].Size = MaxBytes + 1 }), "the most that is allowed"},
		"huge together":   {changed(func(m *Manifest) { m.Files[0].Size, m.Files[1].Size = MaxBytes, 1 }), "the most that is allowed"},
		"overflow":        {changed(func(m *Manifest) { m.Files[0].Size, m.Files[1].Size = 1<<62, 1<<62 }), "the most that is allowed"},
		"larger than it":  {changed(func(m *Manifest) { m.Files[0].Size = 1 << 30 }), "truncated"},
		"place":           {changed(func(m *Manifest) { m.Places = []Place{{"path", "c"}} }), "not in the pack"},
		"key of a place":  {changed(func(m *Manifest) { m.Places = []Place{{"command=[sh]", "a"}} }), "is no key"},
		"place outside":   {changed(func(m *Manifest) { m.Places = []Place{{"path", "/bin/sh"}} }), "absolute"},
		"size":            {makeTar(t, list(t, nil, a, b), entry{name: "a", text: "12"}, b), "a has 2 bytes, want 1"},
		"edited":          {makeTar(t, list(t, nil, a, b), entry{name: "a", text: "9"}, b), "a was edited"},
		"missing":         {makeTar(t, list(t, nil, a, b), a, entry{name: "a", text: "9"}), `it has "a" where pack.json lists "b"`},
		"too many":        {makeTar(t, list(t, nil, a), a, b), "which pack.json does not list"},
		"symbolic link": {makeTar(t, list(t, nil, a, b), entry{name: "a", change: func(h *tar.Header) {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, "/etc", 0
		}}, a, b), "not a plain file"},
		"hard link": {makeTar(t, list(t, nil, a, b), entry{name: "a", change: func(h *tar.Header) {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, "/etc/passwd", 0
		}}, a, b), "not a plain file"},
		"device file": {makeTar(t, list(t, nil, a, b), entry{name: "a", change: func(h *tar.Header) { h.Typeflag, h.Size = tar.TypeChar, 0 }}, a, b), "not a plain file"},
		"pipe":        {makeTar(t, list(t, nil, a, b), entry{name: "a", change: func(h *tar.Header) { h.Typeflag, h.Size = tar.TypeFifo, 0 }}, a, b), "not a plain file"},
		"folder":      {makeTar(t, list(t, nil, a, b), entry{name: "a/", change: func(h *tar.Header) { h.Typeflag, h.Size = tar.TypeDir, 0 }}, a, b), "not a plain file"},
		"attribute": {makeTar(t, list(t, nil, a, b), entry{name: "a", text: "1", change: func(h *tar.Header) {
			h.PAXRecords = map[string]string{"SCHILY.xattr.user.x": "1"}
		}}, b), "attribute"},
		"cut in a file":   {sound[:len(sound)-1024-700], "truncated"},
		"cut in its end":  {sound[:len(sound)-600], "truncated"},
		"cut in the list": {sound[:700], "truncated"},
		"cut in a header": {sound[:100], "neither a pack"},
	} {
		t.Run(what, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.vg")
			if err := os.WriteFile(file, c.tar, 0o644); err != nil {
				t.Fatal(err)
			}
			to := t.TempDir()
			_, err := Extract(file, to)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "x.vg") {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
			if strings.Contains(c.want, "truncated") && len(tree(t, to)) > 0 {
				t.Error("files were written")
			}
		})
	}
	file := filepath.Join(t.TempDir(), "sound.vg")
	if err := os.WriteFile(file, sound, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Extract(file, t.TempDir()); err != nil {
		t.Errorf("the sound one: %v", err)
	}
}

// TestFolderRefuses: a folder is held to the same, and links in it are not followed.
func TestFolderRefuses(t *testing.T) {
	for what, c := range map[string]struct {
		harm func(dir string) error
		want string
	}{
		"missing": {func(dir string) error { return os.Remove(filepath.Join(dir, "plugin", "run")) }, "plugin/run is missing"},
		"edited": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "detector", "meta.json"), []byte("[]"), 0o644)
		}, "meta.json was edited: its sha256"},
		"longer": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "detector", "meta.json"), []byte("{}x"), 0o644)
		}, "more than its 2 bytes"},
		"shorter": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "detector", "meta.json"), nil, 0o644)
		}, "has 0 bytes, want 2"},
		"link": {func(dir string) error {
			name := filepath.Join(dir, "detector", "meta.json")
			if err := os.Rename(name, filepath.Join(dir, "real")); err != nil {
				return err
			}
			return os.Symlink("../real", name)
		}, "not a plain file"},
		"link of a folder": {func(dir string) error {
			outside := filepath.Join(filepath.Dir(dir), "outside")
			if err := os.Rename(filepath.Join(dir, "detector"), outside); err != nil {
				return err
			}
			return os.Symlink(outside, filepath.Join(dir, "detector"))
		}, "escapes"},
		"no list": {func(dir string) error { return os.Remove(filepath.Join(dir, ManifestName)) }, "pack.json is missing"},
	} {
		t.Run(what, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "p")
			if _, err := Write(dir, true, Manifest{}, sources(t)); err != nil {
				t.Fatal(err)
			}
			if err := c.harm(dir); err != nil {
				t.Fatal(err)
			}
			if _, err := Extract(dir, t.TempDir()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want an error with %q", err, c.want)
			}
		})
	}
	// What the list does not have is left behind.
	dir := filepath.Join(t.TempDir(), "p")
	if _, err := Write(dir, true, Manifest{}, sources(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "plugin", "extra.py"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if _, err := Extract(dir, to); err != nil || len(tree(t, to)) != 3 {
		t.Errorf("%v, files %q", err, tree(t, to))
	}
}

// TestIs: what is taken for a pack, and which names ask for one.
func TestIs(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"short": "pack", "spec.yaml": "name: x\n", "x.vg": ""} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if got := Is(file); got != (name == "x.vg") {
			t.Errorf("%s: %v", name, got)
		}
	}
	if Is(dir) || Is(filepath.Join(dir, "none")) {
		t.Error("a folder, or nothing, is taken for a pack")
	}
	for out, want := range map[string][2]bool{"x.vg": {true, false}, "x/": {true, true}, "x": {false, false}, "": {false, false}, "x.vg/": {true, true}} {
		if is, folder := Named(out); is != want[0] || folder != want[1] {
			t.Errorf("%q: %v, %v", out, is, folder)
		}
	}
}

// TestWriteRefuses: what a reader would refuse, and what is no file, is not packed.
func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	for what, c := range map[string]struct {
		files []Source
		want  string
	}{
		"name":    {[]Source{{Name: "../x"}}, "leaves the pack"},
		"twice":   {[]Source{{Name: "x"}, {Name: "x"}}, "twice"},
		"missing": {[]Source{{Name: "x", Path: filepath.Join(dir, "none")}}, "none"},
		"folder":  {[]Source{{Name: "x", Path: dir}}, "is not a file"},
		"many":    {make([]Source, MaxFiles+1), "at most 20000"},
	} {
		out := filepath.Join(dir, "out")
		if _, err := Write(out, false, Manifest{}, c.files); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", what, err, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s: it was written", what)
		}
	}
}
