package launch

import (
	"debug/elf"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxCopy is the largest file that is copied before it runs. Larger ones are
// models and other data: they are hashed where they lie.
const maxCopy = 64 << 20

// maxSealed is the largest program that is copied into memory.
const maxSealed = 1 << 30

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
func (s *shadow) copy(c *covering, name string) (copied, sum string, err error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", "", err
	}
	f, info, err := openRegular(abs)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if info.Size() > maxCopy {
		sum, err = c.digest(f, info.Size())
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
	sum, err = c.copyDigest(out, f, info.Size())
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

// copyProgram makes the copy of v's program that runs in its place. A very large
// one is run as it is.
func (v *verified) copyProgram() (sum string, err error) {
	v.run, sum, err = v.shadow.copy(v.read, v.file)
	return sum, err
}

// needsItsFolder reports whether a program looks for libraries, or for what loads them,
// in a place that depends on its own or on its working folder: in memory it would have
// none, and elsewhere it would load other files. So may what is no program of this
// system's own format, and what does not say how it is linked.
func needsItsFolder(f *os.File) bool {
	e, err := elf.NewFile(f)
	if err != nil {
		return true
	}
	dynamic := false
	for _, p := range e.Progs {
		switch p.Type {
		case elf.PT_DYNAMIC:
			dynamic = true
		case elf.PT_INTERP:
			name := make([]byte, min(p.Filesz, maxPath))
			if _, err := p.ReadAt(name, 0); err != nil || len(name) == 0 || name[0] != '/' {
				return true
			}
		}
	}
	if dynamic && e.SectionByType(elf.SHT_DYNAMIC) == nil {
		return true // the loader reads it, and package elf does not
	}
	for _, tag := range []elf.DynTag{elf.DT_RUNPATH, elf.DT_RPATH, elf.DT_NEEDED} {
		entries, err := e.DynString(tag)
		if err != nil {
			return true
		}
		for _, entry := range entries {
			if tag == elf.DT_NEEDED {
				if strings.Contains(entry, "/") && !strings.HasPrefix(entry, "/") {
					return true
				}
				continue
			}
			for path := range strings.SplitSeq(entry, ":") { // an empty one is the working folder
				if !strings.HasPrefix(path, "/") || strings.Contains(path, "ORIGIN") {
					return true
				}
			}
		}
	}
	for _, tag := range []elf.DynTag{elf.DT_AUDIT, elf.DT_DEPAUDIT, elf.DT_AUXILIARY, elf.DT_FILTER, elf.DT_CONFIG} {
		if values, err := e.DynValue(tag); err != nil || len(values) > 0 {
			return true
		}
	}
	return false
}
