package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/launch"
)

// oneDetector trains a detector around an MLP whose weights are in a file beside
// the spec, and gives its folder.
func oneDetector(t *testing.T, home string) string {
	t.Helper()
	text := strings.NewReplacer("CLASSIFIER", packKinds["mlp of a file"].make(t, home), " RESHAPE", "", " LAST", "").Replace(packSpec)
	place(t, filepath.Join(home, "spec.yaml"), []byte(text), 0o644)
	guard := filepath.Join(home, "guard")
	vaeguard(t, 0, "train", filepath.Join(home, "spec.yaml"), "--out", guard, "--quiet")
	return guard
}

// TestOldBase: a detector of an earlier version, with an absolute base, opens with
// a notice; calibrated or packed it has none.
func TestOldBase(t *testing.T) {
	home := filepath.Join(t.TempDir(), "original-place")
	guard, old := oneDetector(t, home), filepath.Join(t.TempDir(), "old")
	rows := filepath.Join(t.TempDir(), "rows.npz")
	writeRows(t, rows, false)
	want, _ := vaeguard(t, 0, "detect", guard, "--data", rows)
	saved, err := artifact.Load(guard)
	if err != nil {
		t.Fatal(err)
	}
	saved.Meta.Base = home
	if err := artifact.Save(old, saved, false); err != nil {
		t.Fatal(err)
	}
	// A base that meta.json names anywhere is not believed without a word of the user's.
	_, refused := vaeguard(t, 4, "detect", old, "--data", rows)
	_, digest, _ := strings.Cut(refused, "--allow-command ")
	digest, _, _ = strings.Cut(digest, ",")
	got, errs := vaeguard(t, 0, "detect", old, "--data", rows, "--allow-command", digest)
	if withoutDigest(got) != withoutDigest(want) || !strings.Contains(errs, "saved by an earlier version") {
		t.Errorf("notice %q, verdicts\n%s\nwant\n%s", errs, got, want)
	}
	newer, packed := filepath.Join(home, "newer"), filepath.Join(t.TempDir(), "p")+string(filepath.Separator)
	vaeguard(t, 0, "calibrate", old, "--value", "1", "--out", newer, "--allow-command", digest)
	vaeguard(t, 0, "pack", old, "--out", packed, "--allow-command", digest)
	for _, dir := range []string{newer, filepath.Join(packed, "detector")} {
		d, err := artifact.Load(dir)
		if err != nil || filepath.IsAbs(d.Meta.Base) {
			t.Errorf("%s: base %q, %v", dir, d.Meta.Base, err)
		}
	}
	if _, errs := vaeguard(t, 0, "detect", newer, "--data", rows); errs != "" {
		t.Errorf("the newer one: %s", errs)
	}
	// Where the base is a link's, it is found all the same.
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(guard, link); err != nil {
		t.Fatal(err)
	}
	if got, _ := vaeguard(t, 0, "detect", link, "--data", rows); got != want {
		t.Errorf("through a link:\n%s", got)
	}
}

// TestPackFolder: what is packed of a plugin's folder, and what is not.
func TestPackFolder(t *testing.T) {
	guard := oneDetector(t, t.TempDir())
	plug := filepath.Join(t.TempDir(), "plug")
	for _, f := range []string{"plugin.yaml", "run", "deep/er/file", ".venv/bin/x", "__pycache__/x", "old.vg", "vaeguard.lock", "a/run/spec.yaml", "a/run/events.jsonl"} {
		place(t, filepath.Join(plug, filepath.FromSlash(f)), []byte("name: plug\nversion: 1.0.0\ncommand: [./run]\nconfig: {}\n"), 0o755)
	}
	place(t, filepath.Join(plug, "vaeguard.lock"), []byte("{}"), 0o644)
	if err := os.Symlink("run", filepath.Join(plug, "alias")); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(plug, "a", "guard"), os.DirFS(guard)); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(plug, "itself") + string(filepath.Separator)
	said, errs := vaeguard(t, 0, "pack", guard, "--classifier", "path="+plug, "--out", out)
	var names []string
	if err := filepath.WalkDir(filepath.Join(out, "plugin"), func(name string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(out, name)
			names = append(names, filepath.ToSlash(rel))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(names, " "), "plugin/alias plugin/deep/er/file plugin/plugin.yaml plugin/run"; got != want {
		t.Errorf("packed %s, want %s", got, want)
	}
	for _, name := range []string{".venv", "__pycache__", "old.vg", "vaeguard.lock", "a/run", "a/guard"} {
		if !strings.Contains(errs, `"`+name+`"`) {
			t.Errorf("left out, but not told: %s\n%s", name, errs)
		}
	}
	if info, err := os.Lstat(filepath.Join(out, "plugin", "alias")); err != nil || !info.Mode().IsRegular() || info.Mode().Perm() != 0o755 {
		t.Errorf("alias: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(out, launch.LockName)); !os.IsNotExist(err) || !strings.Contains(said, "--allow-command sha256:") {
		t.Errorf("a lock in the pack: %v; it said %s", err, said)
	}
	if err := os.Symlink("/etc/hostname", filepath.Join(plug, "outside")); err != nil {
		t.Fatal(err)
	}
	if _, errs := vaeguard(t, 1, "pack", guard, "--classifier", "path="+plug, "--out", filepath.Join(t.TempDir(), "x.vg")); !strings.Contains(errs, "link out of the folder") {
		t.Errorf("a link that leaves: %s", errs)
	}
}

// TestPackKeepsKeys: a client's key stays; authorities travel; other values that
// were given at packing last.
func TestPackKeepsKeys(t *testing.T) {
	guard, dir := oneDetector(t, t.TempDir()), t.TempDir()
	for _, name := range []string{"key.pem", "cert.pem", "ca.pem"} {
		place(t, filepath.Join(dir, name), []byte("this is "+name), 0o600)
	}
	t.Chdir(dir)
	out, errs := vaeguard(t, 0, "pack", guard, "--out", "p/", "--classifier", "plugin=oip", "--classifier",
		"config={url: 'https://example.com:8443', model: m, ca_file: ca.pem, cert_file: cert.pem, key_file: key.pem}")
	for _, want := range []string{"needs       the server https://example.com:8443", "--classifier config.key_file=FILE", "--classifier config.cert_file=FILE"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if !strings.Contains(errs, "its digest is no longer") {
		t.Errorf("said %q", errs)
	}
	text, err := os.ReadFile("p/detector/detector.yaml")
	if err != nil || !bytes.Contains(text, []byte("plugin: oip")) || bytes.Contains(text, []byte(dir)) {
		t.Errorf("%v\n%s", err, text)
	}
	if b, err := os.ReadFile("p/files/ca_file/ca.pem"); err != nil || string(b) != "this is ca.pem" {
		t.Errorf("ca.pem: %q, %v", b, err)
	}
	if found, _ := filepath.Glob("p/files/*/*"); len(found) != 1 {
		t.Errorf("files %q", found)
	}
	out, _ = vaeguard(t, 0, "inspect", "p")
	if !strings.Contains(out, "needs       the server") {
		t.Errorf("inspect says\n%s", out)
	}
}
