package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

// slowSpec guards the plugin slow.
const slowSpec = `api_version: vaeguard/v1
kind: Experiment
name: slow
seed: 7
data:
  train:       {dataset: digits, split: train}
  calibration: {dataset: digits, split: calibration}
  test:        {dataset: digits, split: test}
classifier: {path: ./slow, config: {pause_ms: 0}, checks: "off"}
vae:
  latent_dim: 4
  encoder:
    - dense: {units: 16, activation: relu}
  decoder:
    - dense: {units: 64, activation: sigmoid}
detector: {samples: 2, data_type: tabular}
train: {epochs: 2, batch_size: 64}
threshold: {fpr: 0.05}
attacks:
  - pgd: {norm: linf, eps: 0.1, steps: 5}
`

const slowGrid = `api_version: vaeguard/v1
kind: Grid
name: tiny
seeds: [1]
default: plain
bootstrap: 40
sets:
  - {name: digits, spec: slow.yaml, set: {classifier.config.pause_ms: 20}}
detectors:
  - {name: plain}
attacks:
  - {id: pgd, attack: {pgd: {eps: 0.15, steps: 5}}, limit: 60}
`

// Ways to be at work: what a test waits for before it interrupts.
const (
	atOnce = "" // the verb is over before anybody could: it must be over, whenever
	asking = "a plugin runs"
)

// interrupted is how a verb meets an interrupt on a terminal, and an error while
// it works.
type interrupted struct {
	args   string
	await  string
	resume string // what the command that goes on ends with; "": there is none
	writes string // must be absent, or whole, afterwards
	broken string // instead of pause: what makes it fail in the middle of its work
	why    string // there is no such failure
	clean  bool   // an interrupt is how it is meant to end
}

// pause and fail make the plugin of a detector slow, or break it; late is one that never
// comes to its handshake.
const (
	lateInit  = "--classifier ./late"
	lateSpec  = "--set classifier.path=./late"
	pause     = "--classifier config.pause_ms=100"
	fail      = "--classifier config.fail_after=3"
	pauseSpec = "--set classifier.config.pause_ms=50"
	failSpec  = "--set classifier.config.fail_after=40"
)

const noWork = "it asks no model for anything"

// interrupts has each verb, by what its command line begins with.
var interrupts = map[string]interrupted{
	"attack":         {args: "guard --attack pgd --out out.npz " + pause, await: "attack pgd", writes: "out.npz", broken: fail},
	"bench":          {args: "slow.yaml --seconds 1 " + pauseSpec, await: "bench: ", broken: failSpec},
	"calibrate":      {args: "guard --data - --out other " + pause, await: asking, writes: "other", broken: "--data rows.npz " + fail},
	"certify":        {args: "votes --out certified.json " + pause, await: "certificates", writes: "certified.json", broken: fail},
	"demo":           {args: "--out demo", await: "detector ", resume: "--out demo --resume", why: "its model is its own; run has the case"},
	"detect":         {args: "guard --data - --out out.jsonl " + pause, await: asking, writes: "out.jsonl", broken: "--data rows.npz " + fail},
	"evaluate":       {args: "guard --out report " + pause, await: "attack pgd", writes: "report", broken: fail},
	"explain":        {args: "pgd", why: noWork},
	"export":         {args: "guard --out guard.onnx", writes: "guard.before.onnx", why: noWork},
	"grid":           {args: "grid.yaml --out cells", await: "detector digits seed 1", resume: "grid.yaml --out cells", broken: "--set sets[0].set={\"classifier.config.fail_after\":40}"},
	"init":           {args: "--data rows.npz --out made.yaml " + lateInit, await: asking, writes: "made.yaml", broken: "--classifier ./broken"},
	"inspect":        {args: "guard", why: noWork},
	"lint":           {args: "slow.yaml --plugins " + lateSpec, await: asking, broken: "--set classifier.path=./broken"},
	"list":           {why: noWork},
	"merge":          {args: "parts --out all.parquet", writes: "all.parquet", why: noWork},
	"new":            {args: "spec", why: noWork},
	"pack":           {args: "guard --out guard.vg", writes: "guard.vg", why: noWork},
	"plugin check":   {args: "./slow --config pause.json", await: asking, broken: "--config fail.json"},
	"plugin list":    {why: noWork},
	"plugin lock":    {args: "./slow", why: noWork},
	"plugin predict": {args: "./slow --config pause.json --data rows.npz --out out.npz", await: asking, writes: "out.npz", broken: "--config fail.json"},
	"run":            {args: "slow.yaml --out run " + pauseSpec, await: "detector ", resume: "--out run --resume", broken: failSpec},
	"runs list":      {why: noWork},
	"runs compare":   {args: "run run", why: noWork},
	"schema":         {why: noWork},
	"serve":          {args: "guard --http 127.0.0.1:0 --grpc off --admin off", await: "ready", broken: "--set models[0].classifier=[config.fail_after=-1]", clean: true},
	"serve demo":     {args: "--cache cache --http off --grpc 127.0.0.1:0 --admin 127.0.0.1:0", await: "detector ", resume: "--cache cache --grpc 127.0.0.1:0 --http off", why: "its model is its own; serve has the case"},
	"summary":        {args: "slow.yaml", why: noWork},
	"train":          {args: "slow.yaml --out other " + pauseSpec, await: "detector ", resume: "--out other --resume", writes: "other", broken: failSpec},
	"version":        {why: noWork},
}

