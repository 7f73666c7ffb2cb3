//go:build !unix

package atomicfile

import (
	"errors"
	"os"
)

// tryLock leaves the decision to the system, which does not remove a file that
// a living process has open.
func tryLock(*os.File) error { return nil }

// tryLockFolder cannot tell: a folder is not open while its files are written.
func tryLockFolder(*os.File) error { return errors.ErrUnsupported }

// rename closes f, since an open file keeps its name, and gives it its last one.
func rename(f *os.File, name string) error {
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// remove closes f and removes it, which fails if another process has it open.
func remove(f *os.File) {
	_ = f.Close()
	_ = os.Remove(f.Name())
}
