package launch

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// looksEnv names a file that this program reads as it starts, as some packages do.
const looksEnv = "VAEGUARD_TEST_LOOKS"

var _ = look()

// look ends the program without a word of why if it may not read the file.
func look() error {
	file := os.Getenv(looksEnv)
	if file == "" {
		return nil
	}
	_, err := os.ReadFile(file)
	if err != nil {
		fmt.Fprintln(os.Stderr, "who am I?")
		os.Exit(3)
	}
	return err
}

// TestConfinedStart: a program that looks as it starts for what it may not read says only that it ended. The
// error says that it was confined, what it could read, how it gets more, and how it goes without: each way works.
func TestConfinedStart(t *testing.T) {
	needConfiners(t)
	t.Setenv(ConfineEnv, "")
	begin := func(c Command, confine Confine) error {
		p, err := Start(t.Context(), Options{Command: c, Confine: confine, Checks: ChecksOff, RestartBudget: -1})
		if err == nil {
			err = p.Close()
		}
		return err
	}
	holds := func(t *testing.T, err error, exit string, want ...string) {
		t.Helper()
		var e *Error
		if !errors.As(err, &e) || e.Op != "start" || e.Exit != exit {
			t.Fatalf("%v, want %s at its start", err, exit)
		}
		for _, w := range append(want, "it ended before the handshake", "it ran confined: no network, no files but its own, no signals to others", "set classifier.confine to off (VAEGUARD_CONFINE=off for a detector)") {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v; want %q", err, w)
			}
		}
	}
	t.Run("shipped", func(t *testing.T) {
		self, err := Self("hermit")
		if err != nil {
			t.Fatal(err)
		}
		self.Env = append(self.Env, looksEnv+"=/etc/passwd")
		holds(t, begin(self, ConfineAuto), "exit status 3", "it may read its program and the system's libraries, and write to", "Needs.Read of its launch.Shipped", "who am I?")
		more := self
		more.needs = &Needs{Read: []string{"/etc/passwd"}}
		if err := begin(more, ConfineAuto); err != nil {
			t.Errorf("with the file among its needs: %v", err)
		}
		if err := begin(self, ConfineOff); err != nil {
			t.Errorf("unconfined: %v", err)
		}
		t.Setenv(ConfineEnv, "off")
		if err := begin(self, ConfineAuto); err != nil {
			t.Errorf("with %s=off: %v", ConfineEnv, err)
		}
	})
	t.Run("folder", func(t *testing.T) {
		secret, lent := filepath.Join(t.TempDir(), "accounts"), filepath.Join(t.TempDir(), "lent")
		dir := t.TempDir()
		script := fmt.Sprintf("cat %s 2> /dev/null || exit 2\ncat %s 2> /dev/null || exit 3\nexit 4\n", lent, secret)
		for file, text := range map[string]string{
			secret: "", lent: "", filepath.Join(dir, "run.sh"): script,
			filepath.Join(dir, ManifestName): fmt.Sprintf(`{"name": "looker", "command": ["sh", "run.sh"], "confine": {"read": [%q]}}`, lent),
		} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p, err := (Finder{ReadManifest: readJSON}).Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		holds(t, begin(p.Command, ConfineAuto), "exit status 3", "it may read its folder, the system's programs and libraries, "+lent+", and write to", "under confine in plugin.yaml, as read: [FILE]")
		more := p.Command
		more.needs = &Needs{Read: []string{lent, secret}}
		holds(t, begin(more, ConfineAuto), "exit status 4", secret) // it got further
		if err := begin(p.Command, ConfineOff); err == nil || !strings.Contains(err.Error(), "exit status 4") || strings.Contains(err.Error(), "confine") {
			t.Errorf("unconfined: %v", err)
		}
	})
}
