package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-plugin/runner"

	"github.com/vaeguard/vaeguard/sdk/wire"
)

const (
	tailLines = 12  // of stderr, kept for an error
	tailWidth = 400 // bytes of each
	// maxHandshake is where go-plugin stops to read a line on stdout.
	maxHandshake = 64 << 10
	tailRead     = 8 << 10 // bytes of each that are looked through for secrets
	// deathNotice is how long a process that is ending by itself may take to show
	// it: what it died of is then not hidden by a kill.
	deathNotice = 20 * time.Millisecond
	// pipeGrace is how long a dead plugin's children may hold its pipes.
	pipeGrace = 300 * time.Millisecond
)

// osRunner runs one plugin process for go-plugin: the verified descriptor
// where the system can, in a session of its own, with a pipe for stdin
// whose end tells the plugin that the host is gone.
type osRunner struct {
	name string
	cmd  *exec.Cmd
	proc child    // set by Start
	own  *os.File // the descriptor that is executed; nil: by path

	shadow *shadow // copies of what it runs, which go with it

	stdin          *os.File // the host's end; never written to
	stdout, stderr *os.File // the host's ends
	theirs         []*os.File

	limits  Limits
	box     *box   // what it may do; nil: whatever its user may
	self    bool   // it is this program
	sockets string // the folder of its socket; "": anywhere
	address atomic.Pointer[address]
	excess  atomic.Pointer[string] // what it was killed for; nil: nothing

	tail    tail
	long    atomic.Bool   // its first line on stdout is too long
	started chan struct{} // closed by Start, when proc is set
	exited  chan struct{} // closed when the process is gone and reaped
	drained chan struct{} // closed when stderr was read to its end
	waitErr error         // valid after exited
	killed  atomic.Bool   // by the host
}

var _ runner.Runner = (*osRunner)(nil)

