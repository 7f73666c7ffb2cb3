//go:build unix

package python_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
)

// hostEnv names the variable that makes this program a host to be killed; its
// value is the interpreter, the SDK's folder and a folder for the plugin's
// process id.
const hostEnv = "VAEGUARD_TEST_PYTHON_HOST"

func TestMain(m *testing.M) {
	if arg := os.Getenv(hostEnv); arg != "" {
		if err := host(filepath.SplitList(arg)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func host(arg []string) error {
	python, here, dir := arg[0], arg[1], arg[2]
	_, err := launch.Start(context.Background(), launch.Options{
		Command: launch.Argv([]string{python, "linear.py"}, filepath.Join(here, "testdata")),
		Config:  sdk.Config{JSON: []byte(`{"pid": "pid"}`), BaseDir: dir},
		Env:     []string{"PYTHONPATH=" + here, "PYTHONDONTWRITEBYTECODE=1"},
	})
	if err != nil {
		return err
	}
	fmt.Println("started")
	select {}
}

// TestEndsWithItsHost kills a host with SIGKILL: its Python plugin follows.
func TestEndsWithItsHost(t *testing.T) {
	python := interpreter(t)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	host := exec.Command(os.Args[0])
	host.Env = append(os.Environ(), hostEnv+"="+strings.Join([]string{python, here, dir}, string(os.PathListSeparator)))
	host.Stderr = os.Stderr
	out, err := host.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started\n" {
		t.Fatalf("%q, %v", line, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the plugin does not run")
	}
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	for end := time.Now().Add(time.Minute); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("plugin %d outlives its host", pid)
		}
	}
}

// alive reports whether a process exists and is no zombie that nobody reaps.
func alive(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		return !strings.Contains(string(stat), ") Z ")
	}
	return syscall.Kill(pid, 0) == nil
}
