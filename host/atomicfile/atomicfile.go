// Package atomicfile writes files whole or not at all.
//
// A file is written next to its target under a temporary name, synced and
// renamed. A process that is killed on the way leaves the temporary file; the
// next one that writes the same target removes it. Where the system has flock,
// the writer holds a lock on its temporary file, so that only the files of dead
// writers are removed; where it does not, an open file cannot be removed.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Prefix begins the name of every temporary file.
const Prefix = ".tmp-"

// maxStem bounds how much of a target's name its temporary file repeats:
// systems allow 255 bytes.
const maxStem = 200

// Write calls write with a new file and gives it the name path: a reader sees
// the old content or the new one, never a part. What is there keeps its
// permissions, a new file gets those that the umask leaves. A symbolic link is
// followed; a device or a pipe, which cannot be replaced, is written in place.
// A folder, or a file that this user may not write, is an error before write is
// called, and an error of write leaves what was there.
func Write(path string, write func(*os.File) error) error {
	target, mode, err := resolve(path)
	if err != nil {
		return err
	}
	if mode.Type() != 0 {
		f, err := os.OpenFile(target, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(wrap(path, write(f)), f.Close())
	}
	Sweep(target)
	f, err := create(target, mode)
	if err != nil {
		return err
	}
	err = wrap(path, write(f))
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = rename(f, target)
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	return err
}

func wrap(path string, err error) error {
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// resolve follows links to the file that is to be written, and gives its mode:
// 0666 if there is none yet.
func resolve(path string) (string, fs.FileMode, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if link, err := os.Readlink(path); err == nil {
			return "", 0, fmt.Errorf("%s is a link to %s, which does not exist", path, link)
		}
		if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
			return "", 0, fmt.Errorf("%s: there is no folder %s: %w", path, filepath.Dir(path), fs.ErrNotExist)
		}
		return path, 0o666, nil
	}
	if err != nil {
		return "", 0, err
	}
	if info.IsDir() {
		return "", 0, fmt.Errorf("%s is a folder; want the name of a file", path)
	}
	if info.Mode().IsRegular() {
		// What no path leads to, as /dev/stdout to a deleted file, is written in place.
		real, err := filepath.EvalSymlinks(path)
		if err != nil {
			return path, info.Mode() | fs.ModeIrregular, nil
		}
		path = real
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return "", 0, err
		}
		if err := f.Close(); err != nil {
			return "", 0, err
		}
	}
	return path, info.Mode(), nil
}

// stem is what the names of all temporary files for target begin with.
func stem(target string) string {
	base := filepath.Base(target)
	return Prefix + base[:min(len(base), maxStem)] + "-"
}

// create makes a temporary file for target and takes its lock.
func create(target string, mode fs.FileMode) (*os.File, error) {
	begin := filepath.Join(filepath.Dir(target), stem(target))
	for range 64 { // a failure means that the name is taken, or that another writer swept our file before it was locked
		f, err := os.OpenFile(begin+strconv.FormatUint(uint64(rand.Uint32()), 10), os.O_RDWR|os.O_CREATE|os.O_EXCL, mode.Perm())
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if errors.Is(tryLock(f), errHeld) || !stillThere(f) {
			_ = f.Close()
			continue
		}
		if mode.Perm() != 0o666 { // those of the file that is replaced, which the umask does not concern
			if err := f.Chmod(mode.Perm()); err != nil {
				_ = f.Close()
				_ = os.Remove(f.Name())
				return nil, err
			}
		}
		return f, nil
	}
	return nil, fmt.Errorf("no temporary file next to %s", target)
}

// Sweep removes the temporary files for path whose writers are dead. Write does
// it by itself.
func Sweep(path string) {
	dir, begin := filepath.Dir(path), stem(path)
	entries, _ := os.ReadDir(dir) // what cannot be read cannot be swept
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), begin)
		if !ok || number == "" || strings.Trim(number, "0123456789") != "" || !e.Type().IsRegular() {
			continue
		}
		f, err := os.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			continue
		}
		if tryLock(f) == nil && stillThere(f) {
			remove(f)
		}
		_ = f.Close()
	}
}

// errHeld is that a living process has the lock.
var errHeld = errors.New("in use by another process")

// Claim takes the lock of a temporary folder, until release is called: for the
// one that made it, to keep it from being swept, and for others to learn that
// its maker is dead. An error means that a living process has it, that it is
// gone, or that the system has no such locks.
func Claim(path string) (release func(), err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err = tryLockFolder(f); err == nil && !stillThere(f) {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}

// stillThere reports whether f's name still leads to f.
func stillThere(f *os.File) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(open, named)
}
