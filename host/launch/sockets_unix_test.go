//go:build unix

package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSquattedFolder: somebody else has made the user's folder. Each start left a
// folder of another name, for ever.
func TestSquattedFolder(t *testing.T) {
	temp := t.TempDir()
	squatted := filepath.Join(temp, fmt.Sprintf("vaeguard-%d", os.Getuid()))
	if err := os.Mkdir(squatted, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(squatted, 0o777); err != nil {
		t.Fatal(err)
	}
	names := func() []string {
		found, err := filepath.Glob(filepath.Join(temp, passingPrefix+"*"))
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	d, err := newPrivateDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if !isPrivate(d.path) || filepath.Dir(d.path) == squatted || len(names()) != 1 {
		t.Fatalf("%s, %q", d.path, names())
	}
	d.remove()
	if left := names(); len(left) != 0 {
		t.Errorf("left after a start: %q", left)
	}
	// A host that was killed leaves one, which a later start sweeps, and not that of a living one.
	dead, err := newPrivateDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	_ = dead.lock.Close()
	living, err := newPrivateDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	for _, base := range names() {
		if err := os.Chtimes(base, old, old); err != nil {
			t.Fatal(err)
		}
	}
	next, err := newPrivateDir(temp)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dead.base); !os.IsNotExist(err) {
		t.Errorf("of a dead host: %v", err)
	}
	if _, err := os.Stat(living.path); err != nil {
		t.Errorf("of a living host: %v", err)
	}
	living.remove()
	next.remove()
	if left := names(); len(left) != 0 {
		t.Errorf("left in the end: %q", left)
	}
}
