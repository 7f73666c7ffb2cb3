//go:build !unix

package launch

import (
	"os"
	"os/exec"
)

func ownSession(*exec.Cmd) {}

// closeInherited has nothing to do: handles are inherited by name alone.
func closeInherited() {}

func killGroup(p *os.Process) { _ = p.Kill() }
