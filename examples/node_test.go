package examples

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// nodeModules is the folder of Node's packages that the example names, or "" if there is none:
// VAEGUARD_NODE_MODULES says where it is.
func nodeModules(t *testing.T) string {
	t.Helper()
	modules := os.Getenv("VAEGUARD_NODE_MODULES")
	if _, err := exec.LookPath("node"); err == nil && modules != "" {
		return modules
	}
	t.Skip("no node, or no VAEGUARD_NODE_MODULES: the folder node_modules of examples/own-plugin-node")
	return ""
}

// copyNodePlugin copies the example with the protocol's file, as somebody has it who works elsewhere.
func copyNodePlugin(dir, modules string) error {
	text, err := os.ReadFile("../sdk/proto/classifier.proto")
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "classifier.proto"), text, 0o600)
	}
	files, globErr := filepath.Glob("own-plugin-node/*")
	err = errors.Join(err, globErr)
	for _, name := range files {
		info, statErr := os.Stat(name)
		if statErr != nil || info.IsDir() {
			continue
		}
		text, readErr := os.ReadFile(name)
		err = errors.Join(err, readErr, os.WriteFile(filepath.Join(dir, filepath.Base(name)), text, 0o600))
	}
	return errors.Join(err, os.CopyFS(filepath.Join(dir, "node_modules"), os.DirFS(modules)))
}

// TestOwnPluginNode checks, trains and guards a plugin in JavaScript, which knows of vaeguard
// what PROTOCOL.md says.
func TestOwnPluginNode(t *testing.T) {
	if testing.Short() {
		t.Skip("starts Node many times")
	}
	modules := nodeModules(t)
	clitest.Run(t, filepath.Join("testdata", "own-plugin-node"), nil, func(e *testscript.Env) error {
		return copyNodePlugin(e.WorkDir, modules)
	})
}

// TestNodePluginDiesWithItsHost: a host that is killed in the plugin's training leaves no process of it.
func TestNodePluginDiesWithItsHost(t *testing.T) {
	if _, err := os.Stat("/proc/self/environ"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("processes are found in /proc")
	}
	modules := nodeModules(t)
	dir := t.TempDir()
	if err := copyNodePlugin(dir, modules); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary is vaeguard under its name.
	program := filepath.Join(dir, "vaeguard")
	if err := os.Symlink(exe, program); err != nil {
		t.Fatal(err)
	}
	host := exec.Command(program, "train", "guard.yaml", "--set", "classifier.train.epochs=1000000", "--out", "guard", "--quiet")
	host.Dir = dir
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = host.Process.Kill() }()
	wait := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: %v", what, nodesIn(t, dir))
			}
		}
	}
	wait("no plugin was started", func() bool { return len(nodesIn(t, dir)) > 0 })
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait()
	wait("it outlived its host", func() bool { return len(nodesIn(t, dir)) == 0 })
}

// nodesIn are the processes of node that work in a folder.
func nodesIn(t *testing.T, dir string) []int {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, name := range names {
		at, err := os.Readlink(name)
		if err != nil || at != dir {
			continue
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		pid, convErr := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && convErr == nil && strings.Contains(string(text), "plugin.mjs") {
			found = append(found, pid)
		}
	}
	return found
}
