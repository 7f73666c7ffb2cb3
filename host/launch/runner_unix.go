//go:build unix

package launch

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// ownSession puts the child into a session of its own: it has no controlling
// terminal to write to or to push keys into, a Ctrl-C for the host does not reach
// it, and its whole process group can be killed.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// closeInherited keeps descriptors that the host itself was given, and that are not
// meant for a plugin, out of what is started next.
func closeInherited() {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range entries {
		if fd, err := strconv.Atoi(e.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// killGroup kills p, which leads its group, and its children.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }
