package serve_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vaeguard/vaeguard/host/serve"
)

const initEnv = "VAEGUARD_TEST_INIT"

// actInit plays the first process of a container, and the program in it.
func actInit() {
	switch os.Getenv(initEnv) {
	case "init":
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			panic(err)
		}
		if err := os.Setenv(initEnv, "program"); err != nil {
			panic(err)
		}
		os.Exit(serve.Supervise(os.Args))
	case "program":
		// An orphan: the shell ends at once, and leaves a process behind.
		out, err := exec.Command("sh", "-c", "sleep 0.2 >/dev/null 2>&1 & echo $!").Output()
		if err != nil {
			panic(err)
		}
		fmt.Printf("orphan %s", out)
		waitFor := make(chan os.Signal, 1)
		signal.Notify(waitFor, syscall.SIGTERM)
		fmt.Println("waits")
		<-waitFor
		os.Exit(42)
	}
}

// The first process passes signals on, takes leave of orphans, and ends as the
// program does.
func TestInit(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe)
	c.Env = append(os.Environ(), initEnv+"=init")
	c.Stderr = os.Stderr
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(pipe)
	orphan := 0
	for lines.Scan() && lines.Text() != "waits" {
		if text, ok := strings.CutPrefix(lines.Text(), "orphan "); ok {
			if orphan, err = strconv.Atoi(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	end := time.Now().Add(time.Minute)
	for syscall.Kill(orphan, 0) == nil { // also a zombie has its number
		if time.Now().After(end) {
			t.Fatal("the orphan is not taken leave of")
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := c.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	if code := c.ProcessState.ExitCode(); code != 42 {
		t.Errorf("exit code %d, want the program's 42", code)
	}
}
