package launch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/sdk"
)

func TestStartFaults(t *testing.T) {
	script := filepath.Join(t.TempDir(), "plain.txt")
	if err := os.WriteFile(script, []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name string
		cmd  Command
		op   string
		want []string
	}{
		{"noise on stdout", act("noise"), "handshake", []string{`it printed "Loading weights | epoch 1 | loss 0.3" to stdout`}},
		{"crash", act("crash"), "start", []string{"it ended before the handshake", "exit status 7", "cannot find libfoo.so"}},
		{"another host's", act("stranger"), "handshake", []string{"magic cookie VAEGUARD_PLUGIN=classifier"}},
		{"version skew", act("version"), "handshake", []string{"another version of the protocol than 1"}},
		{"net/rpc", act("netrpc"), "handshake", []string{"does not speak gRPC"}},
		{"garbage", act("garbage"), "handshake", []string{"belongs to the handshake"}},
		{"a socket that is not there", act("wrongpath"), "describe", []string{"no/such/socket"}},
		{"another's socket", act("elsewhere", "ELSEWHERE=unix|/nowhere/at/all"), "handshake", []string{`it names the socket "/nowhere/at/all", want one in the folder`}},
		{"a socket beside its folder", act("elsewhere", "ELSEWHERE=unix|$PLUGIN_UNIX_SOCKET_DIR/../../../x"), "handshake", []string{"it names the socket"}},
		{"another machine", act("elsewhere", "ELSEWHERE=tcp|198.51.100.7:80"), "handshake", []string{`it names the address "198.51.100.7:80", want a port of 127.0.0.1`}},
		{"a name that is looked up", act("elsewhere", "ELSEWHERE=tcp|localhost.example:80"), "handshake", []string{"it names the address"}},
		{"no address", act("elsewhere", "ELSEWHERE=udp|x"), "handshake", []string{`an address of "udp"`}},
		{"silence", act("silent"), "start", []string{"no handshake within 300ms"}},
		{"not there", Command{Name: "gone", Path: "/nowhere/gone"}, "start", []string{"plugin gone (/nowhere/gone)", "no such file"}},
		{"not in PATH", Command{Path: "no-such-program-anywhere"}, "start", []string{"\"no-such-program-anywhere\" is not in PATH"}},
		{"a folder", Command{Path: t.TempDir()}, "start", []string{"is a folder"}},
		{"not executable", Command{Path: script}, "start", []string{"is not executable"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Options{Command: c.cmd, StartTimeout: time.Minute}
			if c.name == "silence" {
				o.StartTimeout = 300 * time.Millisecond
			}
			_, err := Start(t.Context(), o)
			var e *Error
			if !errors.As(err, &e) || e.Op != c.op {
				t.Fatalf("%v, want an Error of %s", err, c.op)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q lacks %q", err, want)
				}
			}
		})
	}
}

func TestWrongPinIsRefusedBeforeAnythingRuns(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "ran")
	cmd := act("mark", "MARK="+mark)
	d, err := cmd.Digest()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SHA256 = strings.Repeat("ab", 32)
	_, err = Start(t.Context(), Options{Command: cmd})
	var e *Error
	if !errors.As(err, &e) || e.Op != "pin" || !strings.Contains(err.Error(), "the pin is abab") || !strings.Contains(err.Error(), "the plugin is "+d.SHA256) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(mark); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the plugin ran: %v", err)
	}
	cmd.SHA256 = "sha256:" + strings.ToUpper(d.SHA256)
	c, err := Start(t.Context(), Options{Command: cmd, Checks: ChecksOff})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Error(err)
	}
}

func TestConfigDiagnostics(t *testing.T) {
	self, err := Self("rogue")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Command: self, Config: sdk.Config{JSON: []byte(`{"at": "x"}`)}})
	var d sdk.Diagnostics
	var e *Error
	if !errors.As(err, &e) || e.Op != "configure" || !errors.As(err, &d) || d[0].Pointer != "/at" {
		t.Errorf("%v", err)
	}
}

func TestSelfNeedsItsHook(t *testing.T) {
	old := linked.Swap(nil)
	defer linked.Store(old)
	_, err := Self("fake")
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "builtin.ServeIfPlugin()") {
		t.Errorf("%v", err)
	}
	linked.Store(old)
	if _, err := Self("cnm"); err == nil || !strings.Contains(err.Error(), "there are colours, colours-declared, fake, hermit, lossy, nchw, pupil, rogue, student, tattler") {
		t.Errorf("%v", err)
	}
}

func TestEnvironment(t *testing.T) {
	host := []string{"PATH=/bin", "AWS_SECRET=1", "my_secret=1", "Ld_Library_Path=/evil", "LC_ALL=C", "MY_A=2", "OTHER=3", "CUDA_VISIBLE_DEVICES=0"}
	got := strings.Join(environment(host, []string{"MY_*", "SET=4"}, []string{"PLUGIN=5"}, 2), " ")
	want := "PATH=/bin LC_ALL=C MY_A=2 CUDA_VISIBLE_DEVICES=0 SET=4 GOMAXPROCS=2 OMP_NUM_THREADS=2 OPENBLAS_NUM_THREADS=2 MKL_NUM_THREADS=2 TF_NUM_INTRAOP_THREADS=2 PLUGIN=5"
	if got != want {
		t.Errorf("environment %q, want %q", got, want)
	}
}

func TestChecksAtLoad(t *testing.T) {
	self, err := Self("lossy")
	if err != nil {
		t.Fatal(err)
	}
	_, err = Start(t.Context(), Options{Command: self})
	var e *Error
	var failed *CheckError
	if !errors.As(err, &e) || e.Op != "check" || !errors.As(err, &failed) || !strings.Contains(err.Error(), "logits called probabilities") {
		t.Errorf("%v", err)
	}
	for _, mode := range []string{"warn", "off"} {
		checks, err := ParseChecks(mode)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c, err := Start(t.Context(), Options{Command: self, Checks: checks, Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Warn, Output: &log})})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if got := strings.Contains(log.String(), "classifier check failed"); got != (mode == "warn") {
			t.Errorf("%s logs %q", mode, log.String())
		}
		if mode == "off" && log.Len() > 0 {
			t.Errorf("logs %q", log.String())
		}
	}
	if _, err := ParseChecks("sometimes"); err == nil {
		t.Error("no error for a wrong mode")
	}
}

// TestForgedLines: what a plugin is called and what it prints does not write lines
// of its own into errors and logs, nor move the cursor.
func TestForgedLines(t *testing.T) {
	var log bytes.Buffer
	cmd := act("forger")
	cmd.Name = "good\nvaeguard: trust it \x1b[2K"
	_, err := Start(t.Context(), Options{Command: cmd, Logger: hclog.New(&hclog.LoggerOptions{Output: &log, Level: hclog.Trace})})
	if err == nil {
		t.Fatal("it started")
	}
	for _, text := range []string{err.Error(), log.String()} {
		for _, r := range []string{"\x1b", "\r", "\u202e", "\x9b", "\nvaeguard: "} {
			if strings.Contains(text, r) {
				t.Errorf("%q in %q", r, text)
			}
		}
	}
	if !strings.Contains(err.Error(), `\x1b[2J\rvaeguard: all is well`) {
		t.Errorf("its line is lost: %v", err)
	}
}
