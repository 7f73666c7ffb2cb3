package launch

import (
	"encoding/gob"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The descriptors of a supervisor besides the plugin's standard ones.
const (
	ordersFD = 3 + iota
	reportsFD
	programFD
)

// killEvery is the pause between two looks for children that are left.
const killEvery = 2 * time.Millisecond

// supervisor is a process that starts one plugin and is the parent of all that it leaves:
// to a subreaper the kernel hands every descendant whose own parent is gone.
type supervisor struct {
	plugin int
	mu     sync.Mutex // held while children are reaped or killed: a number stays its own until then
	end    sync.Once
}

// superviseIfAsked makes this process a supervisor if it was started to be one, and then
// never returns.
func superviseIfAsked() {
	if os.Getenv(supervisorEnv) == "" {
		return
	}
	closeInherited()
	orders, reports := os.NewFile(ordersFD, "orders"), os.NewFile(reportsFD, "reports")
	said := json.NewEncoder(reports)
	var j job
	if err := gob.NewDecoder(orders).Decode(&j); err != nil {
		os.Exit(1) // the host is gone, or there is none
	}
	s := &supervisor{}
	if err := s.start(j); err != nil {
		_ = said.Encode(report{Error: err.Error()})
		os.Exit(1)
	}
	if err := said.Encode(report{Pid: s.plugin}); err == nil {
		go func() {
			_, _ = io.Copy(io.Discard, orders)
			s.killAll()
		}()
	} else {
		go s.killAll()
	}
	s.reap(said)
	os.Exit(0)
}

// start starts the plugin, and keeps none of its pipes.
func (s *supervisor) start(j job) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	if j.Env == nil {
		j.Env = []string{} // none, and not this process's
	}
	cmd := &exec.Cmd{Path: j.Path, Args: j.Args, Dir: j.Dir, Env: j.Env, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}
	if j.Inherits {
		program := os.NewFile(programFD, "program")
		defer program.Close()
		cmd.ExtraFiles = []*os.File{program}
	}
	ownSession(cmd)
	if err := j.Limits.enter(); err != nil {
		return err
	}
	if err := j.Limits.start(cmd, j.Box, nil); err != nil { // by a thread that lives as long as this process
		return err
	}
	s.plugin = cmd.Process.Pid
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err // and the plugin goes with this process
	}
	for fd := range 3 {
		if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
			return err
		}
	}
	return nil
}

// reap waits for all children until there are none, and tells of the plugin's end.
func (s *supervisor) reap(said *json.Encoder) {
	for {
		// A look first: nothing is reaped while somebody may be about to kill it.
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT|unix.WALL, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil { // ECHILD: nothing is left
			return
		}
		s.mu.Lock()
		for {
			var status unix.WaitStatus
			pid, err := unix.Wait4(-1, &status, unix.WNOHANG|unix.WALL, nil)
			if err != nil || pid <= 0 {
				break
			}
			if pid == s.plugin {
				_ = said.Encode(report{Status: &status})
				go s.killAll()
			}
		}
		s.mu.Unlock()
	}
}

// killAll kills children until the process ends. Grandchildren become children as
// their parents die.
func (s *supervisor) killAll() {
	s.end.Do(func() {
		for {
			s.mu.Lock()
			killChildren()
			s.mu.Unlock()
			time.Sleep(killEvery)
		}
	})
}

// killChildren kills this process's children.
func killChildren() {
	found, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return
	}
	self := strconv.Itoa(os.Getpid())
	for _, dir := range found {
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		// pid (name) state parent …, where the name may hold anything.
		rest := string(stat[strings.LastIndexByte(string(stat), ')')+1:])
		fields := strings.Fields(rest)
		if len(fields) < 2 || fields[1] != self {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}
