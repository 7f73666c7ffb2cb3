package launch

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// bare starts a command without a handshake.
func bare(t *testing.T, c Command) *osRunner {
	t.Helper()
	v, err := c.verify(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	r, err := newRunner(v, c.Env)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Kill(t.Context())
		_ = r.Wait(t.Context())
	})
	return r
}

// TestOwnSession: a plugin leads a session, which has no controlling terminal: a
// process group alone let it write to /dev/tty and push keys into it.
func TestOwnSession(t *testing.T) {
	r := bare(t, act("deaf"))
	pid := r.proc.pid()
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d, %v, want that of %d itself", sid, err, pid)
	}
	if group, err := unix.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process group %d, %v, want its own", group, err)
	}
}

// TestOnlyNamedDescriptors: what the host was given by whoever started it stays
// with the host.
func TestOnlyNamedDescriptors(t *testing.T) {
	secret, err := os.Create(filepath.Join(t.TempDir(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	defer secret.Close()
	if _, err := unix.FcntlInt(secret.Fd(), unix.F_SETFD, 0); err != nil { // as if inherited
		t.Fatal(err)
	}
	r := bare(t, act("deaf"))
	dir := fmt.Sprintf("/proc/%d/fd", r.proc.pid())
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == secret.Name() {
			t.Errorf("descriptor %s of the plugin is the host's %s", e.Name(), to)
		}
	}
}

// TestSessionOfItsOwn: a child that a plugin has put into a session of its own ends
// with the classifier, and that of a killed host at the next start.
func TestSessionOfItsOwn(t *testing.T) {
	conf := rogueConfig(t, "daemon", 1, "")
	child := func() string {
		t.Helper()
		var r rogue
		if err := json.Unmarshal(conf.JSON, &r); err != nil {
			t.Fatal(err)
		}
		pid, err := os.ReadFile(r.Count)
		if err != nil || !alive(t, string(pid)) {
			t.Fatalf("no child %s: %v", pid, err)
		}
		return string(pid)
	}
	ended := func(pid, what string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); alive(t, pid); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: the child %s lives", what, pid)
			}
		}
	}
	c := start(t, "rogue", Options{Checks: ChecksOff, Config: conf})
	if _, err := c.Predict(t.Context(), random(1, 1, 4, 3, 2)); err != nil {
		t.Fatal(err)
	}
	pid := child()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	ended(pid, "closed")

	conf = rogueConfig(t, "daemon", 1, "")
	cmd := act("host", "ROGUE="+string(conf.JSON))
	host := exec.Command(cmd.Path)
	host.Env = append(os.Environ(), cmd.Env...)
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	pid = child()
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	d, err := newSocketDir()
	if err != nil {
		t.Fatal(err)
	}
	defer d.remove()
	ended(pid, "its host was killed, and another started")
}
