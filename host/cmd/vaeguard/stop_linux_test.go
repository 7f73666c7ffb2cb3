package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// await waits until a file is there, while p lives.
func (w *world) await(p *program, name ...string) {
	w.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(w.path(name...)); err == nil {
			return
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			w.t.Fatalf("ended before there was %v; stderr:\n%s", name, p.stderr.String())
		default:
		}
	}
	w.t.Fatalf("no %v", name)
}

// TestInterrupted stops a run and a train by signals and goes on with the
// command that they print.
func TestInterrupted(t *testing.T) {
	const longer = "train.epochs=30"
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	w.must(0, "run", "chaos.yaml", "--out", "calm", "--quiet", "--set", longer)
	want := w.sums(w.path("calm", "detector", "weights.safetensors"), w.path("calm", "detector", "calibration.npy"))
	for _, c := range []struct {
		name, verb, out, work string
		signal                syscall.Signal
	}{
		{"SIGINT of a run", "run", "a run", "a run", syscall.SIGINT},
		{"SIGTERM of a train", "train", "guard", "guard.partial", syscall.SIGTERM},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := w.start(c.verb, "chaos.yaml", "--set", longer, "--out", c.out, "--quiet")
			w.await(p, c.work, "checkpoints", "last", "state.safetensors")
			// It stands still meanwhile: else it might be done before the others look.
			if err := p.Process.Signal(syscall.SIGSTOP); err != nil {
				t.Fatal(err)
			}
			second := w.start(c.verb, "chaos.yaml", "--set", longer, "--out", c.out, "--quiet", "--resume")
			forced := w.start(c.verb, "chaos.yaml", "--set", longer, "--out", c.out, "--quiet", "--force")
			for _, other := range []*program{second, forced} {
				if code := other.code(t); code != 1 || !strings.Contains(other.stderr.String(), "in use by another vaeguard process") {
					t.Errorf("a second %v: exit code %d: %s", other.Args[1:], code, other.stderr.String())
				}
			}
			for _, signal := range []syscall.Signal{c.signal, syscall.SIGCONT} {
				if err := p.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
			}
			text := ""
			if code := p.code(t); code != 130 {
				t.Fatalf("exit code %d, want 130; stderr:\n%s", code, p.stderr.String())
			}
			for _, line := range strings.Split(p.stderr.String(), "\n") {
				if strings.Contains(line, "--resume") {
					text = strings.TrimSpace(line)
				}
			}
			args := splitWords(text)
			if len(args) < 2 || args[0] != "vaeguard" {
				t.Fatalf("no command to go on with; stderr:\n%s", p.stderr.String())
			}
			w.must(0, append(args[1:], "--quiet")...)
			dir := w.path(c.out)
			if c.verb == "run" {
				dir = w.path(c.out, "detector")
			}
			if got := w.sums(filepath.Join(dir, "weights.safetensors"), filepath.Join(dir, "calibration.npy")); !slices.Equal(got, want) {
				t.Errorf("resumed with %q: %v, want %v", text, got, want)
			}
			if !w.gone() || len(w.sockets()) > 0 {
				t.Errorf("left: %v, %v", w.processes(), w.sockets())
			}
		})
	}
	w.must(0, "train", "chaos.yaml", "--set", longer, "--out", "guard", "--quiet", "--resume") // it is made: nothing to do
}

// splitWords splits a command line with 'quoted words'.
func splitWords(line string) []string {
	var out []string
	for i, part := range strings.Split(line, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

// TestBadBatch trains with a learning rate that breaks the second step.
func TestBadBatch(t *testing.T) {
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	p := w.must(1, "run", "chaos.yaml", "--out", "bad", "--quiet", "--set", "train.checkpoint.every=1", "--set", "train.optimizer={adam: {learning_rate: 1e30}}")
	for _, part := range []string{"epoch 1, step 2: ", "not finite", "lower the learning rate", "bad-batch.npz"} {
		if !strings.Contains(p.stderr.String(), part) {
			t.Errorf("stderr does not say %q:\n%s", part, p.stderr.String())
		}
	}
	w.readable("bad")
	if _, err := os.Stat(w.path("bad", "checkpoints", "last", "state.safetensors")); err != nil {
		t.Errorf("the checkpoint before it: %v", err)
	}
	for key, size := range map[string]int{"x": 32 * 64, "rows": 32} {
		d, err := dataset.Read(w.path("bad", "bad-batch.npz:"+key), builtin.Components().Formats, dataset.StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(d.X.Data) != size {
			t.Errorf("bad-batch.npz: %s has %d numbers, want %d", key, len(d.X.Data), size)
		}
	}
	events, err := os.ReadFile(w.path("bad", "events.jsonl"))
	if err != nil || !strings.Contains(string(events), `"event":"failed"`) {
		t.Errorf("events.jsonl does not say that it failed: %v\n%s", err, events)
	}
}

// TestDiskFull lets files grow to 8 KiB alone, as a full disk would, once the
// run has checkpoints that are larger.
func TestDiskFull(t *testing.T) {
	const longer = "train.epochs=30"
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec})
	w.must(0, "run", "chaos.yaml", "--out", "calm", "--quiet", "--set", longer)
	args := []string{"run", "chaos.yaml", "--out", "full", "--quiet", "--set", longer}
	p := w.start(args...)
	last := w.path("full", "checkpoints", "last", "state.safetensors")
	w.await(p, "full", "checkpoints", "last", "state.safetensors")
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.code(t); code != 130 {
		t.Fatalf("exit code %d, want 130; stderr:\n%s", code, p.stderr.String())
	}
	before := w.sums(last)
	args = append(args, "--resume")
	p = w.command(args...)
	p.Args = append([]string{"sh", "-c", `ulimit -f 16; exec "$0" "$@"`, p.Path}, p.Args[1:]...) // dash counts 512 bytes, bash in its POSIX mode too
	p.Path = "/bin/sh"
	w.begin(p)
	if code := p.code(t); code != 1 || !strings.Contains(p.stderr.String(), "file too large") || !strings.Contains(p.stderr.String(), "checkpoint") {
		t.Fatalf("exit code %d, want 1 and the cause; stderr:\n%s", code, p.stderr.String())
	}
	if after := w.sums(last); !slices.Equal(before, after) {
		t.Errorf("the checkpoint changed: %v, was %v", after, before)
	}
	w.must(0, args...)
	if got, want := w.results("full"), w.results("calm"); !slices.Equal(got, want) {
		t.Errorf("resumed: %v, want %v", got, want)
	}
}
