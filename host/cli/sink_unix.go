//go:build unix

package cli

import (
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// wasClosed reports whether f was closed when the process began: Go then opens the
// null device in its place, for reading and writing, so that writes succeed. What a shell
// opens as > /dev/null is for writing alone; what a program gives, as Python's
// subprocess.DEVNULL or daemon(3) do, may be for both, and is told from Go's own if another
// of the standard descriptors is the same open file: Go opens each for itself.
func wasClosed(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return true
	}
	null, err := os.Stat(os.DevNull)
	if err != nil || !os.SameFile(info, null) {
		return false
	}
	flags, err := unix.FcntlInt(f.Fd(), syscall.F_GETFL, 0)
	return err == nil && flags&syscall.O_ACCMODE == syscall.O_RDWR && !shared(f.Fd(), flags)
}

// shared reports whether the null device at fd is one open file with another of the
// standard descriptors: a flag that is set on one shows on the other. On this device
// O_APPEND means nothing.
func shared(fd uintptr, flags int) bool {
	if _, err := unix.FcntlInt(fd, syscall.F_SETFL, flags^syscall.O_APPEND); err != nil {
		return false
	}
	defer func() { _, _ = unix.FcntlInt(fd, syscall.F_SETFL, flags) }()
	for other := range uintptr(3) {
		if other == fd {
			continue
		}
		info, err := os.Stat("/dev/fd/" + strconv.Itoa(int(other)))
		null, err2 := os.Stat(os.DevNull)
		if err != nil || err2 != nil || !os.SameFile(info, null) {
			continue
		}
		if got, err := unix.FcntlInt(other, syscall.F_GETFL, 0); err == nil && got&syscall.O_APPEND == (flags^syscall.O_APPEND)&syscall.O_APPEND {
			return true
		}
	}
	return false
}
