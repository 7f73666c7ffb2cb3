// Package python_test runs plugins written with the Python SDK behind the
// host's own launcher.
package python_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/check"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// required makes a missing interpreter or module a failure instead of a skip.
const required = "VAEGUARD_PYTHON_TESTS"

var interpreters sync.Map // imports -> path

// interpreter is a Python that has the modules of the SDK and some more.
func interpreter(t testing.TB, modules ...string) string {
	t.Helper()
	p, text := find(modules)
	if p == "" && os.Getenv(required) == "1" {
		t.Fatal(text)
	}
	if p == "" {
		t.Skip(text + "; " + required + "=1 makes this a failure")
	}
	return p
}

// optional is interpreter for modules that are not required anywhere.
func optional(t testing.TB, modules ...string) {
	t.Helper()
	if p, text := find(modules); p == "" {
		t.Skip(text)
	}
}

func find(modules []string) (path, text string) {
	want := "import grpc, numpy"
	for _, m := range modules {
		want += ", " + m
	}
	if p, ok := interpreters.Load(want); ok {
		return p.(string), ""
	}
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3", "python"} {
		if p == "" {
			continue
		}
		if found, err := exec.LookPath(p); err == nil && exec.Command(found, "-c", want).Run() == nil {
			interpreters.Store(want, found)
			return found, ""
		}
	}
	return "", fmt.Sprintf("no Python that can %s (tried $VAEGUARD_PYTHON, /usr/bin/python3, python3, python)", want)
}

// options start a script of testdata.
func options(t testing.TB, script string, modules ...string) launch.Options {
	t.Helper()
	python := interpreter(t, modules...)
	here, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return launch.Options{
		Command: launch.Argv([]string{python, script}, filepath.Join(here, "testdata")),
		Config:  sdk.Config{BaseDir: t.TempDir()},
		Env:     []string{"PYTHONPATH=" + here, "PYTHONDONTWRITEBYTECODE=1"},
		Threads: 1,
	}
}

func start(t *testing.T, o launch.Options) *launch.Classifier {
	t.Helper()
	c, err := launch.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// faulty starts linear.py with a config.
func faulty(t *testing.T, config string) (*launch.Classifier, *log) {
	t.Helper()
	o, l := options(t, "linear.py"), &log{}
	o.Config.JSON, o.Checks, o.Logger = []byte(config), launch.ChecksOff, l.logger()
	return start(t, o), l
}

// log keeps what the host logs.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *log) logger() hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: l})
}

// sine is element i of what the scripts take as weights.
func sine(i int) float64 { return math.Sin(float64(1 + i)) }

// ramp is a tensor of numbers in (0, 1).
func ramp(shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(0.5 + 0.4*math.Cos(float64(3*i)))
	}
	return x
}

const tolerance = 1e-5 // float32 sums of at most 60 terms near 1

func near(t *testing.T, what string, got *tensor.Tensor, want func(n, i int) float64) {
	t.Helper()
	for n := range got.N() {
		for i, v := range got.Row(n) {
			if w := want(n, i); math.Abs(float64(v)-w) > tolerance*max(1, math.Abs(w)) {
				t.Fatalf("%s[%d][%d] = %v, want %v", what, n, i, v, w)
			}
		}
	}
}

// linear is what linear.py answers.
func linear(x *tensor.Tensor) func(n, k int) float64 {
	return func(n, k int) float64 {
		s := 0.0
		for i, v := range x.Row(n) {
			s += float64(v) * sine(i*3+k)
		}
		return s
	}
}

func pulled(dy *tensor.Tensor) func(n, i int) float64 {
	return func(n, i int) float64 {
		s := 0.0
		for k, v := range dy.Row(n) {
			s += float64(v) * sine(i*3+k)
		}
		return s
	}
}

