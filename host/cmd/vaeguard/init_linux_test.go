package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

// pseudoTerminal is both ends of one.
func pseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}

// TestInitAsks: on a terminal init asks for the data, the label and the classifier, and not
// where one of its ends is none.
func TestInitAsks(t *testing.T) {
	dir := t.TempDir()
	var rows strings.Builder
	rows.WriteString("size,weight,kind\n")
	for i := range 60 {
		fmt.Fprintf(&rows, "%d.5,%d.25,%s\n", i*7%19+10*(i%2), i*i%23, []string{"pear", "plum"}[i%2])
	}
	data := filepath.Join(dir, "fruit.csv")
	if err := os.WriteFile(data, []byte(rows.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	master, tty := pseudoTerminal(t)
	if _, err := master.WriteString(data + "\nkind\n\n"); err != nil { // and no classifier
		t.Fatal(err)
	}
	out := filepath.Join(dir, "fruit.yaml")
	args := []string{"init", "--out", out, "--quiet"}
	if code := cli.Run(t.Context(), builtin.Components(), args, tty, &bytes.Buffer{}, tty); code != cli.ExitDone {
		t.Fatalf("exit code %d", code)
	}
	text, err := os.ReadFile(out)
	if err != nil || !bytes.Contains(text, []byte("label: kind")) || !bytes.Contains(text, []byte("plugin: mlp")) {
		t.Errorf("%v\n%s", err, text)
	}
	seen := make([]byte, 4096)
	n, err := master.Read(seen)
	if err != nil || !bytes.Contains(seen[:n], []byte("column of the classes (size, weight, kind):")) || !bytes.Contains(seen[:n], []byte("rows with their classes (a file, a folder or a named set):")) {
		t.Errorf("asked %q, %v", seen[:n], err)
	}
	var stderr bytes.Buffer
	args = []string{"init", "--data", data, "--out", filepath.Join(dir, "other.yaml"), "--quiet"}
	if code := cli.Run(t.Context(), builtin.Components(), args, tty, &bytes.Buffer{}, &stderr); code != cli.ExitUsage || !strings.Contains(stderr.String(), "--label is missing") {
		t.Errorf("without a terminal to ask on: exit code %d, %s", code, &stderr)
	}
}
