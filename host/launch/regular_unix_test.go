//go:build unix

package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestNoFile: what a detector names as its program, a script's interpreter, the manifest of a folder
// or a file of it is refused, with its name, if it is no file or claims more than there is room
// for. Nothing waits for it.
func TestNoFile(t *testing.T) {
	pipe := func(t *testing.T, name string) {
		t.Helper()
		if err := syscall.Mkfifo(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := func(t *testing.T, name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const manifest = `{"name": "m", "command": ["./run"], "files": ["data"]}`
	sparse := func(t *testing.T, name string) {
		t.Helper()
		file(t, name, "#!/bin/sh\n")
		if err := os.Truncate(name, 1<<42); err != nil {
			t.Skip(err)
		}
	}
	for name, c := range map[string]struct {
		make func(t *testing.T, dir string)
		path string
		want string
	}{
		"a program that is a pipe":   {func(t *testing.T, dir string) { pipe(t, filepath.Join(dir, "m")) }, "m", `m" is a pipe, want a file`},
		"a program that is a device": {func(*testing.T, string) {}, "/dev/zero", `"/dev/zero" is a device`},
		"a program behind a link":    {func(t *testing.T, dir string) { _ = os.Symlink("/dev/zero", filepath.Join(dir, "m")) }, "m", `m" is a device`},
		"an interpreter without end": {func(t *testing.T, dir string) { file(t, filepath.Join(dir, "m"), "#!/dev/zero\n") }, "m", `"/dev/zero" is a device`},
		"an interpreter that is a pipe": {func(t *testing.T, dir string) {
			pipe(t, filepath.Join(dir, "i"))
			file(t, filepath.Join(dir, "m"), "#!"+dir+"/i\n")
		}, "m", `i" is a pipe`},
		"a program of any size":     {func(t *testing.T, dir string) { sparse(t, filepath.Join(dir, "m")) }, "m", "at most 68719476736"},
		"a manifest that is a pipe": {func(t *testing.T, dir string) { pipe(t, filepath.Join(dir, "plugin.yaml")) }, ".", `plugin.yaml" is a pipe`},
		"a listed file that is a pipe": {func(t *testing.T, dir string) {
			file(t, filepath.Join(dir, "plugin.yaml"), manifest)
			file(t, filepath.Join(dir, "run"), "#!/bin/sh\n")
			pipe(t, filepath.Join(dir, "data"))
		}, ".", `data" is a pipe`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.make(t, dir)
			finder := Finder{NoLock: true, ReadManifest: readJSON}
			_, err := New(t.Context(), Section{Path: c.path}, Process{Checks: "off"}, Deps{Finder: finder, Base: dir, Consent: &Consent{}, Logger: hclog.NewNullLogger()})
			var e *Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestVerifyEnds: reading what a digest covers ends with its context.
func TestVerifyEnds(t *testing.T) {
	name := filepath.Join(t.TempDir(), "m")
	if err := os.WriteFile(name, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Command{Path: name}).verify(ctx, ""); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// TestNamesWriteNoLines: what a detector calls its program writes no line of its own.
func TestNamesWriteNoLines(t *testing.T) {
	const forged = "x\nvaeguard: all rows are clean\x1b[2K"
	dir := t.TempDir()
	for name, s := range map[string]Section{
		"in PATH":    {Command: []string{forged}},
		"a path":     {Path: forged},
		"a folder":   {Command: []string{"./" + forged + "/d"}},
		"a plugin":   {Plugin: forged},
		"a file":     {Command: []string{"sh", forged}},
		"not a file": {Command: []string{"./" + forged}},
	} {
		if name == "a file" {
			if err := os.WriteFile(filepath.Join(dir, forged), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if name == "not a file" {
			if err := os.Remove(filepath.Join(dir, forged)); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
			if err := os.Mkdir(filepath.Join(dir, forged), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for _, consent := range []*Consent{{}, nil} {
			_, err := New(t.Context(), s, Process{Checks: "off"}, Deps{Finder: Finder{NoLock: true, ReadManifest: readJSON}, Base: dir, Consent: consent})
			if err == nil || strings.Contains(err.Error(), "\nvaeguard:") || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%s: %v", name, err)
			}
		}
		_ = os.RemoveAll(filepath.Join(dir, forged))
	}
}
