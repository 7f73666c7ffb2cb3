package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readJSON(text []byte) (m Manifest, err error) {
	err = json.Unmarshal(text, &m)
	return m, err
}

func write(t *testing.T, text string, path ...string) string {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFind(t *testing.T) {
	one, two := t.TempDir(), filepath.Join(t.TempDir(), "odd[1]*")
	write(t, `{"name": "a", "version": "1", "command": ["run.sh", "model.bin"], "files": ["run.sh", "model.bin"]}`, one, "x", ManifestName)
	run := write(t, "#!/bin/sh\nexit 3\n", one, "x", "run.sh")
	write(t, "weights", one, "x", "model.bin")
	write(t, `{"name": "a", "command": ["sh", "later"]}`, two, "y", ManifestName)
	write(t, `{"name": "b", "command": ["sh", "-c", "exit 0"]}`, two, "z", ManifestName)
	write(t, `{"name": "fake", "command": ["sh"]}`, two, "w", ManifestName)
	write(t, `{"name": "twice", "command": ["sh"]}`, two, "v1", ManifestName)
	write(t, `{"name": "twice", "command": ["sh"]}`, two, "v2", ManifestName)
	write(t, `{"name": "out", "command": ["sh"], "files": ["../x"]}`, two, "u", ManifestName)
	f := Finder{Dirs: []string{one, "/nowhere", two}, ReadManifest: readJSON}

	a, err := f.Find("a")
	if err != nil || a.Command.Path != run || a.Dir != filepath.Join(one, "x") || a.Manifest.Version != "1" {
		t.Errorf("a is %+v, %v", a, err)
	}
	if b, err := f.Find("b"); err != nil || b.Command.Path != "sh" || len(b.Command.Args) != 2 {
		t.Errorf("b is %+v, %v", b, err)
	}
	if p, err := f.Find("pupil"); err != nil || !p.Shipped {
		t.Errorf("pupil is %+v, %v", p, err)
	}
	for name, want := range map[string]string{
		"fake":  filepath.Join(two, "w") + " has it too",
		"twice": "both " + filepath.Join(two, "v1") + " and " + filepath.Join(two, "v2"),
		"c":     "there are colours, colours-declared, fake, hermit, lossy, nchw, pupil, rogue, student, tattler, a",
		"out":   `file "../x" is outside the folder`,
	} {
		var e *Error
		if _, err := f.Find(name); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}

	before, err := a.Command.Digest()
	if err != nil {
		t.Fatal(err)
	}
	write(t, "other weights", one, "x", "model.bin")
	after, err := a.Command.Digest()
	if err != nil || before.SHA256 == after.SHA256 || before.Path != run {
		t.Errorf("digest %v, then %v, %v", before, after, err)
	}
	if p, err := f.Path("x", one); err != nil || p.Name != "a" {
		t.Errorf("path of a folder: %+v, %v", p, err)
	}
	if p, err := f.Path("x/run.sh", one); err != nil || p.Command.Path != run {
		t.Errorf("path of a file: %+v, %v", p, err)
	}
}

// TestDigestIsWhatPeopleCompute: the digest of a program alone is what sha256sum
// prints, that of a command is the sha256 of what it covers.
func TestDigestIsWhatPeopleCompute(t *testing.T) {
	dir := t.TempDir()
	program := write(t, "1", dir, "a")
	write(t, "2", dir, "b")
	d, err := Command{Path: program}.Digest()
	if want := sha([]byte("1")); err != nil || d.SHA256 != want || d.Covers != "" {
		t.Errorf("digest %+v, %v, want %s", d, err, want)
	}
	d, err = Argv([]string{"./a", "b", "--flag"}, dir).Digest()
	want := "vaeguard plugin 2\ncommand \"./a\" \"b\" \"--flag\"\nprogram " + sha([]byte("1")) + "\nfile " + sha([]byte("2")) + " \"b\"\n"
	if err != nil || d.Covers != want || d.SHA256 != sha([]byte(want)) || d.Path != program {
		t.Errorf("digest %+v, %v, want that of\n%s", d, err, want)
	}
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestLock(t *testing.T) {
	dir := t.TempDir()
	name, program := filepath.Join(dir, LockName), write(t, "program", dir, "p")
	l, err := ReadLock(name)
	if err != nil {
		t.Fatal(err)
	}
	l.Plugins["p"] = map[string]Locked{"plan9/mips": {SHA256: strings.Repeat("0", 64), Path: "/p"}}
	cmd := Command{Path: program}
	if err := l.Set("p", cmd); err != nil {
		t.Fatal(err)
	}
	if err := l.Write(name); err != nil {
		t.Fatal(err)
	}
	l, err = ReadLock(name)
	if err != nil {
		t.Fatal(err)
	}
	d, err := cmd.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if l.Pin("p") != d.SHA256 || len(l.Plugins["p"]) != 2 || l.Pin("q") != "" {
		t.Errorf("lock %+v", l)
	}
	for _, bad := range []string{`{`, `{"version": 1}`, `{"version": 3}`, `{"version": 2, "plugin": {}}`, `{"version": 2} {}`, `{"version": 2, "plugins": {"p": {"x": {"sha256": "12"}}}}`} {
		write(t, bad, name)
		if _, err := ReadLock(name); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
