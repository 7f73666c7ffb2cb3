package atomicfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func put(text string) func(*os.File) error {
	return func(f *os.File) error {
		_, err := io.WriteString(f, text)
		return err
	}
}

func holds(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %q, %v; want %q", path, got, err, want)
	}
}

func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return strings.Join(out, " ")
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := Write(path, put("one")); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "one")
	cause := errors.New("the disk is full")
	err := Write(path, func(f *os.File) error {
		holds(t, path, "one")
		return errors.Join(put("half")(f), cause)
	})
	if !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
	holds(t, path, "one")
	if err := Write(path, put("two")); err != nil {
		t.Fatal(err)
	}
	holds(t, path, "two")
	if got := names(t, dir); got != "out" {
		t.Errorf("left: %s", got)
	}
	if err := Write(dir, put("x")); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("to a folder: %v", err)
	}
	if err := Write(filepath.Join(dir, "absent", "out"), put("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("into no folder: %v", err)
	}
	long := filepath.Join(dir, strings.Repeat("n", 255))
	if err := Write(long, put("x")); err != nil {
		t.Errorf("to the longest name: %v", err)
	}
}

// TestSweep leaves files as killed writers do: the next Write of the same
// target removes them, and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	for _, name := range []string{".tmp-out-1", ".tmp-out-22", ".tmp-out-x", ".tmp-out-", ".tmp-out", ".tmp-other-1", ".tmp-out-1.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".tmp-out-3"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, put("x")); err != nil {
		t.Fatal(err)
	}
	if got, want := names(t, dir), ".tmp-other-1 .tmp-out .tmp-out- .tmp-out-1.txt .tmp-out-3 .tmp-out-x out"; got != want {
		t.Errorf("there is %s, want %s", got, want)
	}
}

// TestTwoWriters has one writer begin while another is at work: both finish.
func TestTwoWriters(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	err := Write(path, func(f *os.File) error {
		if err := Write(path, put("second")); err != nil {
			t.Error(err)
		}
		holds(t, path, "second")
		return put("first")(f)
	})
	if err != nil {
		t.Fatal(err)
	}
	holds(t, path, "first")
	if got := names(t, dir); got != "out" {
		t.Errorf("left: %s", got)
	}
}

func TestClaim(t *testing.T) {
	dir := t.TempDir()
	release, err := Claim(dir)
	if runtime.GOOS == "windows" {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Claim(dir); !errors.Is(err, errHeld) {
		t.Errorf("a second claim: %v", err)
	}
	release()
	if release, err = Claim(dir); err != nil {
		t.Fatal(err)
	}
	release()
	if _, err := Claim(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}
