package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// python runs the interpreter in dir with the SDK on its path.
func python(t *testing.T, dir, program string, args ...string) (string, error) {
	t.Helper()
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+here, "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// program builds vaeguard for the tests in Python that start it.
func program(t *testing.T) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "vaeguard")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	cmd := exec.Command("go", "build", "-o", name, "./host/cmd/vaeguard")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("VAEGUARD_BINARY", name)
}

func TestUnits(t *testing.T) {
	program(t)
	out, err := python(t, ".", interpreter(t), "-m", "unittest", "discover", "-s", "tests")
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if !strings.Contains(out, "Ran ") {
		t.Errorf("no tests ran:\n%s", out)
	}
}

func TestCheckCommand(t *testing.T) {
	out, err := python(t, "testdata", interpreter(t), "-m", "vaeguard.check", "linear.py")
	if err != nil || !strings.Contains(out, "pass  gradient:") || !strings.Contains(out, "pass  hidden:") {
		t.Errorf("%v\n%s", err, out)
	}
	if out, err = python(t, "testdata", interpreter(t), "-m", "vaeguard.check", "missing.py"); err == nil || !strings.Contains(out, "a_module_that_nobody_has") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestInstall installs the package from a copy of this folder, without the
// network.
func TestInstall(t *testing.T) {
	optional(t, "setuptools", "wheel", "pip")
	base := interpreter(t, "setuptools", "wheel", "pip")
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "src", "vaeguard"), os.DirFS("vaeguard")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"pyproject.toml", "setup.py", "README.md"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "src", name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.Command(program, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "PYTHONPATH="+filepath.Join(dir, "site"))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run(base, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", "site", "./src")
	where := run(base, "-c", "import vaeguard, vaeguard.check; print(vaeguard.__file__)")
	if !strings.Contains(where, filepath.Join(dir, "site")) {
		t.Errorf("imported from %s", where)
	}
	if _, err := os.Stat(filepath.Join(dir, "site", "vaeguard", "py.typed")); err != nil {
		t.Errorf("installed without its types: %v", err)
	}
	model, err := filepath.Abs(filepath.Join("testdata", "linear.py"))
	if err != nil {
		t.Fatal(err)
	}
	if out := run(base, "-m", "vaeguard.check", model); !strings.Contains(out, "pass  gradient:") {
		t.Error(out)
	}
}

// TestKerasUnits runs the tests that need Keras on TensorFlow, JAX or XGBoost, the page of alibi-detect
// among them, with the Python that VAEGUARD_KERAS_PYTHON names.
func TestKerasUnits(t *testing.T) {
	keras := os.Getenv("VAEGUARD_KERAS_PYTHON")
	if keras == "" {
		t.Skip("VAEGUARD_KERAS_PYTHON names no Python with TensorFlow")
	}
	program(t)
	for _, tests := range []string{"test_keras.py", "test_page.py", "test_alibi.py", "test_function.py", "test_cases.py"} {
		out, err := python(t, ".", keras, "-m", "unittest", "discover", "-s", "tests", "-p", tests)
		if err != nil || !strings.Contains(out, "Ran ") {
			t.Errorf("%s: %v\n%s", tests, err, out)
		}
	}
}

// TestKeras needs TensorFlow, which few installations have.
func TestKeras(t *testing.T) {
	optional(t, "tensorflow")
	c := start(t, options(t, "keras_net.py", "tensorflow"))
	info, err := c.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if info.Output != sdk.Logits || !info.InputShape.Equal(tensor.Shape{8, 8, 2}) || len(info.Hidden) != 1 || !info.Hidden[0].Shape.Equal(tensor.Shape{6, 6, 4}) {
		t.Errorf("%+v", info)
	}
	findings, err := check.Classifier(t.Context(), c, check.Options{Thorough: true})
	if err != nil {
		t.Fatal(err)
	}
	allPass(t, findings)
	if len(findings) < 8 {
		t.Errorf("%v", findings)
	}
}
