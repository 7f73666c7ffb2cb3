//go:build unix

package launch

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestStoppedPluginIsClosed(t *testing.T) {
	c := start(t, "fake", Options{Checks: ChecksOff, DrainTimeout: 100 * time.Millisecond})
	p := c.replicas[0].current()
	if err := syscall.Kill(p.run.proc.pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for answers := true; answers; { // a stop takes its time
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		answers = c.Ping(ctx) == nil
		cancel()
	}
	called := make(chan error, 1)
	go func() {
		_, err := c.Predict(context.Background(), random(1, 1, 4, 3, 2))
		called <- err
	}()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if !p.run.dead(0) {
		t.Error("the plugin lives")
	}
	var e *Error
	if err := <-called; !errors.As(err, &e) {
		t.Errorf("the call under way: %v", err)
	}
	if _, err := os.Stat(c.sockets.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its sockets: %v", err)
	}
	if _, err := c.Predict(t.Context(), random(1, 1, 4, 3, 2)); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestHostKilled kills a host with SIGKILL: its plugin follows, and the next
// host sweeps its sockets.
func TestHostKilled(t *testing.T) {
	cmd := act("host")
	host := exec.Command(cmd.Path)
	host.Env = append(os.Environ(), cmd.Env...)
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, sockets, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !alive(t, pid) {
		t.Fatal("the plugin does not run")
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	for end := time.Now().Add(time.Minute); alive(t, pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("plugin %s outlives its host", pid)
		}
	}
	if _, err := os.Stat(sockets); err != nil {
		t.Fatal(err)
	}
	d, err := newSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	defer d.remove()
	if _, err := os.Stat(sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there", sockets)
	}
}

func TestChildrenGoWithThePlugin(t *testing.T) {
	conf := rogueConfig(t, "fork", 1, "")
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: conf})
	if _, err := c.Predict(t.Context(), random(1, 1, 4, 3, 2)); err != nil {
		t.Fatal(err)
	}
	var r rogue
	if err := json.Unmarshal(conf.JSON, &r); err != nil {
		t.Fatal(err)
	}
	child, err := os.ReadFile(r.Count)
	if err != nil || !alive(t, string(child)) {
		t.Fatalf("no child %s: %v", child, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for end := time.Now().Add(time.Minute); alive(t, string(child)); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the plugin's child lives")
		}
	}
}

func alive(t *testing.T, pid string) bool {
	t.Helper()
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	return running(n)
}
