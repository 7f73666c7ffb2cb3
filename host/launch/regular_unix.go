//go:build unix

package launch

import "golang.org/x/sys/unix"

// openNow has open not wait for the other end of a pipe.
const openNow = unix.O_NONBLOCK