// newRunner prepares v; env is complete.
func newRunner(v *verified, env []string) (_ *osRunner, err error) {
	r := &osRunner{name: v.Name, started: make(chan struct{}), exited: make(chan struct{}), drained: make(chan struct{})}
	defer func() {
		if err != nil {
			r.release()
		}
	}()
	args := v.Args
	if v.argv != nil {
		args = v.argv
	}
	r.cmd = exec.Command(cmp.Or(v.run, v.file), args...)
	r.cmd.Args[0], r.shadow = v.file, v.shadow
	r.cmd.Dir, r.self = v.Dir, v.self
	r.cmd.Env = append(env, wire.DeathWatchEnv+"=stdin")
	if v.opened != nil {
		r.own = v.opened
		r.cmd.Path = descriptorPath(r.cmd, v.opened)
	}
	ownSession(r.cmd)
	pipes := []struct {
		host   **os.File
		theirs *io.Writer
	}{{&r.stdout, &r.cmd.Stdout}, {&r.stderr, &r.cmd.Stderr}}
	for _, p := range pipes {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		*p.host, *p.theirs, r.theirs = read, write, append(r.theirs, write)
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.stdin, r.cmd.Stdin, r.theirs = write, read, append(r.theirs, read)
	return r, nil
}

// Start starts the process and waits for its end in the background.
func (r *osRunner) Start(context.Context) error {
	closeInherited()
	proc, err := startChild(r.cmd, r.limits, r.box, r.exited)
	for _, f := range r.theirs {
		_ = f.Close()
	}
	r.theirs = nil
	if err != nil {
		r.waitErr = err
		r.release()
		close(r.drained)
		close(r.exited)
		return err
	}
	r.proc = proc
	close(r.started)
	if r.limits.MemoryMB > 0 {
		go r.watch()
	}
	go func() {
		r.waitErr = proc.wait()
		close(r.exited)
		_ = r.stdin.Close()
		if r.own != nil {
			_ = r.own.Close()
		}
		r.shadow.remove()
		time.Sleep(pipeGrace)
		_ = r.stdout.Close()
		_ = r.stderr.Close()
	}()
	return nil
}

// release closes what a process that never started would have had.
func (r *osRunner) release() {
	for _, f := range append(r.theirs, r.stdin, r.stdout, r.stderr, r.own) {
		if f != nil {
			_ = f.Close()
		}
	}
	r.theirs = nil
	r.shadow.remove()
}

// Wait waits for the end of the process.
func (r *osRunner) Wait(context.Context) error {
	<-r.exited
	return r.waitErr
}

// Kill ends the process and its children at once. It works on a stopped one.
func (r *osRunner) Kill(context.Context) error {
	select {
	case <-r.started:
	default:
		return nil
	}
	if r.dead(deathNotice) { // its number may be another process's by now
		return nil
	}
	r.killed.Store(true)
	r.proc.kill()
	return nil
}

// gone waits until nothing is left of what was started, for at most d.
func (r *osRunner) gone(d time.Duration) {
	select {
	case <-r.started:
		r.proc.gone(d)
	default:
	}
}

// dead reports whether the process has ended, waiting for at most d.
func (r *osRunner) dead(d time.Duration) bool {
	select {
	case <-r.exited:
		return true
	default:
	}
	if d <= 0 {
		return false
	}
	select {
	case <-r.exited:
		return true
	case <-time.After(d):
		return false
	}
}

// exitReport is how the process ended, "" if it has not, and its last lines.
func (r *osRunner) exitReport() (exit string, lines []string) {
	select {
	case <-r.exited:
		select {
		case <-r.drained:
		case <-time.After(2 * pipeGrace):
		}
		var e interface {
			error
			Exited() bool
		}
		switch {
		case r.waitErr == nil:
			exit = "exit status 0"
		case errors.As(r.waitErr, &e) && !(r.killed.Load() && !e.Exited()):
			exit = e.Error()
		}
	default:
	}
	return exit, r.tail.last()
}

// Stdout is read by go-plugin until its end.
func (r *osRunner) Stdout() io.ReadCloser {
	return pipeEnd{File: r.stdout, tee: &greeting{long: &r.long}}
}

// Stderr is read by go-plugin until its end; the last lines are kept. Of a line it gets the
// first maxLine bytes: it would log a longer one in pieces, and a secret might lie across them.
func (r *osRunner) Stderr() io.ReadCloser {
	return pipeEnd{File: r.stderr, tee: &r.tail, short: &shortener{}, ended: sync.OnceFunc(func() { close(r.drained) })}
}

// Name is what the spec calls the plugin.
func (r *osRunner) Name() string { return r.name }

// ID is the process id.
func (r *osRunner) ID() string {
	select {
	case <-r.started:
		return strconv.Itoa(r.proc.pid())
	default:
		return ""
	}
}

// Diagnose adds nothing: exitReport does.
func (r *osRunner) Diagnose(context.Context) string { return "" }

// PluginToHost leaves addresses as they are, since both live on one machine, and refuses
// those elsewhere: a plugin does not choose whom the host calls.
func (r *osRunner) PluginToHost(network, where string) (string, string, error) {
	switch network {
	case "tcp":
		at, err := netip.ParseAddrPort(where)
		if err != nil || !at.Addr().IsLoopback() {
			return "", "", fmt.Errorf("it names the address %q, want a port of 127.0.0.1", clip(where))
		}
		if r.box != nil && !r.box.Network { // it has none: this is another's
			return "", "", fmt.Errorf("it names the address %q, and runs confined without a network: want a socket in the folder of "+socketDirEnv, clip(where))
		}
	case "unix":
		if r.sockets != "" && !within(r.sockets, where) {
			return "", "", fmt.Errorf("it names the socket %q, want one in the folder of "+socketDirEnv, clip(where))
		}
		if r.sockets != "" {
			if err := plainSocket(r.sockets, where); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", "", err
			}
		}
	default:
		return "", "", fmt.Errorf("it names an address of %q, want unix or tcp", clip(network))
	}
	r.address.Store(&address{network, where})
	return network, where, nil
}

// HostToPlugin leaves addresses as they are.
func (r *osRunner) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// maxLine is how many bytes of a line on stderr go on to go-plugin, which takes 64 KiB at a time.
const maxLine = 32 << 10

// String shows the process in logs.
func (r *osRunner) String() string { return fmt.Sprintf("%s[%s]", r.name, r.ID()) }
