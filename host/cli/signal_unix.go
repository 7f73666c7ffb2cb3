//go:build unix

package cli

import (
	"os/signal"
	"syscall"
)

// ignoreFileLimit makes a write beyond the limit of a file's size (ulimit -f)
// fail like one to a full disk, instead of ending the process.
func ignoreFileLimit() { signal.Ignore(syscall.SIGXFSZ) }
