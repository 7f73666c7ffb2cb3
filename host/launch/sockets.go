package launch

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// maxSocketBase is the longest base folder under which a socket's whole path,
// some 60 bytes more, stays below the 104 bytes that systems allow.
const maxSocketBase = 40

// socketDir is a private folder, for the sockets of one Classifier's plugins or
// for temporary files.
// Its lock is held as long as its host lives, however that ends.
type socketDir struct {
	path string
	lock *os.File
	base string // to be removed too; "": it is the user's own, and stays
}

// newSocketDir makes a folder whose path is short.
func newSocketDir() (*socketDir, error) {
	temp := os.TempDir()
	if len(temp) > maxSocketBase && runtime.GOOS != "windows" {
		temp = "/tmp"
	}
	return newPrivateDir(temp)
}

// TempDir makes a folder for temporary files that this user alone may enter,
// below the system's. remove deletes it; if the process is killed before, the
// next TempDir does.
func TempDir() (path string, remove func(), err error) {
	d, err := newPrivateDir(os.TempDir())
	if err != nil {
		return "", nil, err
	}
	return d.path, d.remove, nil
}

// newPrivateDir sweeps what dead hosts left in temp and makes a folder.
func newPrivateDir(temp string) (*socketDir, error) {
	base, passing, err := privateBase(temp)
	if err != nil {
		return nil, err
	}
	sweep(base)
	sweepPassing(temp)
	for range 16 { // each failure means that another host swept our file between its making and its locking
		lock, err := os.CreateTemp(base, "*"+lockSuffix)
		if err != nil {
			return nil, err
		}
		held := tryLock(lock) && stillThere(lock)
		if !held {
			_ = lock.Close()
			continue
		}
		d := &socketDir{path: strings.TrimSuffix(lock.Name(), lockSuffix), lock: lock}
		if passing {
			d.base = base
		}
		if err := os.Mkdir(d.path, 0o700); err != nil {
			d.remove()
			return nil, err
		}
		return d, nil
	}
	return nil, fmt.Errorf("cannot make a folder in %s", base)
}

const lockSuffix = ".lock"

// remove deletes the folder and gives up its lock.
func (d *socketDir) remove() {
	_ = os.RemoveAll(d.path)
	_ = os.Remove(d.lock.Name())
	_ = d.lock.Close()
	if d.base != "" {
		_ = os.Remove(d.base)
	}
}

// privateBase is a folder in temp that belongs to this user alone. passing says that
// its name is one of a moment: somebody else has taken the user's own.
func privateBase(temp string) (base string, passing bool, err error) {
	base = filepath.Join(temp, fmt.Sprintf("vaeguard-%d", os.Getuid()))
	if err := os.Mkdir(base, 0o700); err != nil && !os.IsExist(err) {
		return "", false, err
	}
	if isPrivate(base) {
		return base, false, nil
	}
	base, err = os.MkdirTemp(temp, passingPrefix)
	return base, true, err
}

// passingPrefix begins the names of bases of a moment, which a killed host leaves.
const passingPrefix = "vaeguard-at-"

// passingAge is how old such a base must be to be swept: a younger one may be about
// to get its first lock.
const passingAge = time.Minute

// sweepPassing removes bases of a moment whose hosts are gone.
func sweepPassing(temp string) {
	bases, err := filepath.Glob(filepath.Join(escapeGlob(temp), passingPrefix+"*"))
	if err != nil {
		return
	}
	for _, base := range bases {
		info, err := os.Lstat(base)
		if err != nil || !isPrivate(base) || time.Since(info.ModTime()) < passingAge {
			continue
		}
		sweep(base)
		_ = os.Remove(base) // unless a living host is in it
	}
}

// sweep removes the folders of hosts that are gone, and ends what their plugins left
// running.
func sweep(base string) {
	locks, err := filepath.Glob(filepath.Join(base, "*"+lockSuffix))
	if err != nil {
		return
	}
	for _, name := range locks {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		if tryLock(f) && stillThere(f) {
			killStrays(strings.TrimSuffix(name, lockSuffix))
			_ = os.RemoveAll(strings.TrimSuffix(name, lockSuffix)) // first: without its lock it would not be found
			_ = os.Remove(name)
		}
		_ = f.Close()
	}
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
