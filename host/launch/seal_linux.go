package launch

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// sealProgram copies the program into memory that nobody can write any more,
// while it hashes it. Where the system runs none of that, the copy is a private
// file.
func (v *verified) sealProgram() (string, error) {
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	fd, err := unix.MemfdCreate("vaeguard-plugin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3 all may be executed
		fd, err = unix.MemfdCreate("vaeguard-plugin", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return v.copyProgram()
	}
	sealed := os.NewFile(uintptr(fd), v.file)
	sum, err := v.read.copyDigest(sealed, v.opened, v.size)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	}
	if err != nil {
		_ = sealed.Close()
		return "", err
	}
	_ = v.opened.Close()
	v.opened = sealed
	return sum, nil
}