// stuck is a verb that does not hear of an interrupt.
func stuck() cli.Verb {
	return cli.Verb{Name: "stuck", Short: "Never end", Run: func(_ context.Context, e *cli.Env, _ []string) error {
		fmt.Fprintln(e.Stdout, "stuck")
		time.Sleep(time.Hour)
		return nil
	}}
}

// slowWorld has the plugin slow, and a detector of it.
func slowWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, map[string]string{"slow.yaml": slowSpec, "grid.yaml": slowGrid,
		"pause.json": `{"pause_ms": 500}`, "fail.json": `{"fail_after": -1}`})
	exe, err := os.Executable()
	for _, name := range []string{"slow", "late", "broken"} {
		if err == nil {
			err = os.Symlink(exe, w.path(name))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	w.must(0, "train", "slow.yaml", "--out", "guard", "--quiet")
	w.must(0, "train", "slow.yaml", "--out", "votes", "--quiet", "--set", "detector={method: smoothed, sigma: 0.1, votes: 20, data_type: tabular}", "--set", "vae.encoder[1]={dense: {units: 4}}")
	w.must(0, "attack", "guard", "--attack", "fgsm", "--out", "rows.npz", "--quiet")
	w.must(0, "detect", "guard", "--data", "rows.npz", "--out", "parts", "--shard", "0/1", "--quiet")
	return w
}

// TestVerbsOnTerminal interrupts each verb on a terminal, by Ctrl-C and by
// SIGTERM, and breaks the model while it works: each ends, says why in a word on
// a line of its own, and leaves nothing half-written.
func TestVerbsOnTerminal(t *testing.T) {
	for _, name := range verbs(t) {
		if _, ok := interrupts[name]; !ok {
			t.Errorf("no case for the verb %s", name)
		}
	}
	w := slowWorld(t)
	for _, name := range slices.Sorted(maps.Keys(interrupts)) {
		if testing.Short() && !slices.Contains([]string{"detect", "run", "serve"}, name) { // those at which most is at work
			continue
		}
		c := interrupts[name]
		for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
			t.Run(name+" "+signal.String(), func(t *testing.T) {
				before := w.files()
				p := w.onTerminal(t, append(strings.Fields(name), strings.Fields(c.args)...)...)
				switch c.await {
				case atOnce:
				case asking:
					for end := time.Now().Add(patience); len(w.plugins(p.program)) == 0 && time.Now().Before(end); {
						time.Sleep(5 * time.Millisecond)
					}
				default:
					p.await(c.await)
				}
				p.interrupt(signal)
				code, killed := p.end()
				w.settled(t, c.writes, code == 0)
				if c.await == atOnce && (code == 0 || killed == signal) { // before it listened, or after it was done
					return
				}
				if c.clean {
					if code != cli.ExitDone || strings.Contains(p.text(), "interrupted") || strings.Contains(p.text(), "[ERROR]") {
						t.Errorf("exit code %d, want %d:\n%s", code, cli.ExitDone, p.text())
					}
					w.forget(before)
					return
				}
				if code != cli.ExitInterrupted {
					t.Fatalf("exit code %d, want %d:\n%s", code, cli.ExitInterrupted, p.text())
				}
				checkInterrupted(t, p.text(), name, c.resume)
				for path := range w.files() {
					if !before[path] && c.resume == "" {
						t.Errorf("%s is left", path)
					}
				}
				w.forget(before)
			})
		}
		t.Run(name+" broken", func(t *testing.T) {
			if (c.broken == "") == (c.why == "") {
				t.Fatal("want what breaks it, or why nothing does")
			}
			if c.broken == "" {
				return
			}
			before := w.files()
			args := strings.NewReplacer(pause, "", pauseSpec, "", lateInit, "", lateSpec, "", "--config pause.json", "").Replace(c.args)
			p := w.onTerminal(t, append(strings.Fields(name), strings.Fields(args+" "+c.broken)...)...)
			code, _ := p.end()
			if code != cli.ExitFailed && code != cli.ExitPlugin {
				t.Errorf("exit code %d:\n%s", code, p.text())
			}
			text := p.text()
			at := strings.Index(text, errBroken.Error())
			if line := strings.LastIndexAny(text[:max(0, at)], "\r\n"); at < 0 || line >= 0 && text[line] == '\r' {
				t.Errorf("want the cause on a line of its own:\n%s", text)
			}
			w.settled(t, c.writes, false)
			w.forget(before)
		})
	}
}

