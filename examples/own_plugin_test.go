// Package examples tests the example that is a module of its own.
package examples

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

func TestMain(m *testing.M) {
	clitest.Main(m, builtin.Components(), nil)
}

// TestOwnPlugin builds the plugin outside of the tree, as a third party would
// that has vaeguard as a dependency, and guards it.
func TestOwnPlugin(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, "testdata", nil, func(e *testscript.Env) error {
		if err := os.CopyFS(e.WorkDir, os.DirFS("own-plugin")); err != nil {
			return err
		}
		mod, err := os.ReadFile("own-plugin/go.mod")
		if err != nil {
			return err
		}
		local := regexp.MustCompile(`=> \.\./\.\.`).ReplaceAllLiteral(mod, []byte("=> "+root))
		if err := os.WriteFile(filepath.Join(e.WorkDir, "go.mod"), local, 0o666); err != nil {
			return err
		}
		// The tree's checksums hold those of the plugin's dependencies,
		// whatever versions the tree has moved on to.
		sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(e.WorkDir, "go.sum"), sums, 0o666); err != nil {
			return err
		}
		program := filepath.Join(e.WorkDir, "own-plugin")
		build := exec.Command("go", "build", "-mod=mod", "-o", program, ".")
		build.Dir = e.WorkDir
		build.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
		data, err := os.ReadFile(program)
		if err != nil {
			return err
		}
		e.Setenv("PIN", fmt.Sprintf("%x", sha256.Sum256(data)))
		return nil
	})
}
