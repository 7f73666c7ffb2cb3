package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a program that runs on a pseudo-terminal of its own, as its
// controlling one, and what it has shown so far.
type terminal struct {
	*program
	t       *testing.T
	master  *os.File
	drained chan struct{} // closed when all that it shows has been read

	mu    sync.Mutex
	shown bytes.Buffer
}

// onTerminal starts the program on a terminal of 100 columns.
func (w *world) onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(master.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 100})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer slave.Close()
	s := &terminal{program: w.command(args...), t: t, master: master, drained: make(chan struct{})}
	s.Stdin, s.Cmd.Stdout, s.Cmd.Stderr = slave, slave, slave
	s.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	w.begin(s.program)
	go func() {
		defer close(s.drained)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			s.mu.Lock()
			s.shown.Write(b[:n])
			s.mu.Unlock()
			if err != nil {
				return // EIO: nobody has the other side open any more
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.Process.Kill()
		<-s.drained
		_ = master.Close()
	})
	return s
}

// text is what was shown, as lines: what a carriage return or a shorter line left
// of a bar counts too.
func (s *terminal) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.ReplaceAll(s.shown.String(), "\r\n", "\n")
}

// await waits until a text is shown.
func (s *terminal) await(text string) {
	s.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(s.text(), text); time.Sleep(2 * time.Millisecond) {
		select {
		case err := <-s.ended:
			s.ended <- err
			<-s.drained
			if !strings.Contains(s.text(), text) {
				s.t.Fatalf("%v ended before it showed %q:\n%s", s.Args[1:], text, s.text())
			}
		default:
		}
		if time.Now().After(end) {
			s.t.Fatalf("%v does not show %q:\n%s", s.Args[1:], text, s.text())
		}
	}
}

// interrupt sends the signal: SIGINT as Ctrl-C on the keyboard.
func (s *terminal) interrupt(signal syscall.Signal) {
	s.t.Helper()
	var err error
	if signal == syscall.SIGINT {
		_, err = s.master.Write([]byte{3})
	} else {
		err = s.Process.Signal(signal)
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// end waits for the end, and gives exit code and signal.
func (s *terminal) end() (int, syscall.Signal) {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
	case <-time.After(patience):
		_ = s.Process.Signal(syscall.SIGQUIT)
		time.Sleep(time.Second)
		s.t.Fatalf("%v hangs:\n%s", s.Args[1:], s.text())
	}
	select {
	case <-s.drained:
	case <-time.After(patience):
		s.t.Fatalf("%v has ended, and its terminal is open:\n%s", s.Args[1:], s.text())
	}
	status := s.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return -1, status.Signal()
	}
	return status.ExitStatus(), 0
}

// files are the names below the world's folder, without sockets.
func (w *world) files() map[string]bool {
	w.t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(w.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !strings.HasPrefix(path, w.path("tmp")+"/") {
			out[path] = true
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}
