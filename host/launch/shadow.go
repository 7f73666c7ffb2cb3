package launch

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxCopy is the largest file that is copied before it runs. Larger ones are
// models and other data: they are hashed where they lie.
const maxCopy = 64 << 20

// shadow is a private folder with copies of files under their whole paths. What
// lies beside them, and beside the folders above them, is there as links: a
// script finds its surroundings, but is itself the one that was hashed. The nil
// shadow has nothing.
type shadow struct {
	root string
	made map[string]bool // folders of the real tree that are real here
}

// newShadow is an empty one below private; nil where links need privileges.
func newShadow(private string) *shadow {
	if runtime.GOOS == "windows" {
		return nil
	}
	root, err := os.MkdirTemp(private, "run-")
	if err != nil {
		return nil
	}
	return &shadow{root: root, made: map[string]bool{}}
}

func (s *shadow) remove() {
	if s != nil {
		_ = os.RemoveAll(s.root)
	}
}

// copy copies a file while it hashes it, and gives where the copy is: "" if
// the file is too large for one.
func (s *shadow) copy(name string) (copied, sum string, err error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", "", err
	}
	f, err := os.Open(abs)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	if info.Size() > maxCopy {
		sum, err = digest(f)
		return "", sum, err
	}
	if err := s.folder(filepath.Dir(abs)); err != nil {
		return "", "", err
	}
	to := s.root + abs
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", "", err
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm()&0o500|0o400)
	if err != nil {
		return "", "", err
	}
	sum, err = copyDigest(out, f)
	return to, sum, errors.Join(err, out.Close())
}

// folder makes a folder of the real tree real here, with links to what it has.
func (s *shadow) folder(abs string) error {
	if s.made[abs] {
		return nil
	}
	here := s.root + abs
	if parent := filepath.Dir(abs); parent != abs {
		if err := s.folder(parent); err != nil {
			return err
		}
		_ = os.Remove(here) // the link to it
		if err := os.Mkdir(here, 0o700); err != nil {
			return err
		}
	}
	s.made[abs] = true
	entries, err := os.ReadDir(abs)
	if err != nil {
		return nil //nolint:nilerr // one that may be entered and not read shows nothing
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join(abs, e.Name()), filepath.Join(here, e.Name())); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

// copyDigest copies from its start and gives the sha256 of what it copied.
func copyDigest(to io.Writer, from *os.File) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(to, h), io.NewSectionReader(from, 0, 1<<62)); err != nil {
		return "", fmt.Errorf("copying %s: %w", from.Name(), err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// copyProgram makes the copy of v's program that runs in its place. A very large
// one is run as it is.
func (v *verified) copyProgram() (sum string, err error) {
	v.run, sum, err = v.shadow.copy(v.file)
	return sum, err
}

// needsItsFolder reports whether a program looks for its libraries beside
// itself: in memory it would have no place.
func needsItsFolder(f *os.File) bool {
	e, err := elf.NewFile(f)
	if err != nil {
		return runtime.GOOS != "linux"
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH} {
		paths, err := e.DynString(tag)
		if err != nil {
			continue
		}
		for _, p := range paths {
			if strings.Contains(p, "ORIGIN") {
				return true
			}
		}
	}
	return false
}
