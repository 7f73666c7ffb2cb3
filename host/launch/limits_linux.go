package launch

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

// bound is a limit of the kernel's.
type bound struct {
	name     string
	resource int
	value    uint64
	least    uint64 // what a supervisor needs of it
}

func (l Limits) bounds() []bound {
	var all []bound
	if l.MemoryMB > 0 {
		all = append(all, bound{"memory", unix.RLIMIT_DATA, uint64(l.MemoryMB) * mib, writable() + 64*mib})
	}
	if l.OpenFiles > 0 {
		all = append(all, bound{"open files", unix.RLIMIT_NOFILE, uint64(l.OpenFiles), 32})
	}
	return all
}

// enter bounds this process, a supervisor, and so what it starts from the first moment; not
// with less than it needs itself, which start sees to.
func (l Limits) enter() error {
	for _, r := range l.bounds() {
		if r.value < r.least {
			continue
		}
		if err := unix.Setrlimit(r.resource, &unix.Rlimit{Cur: r.value, Max: r.value}); err != nil {
			return fmt.Errorf("limit its %s: %w", r.name, err)
		}
	}
	return nil
}

// writable is the memory that this process may write to, in bytes.
func writable() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmData:")
	return kib(rest)
}

// kib reads a number of KiB, in bytes; 0 if it is none.
func kib(text string) uint64 {
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return 0
	}
	n, _ := strconv.ParseUint(fields[0], 10, 44) // 0 if it is not a number
	return n << 10
}

// start starts cmd and bounds it before it can have done much. exited is closed
// when the process is gone. b confines it; nil: it is not.
func (l Limits) start(cmd *exec.Cmd, b *box, exited <-chan struct{}) error {
	if err := l.begin(cmd, b, exited); err != nil {
		return err
	}
	for _, r := range l.bounds() {
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

// used is the memory that a plugin's processes have in use, in bytes, and how many they are: of
// the largest one if that has more than limit, else of all, where what several share counts once.
func used(c child, limit int64) (n int64, processes int) {
	all := family(c)
	for _, pid := range all {
		one := resident(pid)
		if one > limit {
			return one, 1
		}
		n += one
	}
	if n <= limit || len(all) == 1 {
		return n, len(all)
	}
	n = 0
	for _, pid := range all {
		n += share(pid)
	}
	return n, len(all)
}

// maxFamily is the most processes of a plugin that are looked at.
const maxFamily = 4096

// family are the processes of a plugin: what descends from its supervisor, or from itself where
// it has none; itself alone where the kernel does not tell.
func family(c child) []int {
	all := []int{c.pid()}
	if s, ok := c.(*supervised); ok {
		if found := offspring(s.supervisor.Process.Pid); len(found) > 0 {
			all = found
		}
	}
	for i := 0; i < len(all) && len(all) < maxFamily; i++ {
		all = append(all, offspring(all[i])...)
	}
	return all
}

// offspring are the processes that a process has started and that are there, none if the
// kernel does not tell.
func offspring(pid int) []int {
	lists, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/[0-9]*/children")
	if err != nil {
		return nil
	}
	var all []int
	for _, name := range lists {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // a thread that is gone
		}
		for _, field := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(field); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// share is the memory that a process has in use, in bytes, of what it shares with others its part.
func share(pid int) int64 {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/smaps_rollup")
	if err != nil {
		return resident(pid)
	}
	_, rest, ok := strings.Cut(string(text), "\nPss:")
	if !ok {
		return resident(pid)
	}
	return int64(kib(rest))
}
