package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/launch"
)

// forge is a copy of a detector with another section classifier, all digests made
// anew: what whoever hands over a detector can do.
func forge(t *testing.T, guard, classifier, base string) string {
	t.Helper()
	saved, err := artifact.Load(guard)
	if err != nil {
		t.Fatal(err)
	}
	section := regexp.MustCompile(`(?m)^classifier:\n(?:[ ]+.*\n)*`)
	if len(section.FindAll(saved.Spec, -1)) != 1 {
		t.Fatalf("no section classifier in\n%s", saved.Spec)
	}
	saved.Spec = section.ReplaceAllLiteral(saved.Spec, []byte("classifier: {"+classifier+"}\n"))
	saved.Meta.Base = base
	out := filepath.Join(t.TempDir(), "forged")
	if err := artifact.Save(out, saved, false); err != nil {
		t.Fatal(err)
	}
	return out
}

const markPlugin = "name: model\nversion: 1.0.0\ncommand: [./run.sh]\n"

// markFolder is a plugin's folder in dir that leaves the mark ran there and ends.
func markFolder(t *testing.T, dir string) {
	t.Helper()
	place(t, filepath.Join(dir, "model", "plugin.yaml"), []byte(markPlugin), 0o644)
	place(t, filepath.Join(dir, "model", "run.sh"), []byte("#!/bin/sh\necho ran > ../ran\nexit 3\n"), 0o755)
}

// TestDetectorNamesCode: opening a detector starts nothing that its author chose,
// by any verb, and nothing that its author wrote allows it.
func TestDetectorNamesCode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the plugins are scripts")
	}
	home := t.TempDir()
	guard, rows := oneDetector(t, home), filepath.Join(t.TempDir(), "rows.npz")
	writeRows(t, rows, false)
	mark := filepath.Join(t.TempDir(), "ran")
	forged := forge(t, guard, `command: [sh, -c, "echo ran > `+mark+`; exit 3"]`, "")
	vaeguard(t, 0, "inspect", forged)
	out := filepath.Join(t.TempDir(), "out")
	for _, args := range [][]string{
		{"detect", forged, "--data", rows},
		{"evaluate", forged, "--data", rows, "--labels", rows, "--out", out},
		{"attack", forged, "--attack", "fgsm", "--data", rows, "--out", out},
		{"calibrate", forged, "--data", rows},
		{"pack", forge(t, guard, `command: [sh, -c, "echo ran > `+mark+`"], config: {a: b}`, ""), "--out", out + ".vg"},
	} {
		_, errs := vaeguard(t, 4, args...)
		for _, want := range []string{"you have not allowed", `"sh" "-c" "echo ran > `, "--allow-command sha256:"} {
			if !strings.Contains(errs, want) {
				t.Errorf("%s: no %q in %s", args[0], want, errs)
			}
		}
	}
	if _, err := host.Open(forged, builtin.Components()); err == nil {
		t.Error("host.Open opened it")
	}
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("it ran")
	}

	// A lock beside it, or where its meta.json says, or in its pack, allows nothing.
	dir := t.TempDir()
	markFolder(t, dir)
	lock := filepath.Join(dir, launch.LockName)
	vaeguard(t, 0, "plugin", "lock", filepath.Join(dir, "model"), "--file", lock)
	locked := forge(t, guard, "path: ./model", dir)
	packed := filepath.Join(t.TempDir(), "locked.vg")
	said, _ := vaeguard(t, 0, "pack", locked, "--base", dir, "--out", packed)
	if !strings.Contains(said, "--allow-command sha256:") {
		t.Errorf("packed, it says %s", said)
	}
	for _, args := range [][]string{
		{locked},
		{locked, "--base", dir},
		{packed},
		{locked, "--allow-command", "sha256:" + strings.Repeat("0", 64)},
		{locked, "--lock", filepath.Join(dir, "nowhere")},
	} {
		if _, errs := vaeguard(t, 4, append([]string{"detect", "--data", rows}, args...)...); !strings.Contains(errs, "not allowed") {
			t.Errorf("%q: %s", args, errs)
		}
	}
	ran := func() bool { return os.Remove(filepath.Join(dir, "ran")) == nil }
	if ran() {
		t.Fatal("it ran")
	}

	// The caller's own word does.
	_, errs := vaeguard(t, 4, "detect", locked, "--data", rows)
	_, digest, _ := strings.Cut(errs, "--allow-command ")
	digest, _, _ = strings.Cut(digest, ",")
	for _, args := range [][]string{
		{"--allow-command", digest}, {"--lock", lock}, {"--classifier", "path=" + filepath.Join(dir, "model")},
	} {
		if _, errs := vaeguard(t, 4, append([]string{"detect", locked, "--data", rows}, args...)...); !strings.Contains(errs, "exit status 3") || !ran() {
			t.Errorf("%q: did not run: %s", args, errs)
		}
	}

	// What was allowed is that, and nothing in its place.
	place(t, filepath.Join(dir, "model", "plugin.yaml"), []byte(strings.Replace(markPlugin, "run.sh", "evil.sh", 1)), 0o644)
	place(t, filepath.Join(dir, "model", "evil.sh"), []byte("#!/bin/sh\necho ran > ../ran\n"), 0o755)
	if _, errs := vaeguard(t, 4, "detect", locked, "--data", rows, "--lock", lock, "--allow-command", digest); !strings.Contains(errs, `not allowed: "./evil.sh"`) || ran() {
		t.Errorf("another program in its place: %s", errs)
	}
}

