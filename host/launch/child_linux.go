package launch

import (
	"cmp"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// supervised is a plugin below a supervisor: this program once more, which does
// nothing but start the plugin and, when it or the host is gone, kill every process that
// descends from it, in whatever session and with whatever environment.
type supervised struct {
	number     int
	supervisor *exec.Cmd
	orders     *os.File // its end is the order to kill
	reports    *os.File
	said       *json.Decoder // of reports
	once       sync.Once     // kill
	left       chan struct{} // closed when the supervisor is gone, and so everything
}

// job is what a supervisor is asked to do, over its orders: as gob, which leaves names that
// are not UTF-8 as they are.
type job struct {
	Path     string
	Args     []string
	Dir      string
	Env      []string
	Limits   Limits
	Inherits bool // the program is descriptor 5
	Box      *box // nil: it is not confined
}

// report is what a supervisor tells, over its reports: first a number or an error, then
// how the plugin ended.
type report struct {
	Pid    int              `json:",omitempty"`
	Error  string           `json:",omitempty"`
	Status *unix.WaitStatus `json:",omitempty"`
}

// startPatience is how long a supervisor may take to start its plugin.
const startPatience = time.Minute

// startChild starts cmd: below a supervisor where this program can be one, which its
// hook says, else as a child of its own.
func startChild(cmd *exec.Cmd, l Limits, b *box, exited <-chan struct{}) (child, error) {
	if linked.Load() == nil {
		return startDirect(cmd, l, b, exited)
	}
	return supervise(cmd, l, b)
}

// supervise starts a supervisor, and cmd below it.
func supervise(cmd *exec.Cmd, l Limits, b *box) (_ child, err error) {
	s := &supervised{left: make(chan struct{})}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			_ = f.Close()
		}
		if err != nil {
			s.close()
		}
	}()
	their, orders, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.orders, theirs = orders, append(theirs, their)
	reports, their, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	s.reports, theirs = reports, append(theirs, their)
	s.said = json.NewDecoder(reports)
	s.supervisor = &exec.Cmd{
		Path: "/proc/self/exe", Args: []string{"vaeguard-supervisor", cmp.Or(cmd.Args[0], cmd.Path)},
		Env:   supervisorEnvironment(cmd.Env),
		Stdin: cmd.Stdin, Stdout: cmd.Stdout, Stderr: cmd.Stderr,
		ExtraFiles: append(theirs[:2:2], cmd.ExtraFiles...),
	}
	ownSession(s.supervisor)
	if err := s.supervisor.Start(); err != nil {
		return nil, fmt.Errorf("its supervisor: %w", err)
	}
	go func() {
		_ = s.supervisor.Wait()
		close(s.left)
	}()
	j := job{Path: cmd.Path, Args: cmd.Args, Dir: cmd.Dir, Env: cmd.Env, Limits: l, Inherits: len(cmd.ExtraFiles) > 0, Box: b}
	var first report
	err = errors.Join(reports.SetReadDeadline(time.Now().Add(startPatience)), orders.SetWriteDeadline(time.Now().Add(startPatience)))
	if err == nil {
		err = gob.NewEncoder(orders).Encode(j)
	}
	if err == nil {
		// Its own end of the reports must be closed here for their end to be seen.
		_ = theirs[1].Close()
		err = s.said.Decode(&first)
	}
	switch {
	case err != nil:
		_ = s.supervisor.Process.Kill()
		return nil, fmt.Errorf("its supervisor did not start it: %w", err)
	case first.Error != "":
		return nil, errors.New(first.Error)
	}
	s.number = first.Pid
	return s, reports.SetReadDeadline(time.Time{})
}

// supervisorEnvironment is the plugin's, without what tells the processes of plugins
// from others: strays are killed by it, and supervisors are none.
func supervisorEnvironment(plugin []string) []string {
	env := make([]string, 0, len(plugin)+1)
	for _, v := range plugin {
		if !strings.HasPrefix(v, socketDirEnv+"=") && !strings.HasPrefix(v, shippedEnv+"=") {
			env = append(env, v)
		}
	}
	return append(env, supervisorEnv+"=1")
}

func (s *supervised) pid() int { return s.number }

func (s *supervised) wait() error {
	var r report
	if err := s.said.Decode(&r); err != nil || r.Status == nil {
		_ = s.supervisor.Process.Kill() // the kernel kills the plugin with it
		<-s.left
		s.close()
		return fmt.Errorf("its supervisor ended: %v", s.supervisor.ProcessState)
	}
	s.kill() // what the plugin left running
	_ = s.reports.Close()
	if *r.Status == 0 {
		return nil
	}
	return exitError{*r.Status}
}

// kill gives the order, and sees to it that it is obeyed: a supervisor may be stopped.
func (s *supervised) kill() {
	s.once.Do(func() {
		_ = s.orders.Close()
		go func() {
			select {
			case <-s.left:
			case <-time.After(killGrace):
				_ = s.supervisor.Process.Kill()
			}
		}()
	})
}

func (s *supervised) gone(d time.Duration) {
	select {
	case <-s.left:
	case <-time.After(d):
	}
}

func (s *supervised) close() {
	for _, f := range []*os.File{s.orders, s.reports} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// exitError is how a process ended that another process has waited for.
type exitError struct{ status unix.WaitStatus }

// Exited reports whether it ended by itself.
func (e exitError) Exited() bool { return e.status.Exited() }

func (e exitError) Error() string {
	if e.status.Exited() {
		return fmt.Sprintf("exit status %d", e.status.ExitStatus())
	}
	text := "signal: " + e.status.Signal().String()
	if e.status.CoreDump() {
		text += " (core dumped)"
	}
	return text
}
