//go:build unix

package launch

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup puts the child into a process group of its own: a Ctrl-C for the
// host does not reach it, and the whole group can be killed.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// killGroup kills p, which leads its group, and its children.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
