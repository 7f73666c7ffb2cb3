//go:build unix

package launch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/wire"
)

// TestFitFilesChanging: what the plugin puts in the place of a file between the look at it and
// the reading is not waited for, not followed, and not read beyond its size.
func TestFitFilesChanging(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "w")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]struct {
		change func(dir string) error
		want   string
	}{
		"a pipe": {func(dir string) error { return unix.Mkfifo(filepath.Join(dir, "a", "w"), 0o600) }, "which is not a regular file"},
		"a link": {func(dir string) error { return os.Symlink(outside, filepath.Join(dir, "a", "w")) }, "which it has not written"},
		"a link in the place of its folder": {func(dir string) error {
			return os.Symlink(filepath.Dir(outside), filepath.Join(dir, "a"))
		}, "which it has not written"},
		"a folder": {func(dir string) error { return os.Mkdir(filepath.Join(dir, "a", "w"), 0o700) }, "which is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if name != "a link in the place of its folder" {
				if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			if err := k.change(dir); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			w := &fitted{ctx: t.Context(), root: root}
			if err := w.compare(filepath.Join("a", "w"), sdk.FitFile{Name: "a/w"}); err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("%v, want %q", err, k.want)
			}
		})
	}
}

// TestFitFilesGrow: a file that grows without end while it is read ends with the size that it had.
func TestFitFilesGrow(t *testing.T) {
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "w"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := file.Truncate(1 << 10); err != nil {
		t.Fatal(err)
	}
	w := &fitted{ctx: t.Context(), root: root, read: maxFitted - 100}
	if err := w.compare("w", sdk.FitFile{Name: "w"}); err == nil || !strings.Contains(err.Error(), "grows while it is read") || w.read > maxFitted+wire.MaxName {
		t.Errorf("%v after %d bytes", err, w.read)
	}
}
