//go:build !linux

package launch

import (
	"os"
	"os/exec"
)

// descriptorPath is the path: only Linux runs a descriptor.
func descriptorPath(cmd *exec.Cmd, _ *os.File) string { return cmd.Path }
