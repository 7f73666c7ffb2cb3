package launch

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

func (l Limits) check() error {
	if l.MemoryMB < 0 || l.OpenFiles < 0 {
		return fmt.Errorf("limits: memory %d MiB, %d open files: want 0 or more", l.MemoryMB, l.OpenFiles)
	}
	return nil
}

// start starts cmd and bounds it before it can have done much. exited is closed
// when the process is gone. b confines it; nil: it is not.
func (l Limits) start(cmd *exec.Cmd, b *box, exited <-chan struct{}) error {
	if err := l.begin(cmd, b, exited); err != nil {
		return err
	}
	for _, r := range []struct {
		name     string
		resource int
		value    uint64
	}{
		{"memory", unix.RLIMIT_DATA, uint64(l.MemoryMB) * mib},
		{"open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles)},
	} {
		if r.value == 0 {
			continue
		}
		if err := unix.Prlimit(cmd.Process.Pid, r.resource, &unix.Rlimit{Cur: r.value, Max: r.value}, nil); err != nil {
			killGroup(cmd.Process)
			_ = cmd.Wait()
			return fmt.Errorf("limit its %s: %w", r.name, err)
		}
	}
	return nil
}

// begin is cmd.Start by a thread that lives as long as the process: the kernel kills
// the process when that thread ends, and so with the host, however it dies.
// Privileges are given up there too, and the process is confined: children inherit that, and the host's other
// threads do not.
func (l Limits) begin(cmd *exec.Cmd, b *box, exited <-chan struct{}) error {
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	done := make(chan error)
	offMain(func() {
		err := error(nil)
		if l.NoNewPrivileges {
			err = unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		}
		if err != nil {
			err = fmt.Errorf("no new privileges: %w", err)
		} else if err = b.enter(cmd.ExtraFiles); err != nil {
			err = fmt.Errorf("confine it: %w (classifier.confine: off starts it without)", err)
		} else {
			err = cmd.Start()
		}
		done <- err
		if err == nil {
			<-exited
		}
	})
	return <-done
}

// offMain runs f by a thread that ends with it. It is not the first one of this process, by which
// others know it: a confined plugin could send signals to that.
func offMain(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() {
			offMain(f) // by another, since this one waits
			select {}
		}
		f() // and is never unlocked
	}()
}

// resident is the memory that a process has in use, in bytes; 0 if it is gone.
func resident(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64) // 0 if it is not a number
	return pages * int64(os.Getpagesize())
}
