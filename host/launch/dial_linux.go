package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// dialSocket calls a socket below a folder, by no link: what is called is what was looked at.
func dialSocket(ctx context.Context, folder, name string) (net.Conn, error) {
	rel, err := filepath.Rel(folder, name)
	if err != nil {
		return nil, notSocket(name, "elsewhere")
	}
	dir, err := unix.Open(folder, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: folder, Err: err}
	}
	defer func() { _ = unix.Close(dir) }()
	fd, err := unix.Openat2(dir, rel, &unix.OpenHow{Flags: unix.O_PATH | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS})
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM): // before Linux 5.6, or in a container that does not know it
		return dialPlain(ctx, folder, name)
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV):
		return nil, notSocket(name, "a link")
	case err != nil:
		return nil, plainPath(&os.PathError{Op: "open", Path: name, Err: err})
	}
	defer func() { _ = unix.Close(fd) }()
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		return nil, err
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
	case unix.S_IFLNK:
		return nil, notSocket(name, "a link")
	default:
		return nil, notSocket(name, "no socket")
	}
	if _, err := os.Stat("/proc/self/fd"); err != nil {
		return dialPlain(ctx, folder, name)
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d", fd))
}