// checkInterrupted looks at the last words of an interrupted verb.
func checkInterrupted(t *testing.T, text, verb, resume string) {
	t.Helper()
	last := text[max(0, strings.LastIndex(text, "vaeguard: interrupted")):]
	switch {
	case resume == "" && last == "vaeguard: interrupted\n":
	case resume != "" && regexp.MustCompile(`^vaeguard: interrupted; what was done is saved\. Resume with:\n  vaeguard `+verb+` .*`+regexp.QuoteMeta(resume)+"\n$").MatchString(last):
	default:
		t.Errorf("want a word, and a command that ends with %q:\n%s", resume, text)
	}
	for _, noise := range []string{"context canceled", "goroutine ", "panic"} {
		if strings.Contains(text, noise) {
			t.Errorf("it shows %q:\n%s", noise, text)
		}
	}
}

// settled wants no process left, no socket, no temporary file, and no output
// unless the work was done.
func (w *world) settled(t *testing.T, writes string, done bool) {
	t.Helper()
	if !w.gone() || len(w.sockets()) > 0 {
		t.Errorf("left: %v, %v", w.processes(), w.sockets())
	}
	if left := w.temporary(); len(left) > 0 {
		t.Errorf("temporary files are left: %v", left)
	}
	if _, err := os.Stat(w.path(writes)); writes != "" && err == nil && !done {
		t.Errorf("%s is there", writes)
	}
}

// forget removes what was not there before.
func (w *world) forget(before map[string]bool) {
	w.t.Helper()
	for path := range w.files() {
		if !before[path] {
			if err := os.RemoveAll(path); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// verbs are the shipped verbs, with those of groups: plugin list.
func verbs(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, name := range helpVerbs(t) {
		inner := helpVerbs(t, name)
		if len(inner) == 0 || name == "new" { // one of its verbs is enough
			inner = []string{""}
		}
		for _, sub := range inner {
			out = append(out, strings.TrimSpace(name+" "+sub))
		}
	}
	if !slices.Contains(out, "plugin check") {
		t.Fatalf("only %v", out)
	}
	return out
}

// helpVerbs are the verbs that the help of a group lists.
func helpVerbs(t *testing.T, group ...string) []string {
	t.Helper()
	var help bytes.Buffer
	if code := cli.Run(t.Context(), builtin.Components(), append(group, "--help"), nil, &help, os.Stderr); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	_, list, _ := strings.Cut(help.String(), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var out []string
	for line := range strings.Lines(list) {
		if name := strings.Fields(line)[0]; name != "help" && name != "completion" { // cobra's
			out = append(out, name)
		}
	}
	return out
}

// A verb that does not end is ended by a second Ctrl-C, and its user is told so.
func TestSecondInterrupt(t *testing.T) {
	w := newWorld(t, nil)
	p := w.onTerminal(t, "stuck")
	p.await("stuck\n")
	p.interrupt(syscall.SIGINT)
	p.await("stopping; a second Ctrl-C ends at once\n")
	p.interrupt(syscall.SIGINT)
	if code, signal := p.end(); signal != syscall.SIGINT {
		t.Errorf("exit code %d, signal %v, want it ended by the signal", code, signal)
	}
}