func TestNumbers(t *testing.T) {
	ctx := t.Context()
	c, l := faulty(t, `{"max_batch": 3}`)
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.Name != "linear" || info.Version != "1.2.3" || !info.InputShape.Equal(tensor.Shape{2, 3, 2}) || info.Layout != sdk.NHWC ||
		!slices.Equal(info.Classes, []string{"a", "b", "c"}) || info.Lo[0] != -1 || info.Hi[0] != 1 || info.Output != sdk.Logits || info.MaxBatch != 3 ||
		info.Gradient != sdk.ExactGradient || !info.Differentiate || info.Trainable || !info.Ready || info.Digest != "sha256:linear" {
		t.Errorf("info: %+v", info)
	}
	for _, rows := range []int{1, 3, 7, 0} {
		x, dy := ramp(rows, 2, 3, 2), ramp(rows, 3)
		y, err := c.Predict(ctx, x)
		if err != nil {
			t.Fatal(err)
		}
		if !y.Shape.Equal(tensor.Shape{rows, 3}) {
			t.Fatalf("output of shape %v for %d rows", y.Shape, rows)
		}
		near(t, "predict", y, linear(x))
		dx, err := c.Gradient(ctx, x, dy)
		if err != nil {
			t.Fatal(err)
		}
		near(t, "gradient", dx, pulled(dy))
		if rows == 0 {
			continue
		}
		outs, pull, err := c.Forward(ctx, x, sdk.Output, "hidden/double")
		if err != nil {
			t.Fatal(err)
		}
		near(t, "forward", outs[sdk.Output], linear(x))
		near(t, "hidden", outs["hidden/double"], func(n, i int) float64 { return 2 * float64(x.Row(n)[i]) })
		dh := ramp(rows, 2, 3, 2)
		if dx, err = pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy, "hidden/double": dh}); err != nil {
			t.Fatal(err)
		}
		near(t, "pullback", dx, func(n, i int) float64 { return pulled(dy)(n, i) + 2*float64(dh.Row(n)[i]) })
	}
	findings, err := c.Check(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	allPass(t, findings)
	for _, want := range []string{"printed before anything else", "printed while importing", "printed in predict", "printed by a child"} {
		if !strings.Contains(l.String(), want) {
			t.Errorf("%q is not in the log", want)
		}
	}
}

func allPass(t *testing.T, findings []check.Finding) {
	t.Helper()
	if len(findings) < 4 {
		t.Errorf("only %d findings", len(findings))
	}
	for _, f := range findings {
		if f.Severity == check.Fail {
			t.Error(f)
		}
	}
}

func TestThorough(t *testing.T) {
	c, _ := faulty(t, `{}`)
	findings, err := check.Classifier(t.Context(), c, check.Options{Thorough: true})
	if err != nil {
		t.Fatal(err)
	}
	allPass(t, findings)
}

func TestTorch(t *testing.T) {
	ctx := t.Context()
	o := options(t, "torch_cnn.py", "torch")
	c := start(t, o) // with the checks at load
	info, err := c.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !info.InputShape.Equal(tensor.Shape{4, 5, 2}) || len(info.Hidden) != 2 || !info.Hidden[0].Shape.Equal(tensor.Shape{3, 4, 5}) {
		t.Errorf("info: %+v", info)
	}
	x, dy := ramp(3, 4, 5, 2), ramp(3, 4)
	hidden := func(n, c, p int) float64 { // channel c of pixel p
		px := x.Row(n)[2*p:]
		return math.Tanh(sine(c) + sine(2*c)*float64(px[0]) + sine(2*c+1)*float64(px[1]))
	}
	outs, pull, err := c.Forward(ctx, x, sdk.Output, "hidden/act")
	if err != nil {
		t.Fatal(err)
	}
	near(t, "output", outs[sdk.Output], func(n, k int) float64 {
		s := sine(k)
		for i := range 60 {
			s += sine(60*k+i) * max(0, hidden(n, i/20, i%20))
		}
		return s
	})
	near(t, "hidden", outs["hidden/act"], func(n, i int) float64 { return hidden(n, i/20, i%20) })
	want := func(n, i int) float64 { // dx of pixel i/2, channel i%2
		s := 0.0
		for c := range 3 {
			h := hidden(n, c, i/2)
			if h <= 0 {
				continue
			}
			for k, v := range dy.Row(n) {
				s += float64(v) * sine(60*k+20*c+i/2) * (1 - h*h) * sine(2*c+i%2)
			}
		}
		return s
	}
	for range 2 {
		dx, err := pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
		if err != nil {
			t.Fatal(err)
		}
		near(t, "pullback", dx, want)
	}
	dx, err := c.Gradient(ctx, x, dy)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "gradient", dx, want)
}

