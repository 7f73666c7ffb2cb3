package launch

import (
	"os/exec"
	"time"
)

// child is a plugin's process, and all that it starts.
type child interface {
	pid() int
	// wait waits for the end of the process, once.
	wait() error
	// kill kills the process and what it has started. It does not wait.
	kill()
	// gone waits until nothing of it is left, for at most d.
	gone(d time.Duration)
}

// direct is a child of this process itself: what it starts is known by its group.
type direct struct{ cmd *exec.Cmd }

func (d direct) pid() int { return d.cmd.Process.Pid }

func (d direct) kill() { killGroup(d.cmd.Process) }

func (d direct) wait() error {
	err := d.cmd.Wait()
	killGroup(d.cmd.Process) // what it left running
	return err
}

func (direct) gone(time.Duration) {}

// startDirect starts cmd as a child of this process. exited is closed when it is gone.
func startDirect(cmd *exec.Cmd, l Limits, b *box, exited <-chan struct{}) (child, error) {
	if err := l.start(cmd, b, exited); err != nil {
		return nil, err
	}
	return direct{cmd}, nil
}
