//go:build unix

package atomicfile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// tryLock takes f's lock: errHeld if a living process has it, another error if
// the file system knows no locks.
func tryLock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return errHeld
		}
		return err
	}
}

func tryLockFolder(f *os.File) error { return tryLock(f) }

// rename gives f its last name and closes it, in this order: until it has the
// name, the lock keeps others from removing it.
func rename(f *os.File, name string) error {
	return errors.Join(os.Rename(f.Name(), name), f.Close())
}

// remove removes f, whose lock is held until it is closed.
func remove(f *os.File) { _ = os.Remove(f.Name()) }
