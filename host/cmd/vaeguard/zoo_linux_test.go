package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

const (
	zooBegin = "<!-- hostile plugins: written by TestHostilePlugins -update -->\n"
	zooEnd   = "<!-- end of hostile plugins -->\n"
	// What a host may take for a member that says nothing else. A host that meets an
	// honest plugin takes some 60 MiB.
	zooMiB     = 160
	zooSeconds = 60
	// mostSaid bounds the bytes that a host prints of a member.
	mostSaid = 64 << 10
)

// TestHostilePlugins lets a host of its own meet each member of the zoo: none is fatal to
// it, takes more of its memory or time than the budget, leaves a process, or forges a
// line, and the message names the cause. SECURITY.md lists just these.
func TestHostilePlugins(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a host for each of many plugins")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var page strings.Builder
	page.WriteString("\n| kind | plugin | the host says | MiB | s |\n|---|---|---|---|---|\n")
	kinds := map[string]int{}
	for _, b := range beasts() {
		kinds[b.kind]++
		if b.mib == 0 {
			b.mib = zooMiB
		}
		if b.seconds == 0 {
			b.seconds = zooSeconds
		}
		says := cell(b.want)
		if b.want == "" {
			says = "*nothing: no harm is done*"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %d | %d |\n", b.kind, cell(b.what), says, b.mib, b.seconds)
		t.Run(b.kind+"/"+b.what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, map[string]string{"zoo.yaml": strings.ReplaceAll(strings.ReplaceAll(zooSpec, "EXE", exe), "WHAT", b.what)})
			if err := os.Mkdir(w.path("zoo"), 0o755); err != nil {
				t.Fatal(err)
			}
			manifest := fmt.Sprintf("name: zoo\nversion: \"1\"\ncommand: [%s, %s, %q]\n", exe, inZoo, b.what)
			if err := os.WriteFile(w.path("zoo", "plugin.yaml"), []byte(manifest), 0o644); err != nil {
				t.Fatal(err)
			}
			p := w.command(b.args...)
			if b.args == nil {
				p = w.command(askZoo, b.what)
				p.Env = append(p.Env, asProgram+"=") // ask, not vaeguard
			}
			began := time.Now()
			w.begin(p)
			peak := w.peak(p, time.Duration(3*b.seconds)*time.Second)
			took, code := time.Since(began), p.code(t)
			said := p.stderr.String() + p.stdout.String()
			t.Logf("%d MiB, %v", peak>>20, took.Round(10*time.Millisecond))
			want := b.code
			if want == 0 && b.want != "" {
				want = 4
			}
			if code != want || !strings.Contains(said, b.want) {
				t.Errorf("exit code %d, want %d and %q; it said\n%.4000s", code, want, b.want, said)
			}
			if peak > int64(b.mib)<<20 || took > time.Duration(b.seconds)*time.Second {
				t.Errorf("%d MiB and %v, the budget is %d and %d s", peak>>20, took, b.mib, b.seconds)
			}
			if len(said) > mostSaid {
				t.Errorf("it said %d bytes: %.2000s", len(said), said)
			}
			if i := strings.IndexFunc(said, func(r rune) bool {
				return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
			}); i >= 0 {
				t.Errorf("%q is not escaped: %.200s", said[i], said[max(0, i-20):])
			}
			if !w.gone() {
				t.Errorf("left: %v", w.processes())
			}
			if left := w.sockets(); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if _, err := os.Stat(w.path("canary")); err == nil {
				t.Error("it has written where it must not")
			}
		})
	}
	for kind, n := range kinds {
		if n < 3 {
			t.Errorf("%d members of kind %s, want 3", n, kind)
		}
	}
	page.WriteString("\n")
	rewrite(t, zooBegin, zooEnd, page.String(), "TestHostilePlugins")
}

// peak is the most memory that p has had resident, seen until its end; one that hangs is
// killed at last.
func (w *world) peak(p *program, most time.Duration) int64 {
	w.t.Helper()
	status := filepath.Join("/proc", fmt.Sprint(p.Process.Pid), "status")
	var peak int64
	for end := time.Now().Add(most); ; {
		if text, err := os.ReadFile(status); err == nil {
			if _, rest, ok := strings.Cut(string(text), "VmHWM:"); ok {
				var kib int64
				if _, err := fmt.Sscan(rest, &kib); err == nil {
					peak = max(peak, kib<<10)
				}
			}
		}
		select {
		case err := <-p.ended:
			p.ended <- err
			return peak
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(end) {
			w.t.Errorf("it hangs; killed after %v", most)
			_ = p.Process.Kill()
			end = end.Add(time.Hour)
		}
	}
}

// zooSpec trains a member, and a small guard for it.
const zooSpec = `api_version: vaeguard/v1
kind: Experiment
name: zoo
seed: 7
data:
  train:       {dataset: digits, split: train, limit: 200}
  calibration: {dataset: digits, split: calibration, limit: 100}
classifier:
  command: [EXE, zoo-plugin, "WHAT"]
  train: {}
  checks: warn
  timeout: 10
  fit_timeout: 20
  fit_silence: 15
  restarts: 0
vae:
  latent_dim: 2
  encoder:
    - dense: {units: 4, activation: relu}
  decoder:
    - dense: {units: 64, activation: sigmoid}
detector: {data_type: tabular}
train: {epochs: 1, batch_size: 32}
threshold: {fpr: 0.05}
`
