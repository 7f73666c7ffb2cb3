//go:build unix

package launch

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var update = flag.Bool("update", false, "write the recorded session into sdk/PROTOCOL.md")

// TestTranscript records a session of this host with a plugin that has
// everything, and compares it with the one in sdk/PROTOCOL.md: what an author
// of an SDK for another language reads is what happens.
func TestTranscript(t *testing.T) {
	record := filepath.Join(t.TempDir(), "record")
	out := t.TempDir()
	got := session(t, record, out)

	page := filepath.FromSlash("../../sdk/PROTOCOL.md")
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- transcript -->\n```text\n", "```\n<!-- end of transcript -->"
	before, rest, ok := strings.Cut(string(text), begin)
	want, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no transcript", page)
	}
	if got == want {
		return
	}
	if !*update {
		t.Fatalf("the session is not that of %s; go test ./host/launch -run Transcript -update writes it:\n%s", page, got)
	}
	if err := os.WriteFile(page, []byte(before+begin+got+end+after), 0o666); err != nil {
		t.Fatal(err)
	}
}

// session runs the plugin line through everything that the protocol has.
func session(t *testing.T, record, out string) string {
	t.Helper()
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	c, err := Start(ctx, Options{
		Command: act("record", recordEnv+"="+record), Checks: ChecksOff, HealthEvery: -1,
		Config: sdk.Config{JSON: []byte(`{"gain": 2}`), BaseDir: "/specs", InputShape: tensor.Shape{2}, Classes: 2, Seed: 7},
	})
	check(err)
	for start := time.Now(); !strings.Contains(read(t, record), "GRPCStdio"); time.Sleep(5 * time.Millisecond) {
		if time.Since(start) > time.Minute {
			t.Fatal("go-plugin opened no stream of standard output")
		}
	}
	p := c.replicas[0].p
	x := tensor.From([]float32{0.25, 0.75, 1, 0}, 2, 2)
	dy := tensor.From([]float32{0, 1, 0, -1}, 2, 2)
	_, err = c.Predict(ctx, x)
	check(err)
	_, err = c.Gradient(ctx, x, dy)
	check(err)
	const hidden = "hidden/difference"
	_, pull, err := c.Forward(ctx, x, sdk.Output, hidden)
	check(err)
	_, err = pull(ctx, map[string]*tensor.Tensor{sdk.Output: dy})
	check(err)
	_, err = pull(ctx, map[string]*tensor.Tensor{hidden: tensor.From([]float32{1, 1}, 2, 1)})
	check(err)

	if _, err = p.rpc.Predict(ctx, tensor.New(1, 3)); !errors.Is(err, sdk.InvalidArgument) {
		t.Errorf("three features: %v", err)
	}
	var d sdk.Diagnostics
	if err = p.rpc.Configure(ctx, sdk.Config{JSON: []byte(`{"gain": "loud"}`)}); !errors.As(err, &d) {
		t.Errorf("a wrong config: %v", err)
	}
	_, err = c.Fit(ctx, sdk.TrainingData{X: x, Labels: []int{1, 0}, ValX: x.Rows(0, 1), ValLabels: []int{1}},
		sdk.FitOptions{JSON: []byte(`{"epochs": 1}`), Seed: 7, OutputDir: out})
	check(err)
	check(p.ping(ctx))
	check(c.Close())
	return tidy(read(t, record), out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// tidy names what differs from run to run, and gives go-plugin's standing
// streams, which are opened whenever they are, their place.
func tidy(record, out string) string {
	var lines, standing []string
	for line := range strings.Lines(record) {
		line = strings.TrimSuffix(line, "\n")
		switch kind, rest, _ := strings.Cut(line, " "); {
		case strings.Contains(line, "PLUGIN_CLIENT_CERT="):
			line = "environment PLUGIN_CLIENT_CERT=<the host's certificate, PEM>"
		case strings.Contains(line, "PLUGIN_UNIX_SOCKET_DIR="):
			line = "environment PLUGIN_UNIX_SOCKET_DIR=<folder>"
		case kind == "stdout":
			f := strings.Split(rest, "|")
			if len(f) > 5 {
				f[3], f[5] = "<folder>/<socket>", certificate(f[5])
			}
			line = "stdout " + strings.Join(f, "|")
		case strings.HasSuffix(line, " opened") && strings.Contains(line, "/"):
			standing = append(standing, line)
			continue
		case strings.Contains(line, "GRPCStdio"):
			continue // its request, which is empty
		}
		lines = append(lines, strings.ReplaceAll(line, out, "<output>"))
	}
	slices.Sort(standing)
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "host ") })
	return strings.Join(slices.Insert(lines, max(at, 0), standing...), "\n") + "\n"
}
