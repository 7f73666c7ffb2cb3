package serve

import (
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// AsInit does what the first process of a container must, if this is it: it starts
// this program again, passes signals on to it, and takes leave of all processes
// that nobody else waits for, until the program ends. code is then the program's.
func AsInit() (code int, was bool) {
	if os.Getpid() != 1 {
		return 0, false
	}
	return supervise(os.Args), true
}

// noProgram is the exit code where the program could not be started.
const noProgram = 127

// supervise is AsInit in any process that inherits orphans.
func supervise(args []string) int {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	exe, err := os.Executable()
	if err != nil {
		return noProgram
	}
	child, err := syscall.ForkExec(exe, args, &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
	if err != nil {
		return noProgram
	}
	for s := range signals {
		switch s {
		case unix.SIGCHLD:
			if code, ended := reap(child); ended {
				return code
			}
		case unix.SIGURG, unix.SIGPIPE, unix.SIGTTIN, unix.SIGTTOU: // Go's own, and the terminal's
		default:
			if n, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(child, n) // if it is gone, its end is on its way
			}
		}
	}
	return noProgram
}

// reap takes leave of all that have ended.
func reap(child int) (code int, ended bool) {
	for {
		var st unix.WaitStatus
		pid, err := unix.Wait4(-1, &st, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return 0, false
		}
		if pid != child {
			continue
		}
		if st.Signaled() {
			return 128 + int(st.Signal()), true
		}
		return st.ExitStatus(), true
	}
}