func TestFit(t *testing.T) {
	ctx := t.Context()
	o := options(t, "trainable.py")
	c := start(t, o)
	x, labels := ramp(9, 5), []int{0, 1, 2, 0, 1, 2, 0, 1, 2}
	data := sdk.TrainingData{X: x, Labels: labels, ValX: x.Rows(0, 3), ValLabels: labels[:3]}
	if _, err := c.Predict(ctx, x); sdk.KindOf(err) != sdk.FailedPrecondition {
		t.Errorf("predict before fit: %v", err)
	}
	if _, err := c.Fit(ctx, data, sdk.FitOptions{JSON: []byte(`{"fault": true}`), OutputDir: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "the loss is not a number") {
		t.Errorf("a fit that fails: %v", err)
	}
	out, events := t.TempDir(), 0
	done, err := c.Fit(ctx, data, sdk.FitOptions{JSON: []byte(`{"epochs": 3}`), OutputDir: out, Seed: 1 << 63, Progress: func(p sdk.FitProgress) {
		if events++; p.Epoch != events || p.Steps != 1 || math.IsNaN(p.Metrics["accuracy"]) {
			t.Errorf("progress %+v", p)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if events != 3 || string(done.ConfigJSON) != `{"means": "means.npy"}` || len(done.Files) != 1 || done.Digest != "sha256:"+done.Files[0].SHA256 {
		t.Errorf("%d events, done %+v", events, done)
	}
	want := func(n, k int) float64 {
		s := 0.0
		for i, v := range x.Row(n) {
			m := (float64(x.Row(k)[i]) + float64(x.Row(k + 3)[i]) + float64(x.Row(k + 6)[i])) / 3
			s += 2*float64(v)*m - m*m
		}
		return s
	}
	y, err := c.Predict(ctx, x)
	if err != nil {
		t.Fatal(err)
	}
	near(t, "predict", y, want)
	o.Config = sdk.Config{JSON: done.ConfigJSON, BaseDir: out}
	again := start(t, o)
	if y, err = again.Predict(ctx, x); err != nil {
		t.Fatal(err)
	}
	near(t, "predict in another process", y, want)
}

func TestFaults(t *testing.T) {
	cases := []struct {
		fault string
		kind  sdk.Kind // 0: none
		text  string   // of the error
		log   string
	}{
		{"exception", sdk.Internal, "ValueError: boom ☃", `raise ValueError("boom`},
		{"typed", sdk.FailedPrecondition, "the model sleeps", ""},
		{"dtype", sdk.Internal, "output of dtype <U", ""},
		{"complex", sdk.Internal, "output of dtype complex128", ""},
		{"shape", sdk.Internal, "output of shape (3, 2), want (3, 3)", ""},
		{"none", sdk.Internal, "gave no output", ""},
		{"nan", sdk.Internal, "output that is not finite in row 1", ""},
		{"overflow", sdk.Internal, "output that is not finite in row 0", ""},
		{"exit", sdk.Internal, "SystemExit: 3", "sys.exit(3)"},
		{"strided", 0, "", ""},
		{"lists", 0, "", ""},
		{"memory", 0, "", ""},
		{"kill", 0, "", ""},
		{"_exit", 0, "", ""},
	}
	for _, f := range cases {
		t.Run(f.fault, func(t *testing.T) {
			t.Parallel()
			c, l := faulty(t, fmt.Sprintf(`{"fault": %q, "count": "count"}`, f.fault))
			x := ramp(3, 2, 3, 2)
			y, err := c.Predict(t.Context(), x)
			if f.kind == 0 {
				if err != nil {
					t.Fatal(err)
				}
				near(t, "predict", y, linear(x))
				return
			}
			if sdk.KindOf(err) != f.kind || !strings.Contains(fmt.Sprint(err), f.text) {
				t.Errorf("%v error %v, want %v with %q", sdk.KindOf(err), err, f.kind, f.text)
			}
			if f.log != "" && (!strings.Contains(l.String(), "Traceback") || !strings.Contains(l.String(), f.log)) {
				t.Errorf("no traceback with %q in the log:\n%s", f.log, l)
			}
			if err := c.Ping(t.Context()); err != nil {
				t.Errorf("it does not live on: %v", err)
			}
		})
	}
}

func TestBadCalls(t *testing.T) {
	ctx := t.Context()
	c, _ := faulty(t, `{}`)
	for name, call := range map[string]func() error{
		"shape": func() error { _, err := c.Predict(ctx, ramp(2, 3, 2, 2)); return err },
		"not finite": func() error {
			x := ramp(2, 2, 3, 2)
			x.Data[13] = float32(math.NaN())
			_, err := c.Predict(ctx, x)
			return err
		},
		"unknown output": func() error { _, _, err := c.Forward(ctx, ramp(1, 2, 3, 2), "hidden/none"); return err },
		"cotangent":      func() error { _, err := c.Gradient(ctx, ramp(2, 2, 3, 2), ramp(2, 4)); return err },
	} {
		if err := call(); sdk.KindOf(err) != sdk.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHang(t *testing.T) {
	c, _ := faulty(t, `{"fault": "hang"}`)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := c.Predict(ctx, ramp(1, 2, 3, 2))
		failed <- err
	}()
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	} // Close, in the cleanup, ends it all the same
}

func TestConfig(t *testing.T) {
	for name, f := range map[string]struct {
		config string
		shape  tensor.Shape
		want   []string // pointers
		text   string
	}{
		"unknown keys and wrong types": {`{"fualt": "x", "max_batch": -1, "names": ["a", 2], "scale": "x"}`, nil, []string{"/fualt", "/max_batch", "/names/1", "/scale"}, "unknown key; known: count, fault"},
		"the author's own":             {`{"scale": 13}`, nil, []string{"/scale"}, "bad luck"},
		"shape":                        {`{}`, tensor.Shape{28, 28, 1}, []string{""}, "this classifier takes (2, 3, 2)"},
		"exception":                    {`{"fault": "configure"}`, nil, nil, "KeyError: 'weights'"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t, "linear.py")
			o.Config.JSON, o.Config.InputShape = []byte(f.config), f.shape
			c, err := launch.Start(t.Context(), o)
			if err == nil {
				t.Fatal(errors.Join(errors.New("it was accepted"), c.Close()))
			}
			var d sdk.Diagnostics
			errors.As(err, &d)
			var got []string
			for _, x := range d {
				got = append(got, x.Pointer)
			}
			if !slices.Equal(got, f.want) || !strings.Contains(err.Error(), f.text) {
				t.Errorf("%v, want complaints about %v", err, f.want)
			}
		})
	}
}

func TestImportError(t *testing.T) {
	c, err := launch.Start(t.Context(), options(t, "missing.py"))
	if err == nil {
		t.Fatal(errors.Join(errors.New("it started"), c.Close()))
	}
	var e *launch.Error
	if !errors.As(err, &e) || e.Exit != "exit status 1" || !strings.Contains(strings.Join(e.Stderr, "\n"), "No module named 'a_module_that_nobody_has'") {
		t.Errorf("%v", err)
	}
}

func TestStartedByHand(t *testing.T) {
	o := options(t, "linear.py")
	cmd := exec.Command(o.Command.Path, o.Command.Args...)
	cmd.Dir, cmd.Env = o.Command.Dir, append(os.Environ(), o.Env...)
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "classifier plugin for vaeguard") {
		t.Errorf("%v: %s", err, out)
	}
}
