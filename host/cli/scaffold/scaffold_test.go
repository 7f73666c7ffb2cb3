package scaffold_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli/scaffold"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
)

func write(t *testing.T, lang string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "my-model")
	if err := scaffold.Write(dir, "my-model", lang); err != nil {
		t.Fatal(err)
	}
	return dir
}

func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// checked starts the folder as a host does and runs the checks.
func checked(t *testing.T, dir string, env ...string) {
	t.Helper()
	p, err := host.FindPlugin(dir)
	if err != nil {
		t.Fatal(err)
	}
	c, err := launch.Start(t.Context(), launch.Options{Command: p.Command, Config: sdk.Config{JSON: []byte("{}"), BaseDir: dir}, Env: env})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}()
	info, err := c.Info(t.Context())
	if err != nil || info.Name != p.Manifest.Name || info.Version != p.Manifest.Version {
		t.Errorf("Info %v (%v), plugin.yaml says %s %s", info, err, p.Manifest.Name, p.Manifest.Version)
	}
	findings, err := check.Classifier(t.Context(), c, check.Options{Thorough: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.Severity != check.Pass {
			t.Errorf("%v: %v", f.Severity, f)
		}
	}
	bad := launch.Options{Command: p.Command, Config: sdk.Config{JSON: []byte(`{"weights": "missing"}`), BaseDir: dir}, Env: env}
	if c, err := launch.Start(t.Context(), bad); err == nil {
		_ = c.Close()
		t.Error("weights that are not there were taken")
	} else if !strings.Contains(err.Error(), "/weights: ") {
		t.Error(err)
	}
}

func TestGo(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a program")
	}
	dir, root := write(t, "go"), repository(t)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o666); err != nil {
		t.Fatal(err)
	}
	const module = "github.com/vaeguard/vaeguard"
	for _, args := range [][]string{
		{"mod", "edit", "-require=" + module + "@v0.0.0", "-replace=" + module + "=" + root},
		{"vet", "-mod=mod", "."},
		{"build", "-mod=mod", "-o", "my-model", "."},
		{"test", "-mod=mod", "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	checked(t, dir)
}

func TestPython(t *testing.T) {
	dir, packages := write(t, "python"), filepath.Join(repository(t), "sdk", "python")
	env := []string{"PYTHONPATH=" + packages, "PYTHONDONTWRITEBYTECODE=1"}
	python := ""
	for _, name := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3"} {
		if found, err := exec.LookPath(name); err == nil && exec.Command(found, "-c", "import grpc, numpy").Run() == nil {
			python = found
			break
		}
	}
	if python == "" {
		if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
			t.Fatal("no Python with grpc and numpy")
		}
		t.Skip("no Python with grpc and numpy; VAEGUARD_PYTHON_TESTS=1 makes this a failure")
	}
	cmd := exec.Command(python, "-m", "vaeguard.check", "model.py")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "pass  gradient") {
		t.Errorf("%v\n%s", err, out)
	}
	manifest := filepath.Join(dir, "plugin.yaml") // whose python3 may be another
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(manifest, []byte(strings.Replace(string(text), "python3", python, 1)), 0o666); err != nil {
		t.Fatal(err)
	}
	checked(t, dir, env...)
}

func TestRefusals(t *testing.T) {
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(t.TempDir(), "new")
	for name, c := range map[string]struct{ dir, name, lang, want string }{
		"name":     {fresh, "My Model", "go", "plugin name"},
		"no name":  {fresh, "", "go", "plugin name"},
		"path":     {fresh, "../up", "go", "plugin name"},
		"language": {fresh, "m", "rust", "go or python"},
		"none":     {fresh, "m", "", "go or python"},
		"way":      {fresh, "m", "../templates/go/..", "go or python"},
		"folder":   {full, "m", "go", "not empty"},
	} {
		if err := scaffold.Write(c.dir, c.name, c.lang); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := os.Stat(fresh); err == nil {
		t.Error("something was written")
	}
}