// TestUsersList: what a training started opens again without a word, a script in its
// own folder alone, and a list that others may write is not believed.
func TestUsersList(t *testing.T) {
	state, home := t.TempDir(), t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	pythonFolder(t, filepath.Join(home, "plug"))
	text := strings.NewReplacer("CLASSIFIER", "{path: plug}", " RESHAPE", "", " LAST", "").Replace(packSpec)
	place(t, filepath.Join(home, "spec.yaml"), []byte(text), 0o644)
	guard, rows := filepath.Join(home, "guard"), filepath.Join(home, "rows.npz")
	writeRows(t, rows, false)
	vaeguard(t, 0, "train", filepath.Join(home, "spec.yaml"), "--out", guard, "--quiet")
	list := filepath.Join(state, "vaeguard", "allowed.lock")
	before, err := os.ReadFile(list)
	if err != nil || strings.Count(string(before), "\n") != 1 || !strings.Contains(string(before), `"python3" "model.py"`) {
		t.Fatalf("list %q, %v", before, err)
	}
	vaeguard(t, 0, "detect", guard, "--data", rows)
	vaeguard(t, 0, "train", filepath.Join(home, "spec.yaml"), "--out", filepath.Join(home, "again"), "--quiet")
	if after, err := os.ReadFile(list); err != nil || string(after) != string(before) {
		t.Errorf("twice the same: %q, %v", after, err)
	}
	// The same script elsewhere reads other files.
	moved := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Rename(home, moved); err != nil {
		t.Fatal(err)
	}
	guard, rows = filepath.Join(moved, "guard"), filepath.Join(moved, "rows.npz")
	if _, errs := vaeguard(t, 4, "detect", guard, "--data", rows); !strings.Contains(errs, "not allowed") {
		t.Errorf("elsewhere: %s", errs)
	}
	if err := os.Rename(moved, home); err != nil {
		t.Fatal(err)
	}
	guard, rows = filepath.Join(home, "guard"), filepath.Join(home, "rows.npz")
	// A module that the script would import instead of the installed one.
	evil := filepath.Join(home, "plug", "numpy.py")
	place(t, evil, []byte("raise SystemExit(5)\n"), 0o644)
	if _, errs := vaeguard(t, 4, "detect", guard, "--data", rows); !strings.Contains(errs, "not allowed") {
		t.Errorf("another module: %s", errs)
	}
	if err := os.Remove(evil); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(list, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, errs := vaeguard(t, 4, "detect", guard, "--data", rows); !strings.Contains(errs, "is not believed") {
		t.Errorf("others may write the list: %s", errs)
	}
}
