package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/cli"
)

// vaeguard runs a command line and gives its standard output.
func vaeguard(t *testing.T, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := cli.Run(t.Context(), builtin.Components(), args, nil, &out, &errs); got != code {
		t.Fatalf("vaeguard %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out.String(), errs.String())
	}
	return out.String(), errs.String()
}

func place(t *testing.T, file string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, mode); err != nil {
		t.Fatal(err)
	}
}

// TestPack: a packed detector of each kind of classifier gives verdicts of the
// same bytes elsewhere, when its original is gone, as a file and as a folder;
// the same detector gives the same pack, and nothing in it names where it was.
func TestPack(t *testing.T) {
	for name, kind := range packKinds {
		t.Run(name, func(t *testing.T) {
			if kind.slow && testing.Short() {
				t.Skip("builds a program, or starts Python")
			}
			home := filepath.Join(t.TempDir(), "original-place")
			here := t.TempDir()
			text := packSpec
			reshape, last := "", ""
			if name == "cnn" {
				reshape, last = ", reshape: [8, 8, 1]", ", {reshape: {target_shape: [8, 8, 1]}}"
			}
			for old, with := range map[string]string{"CLASSIFIER": kind.make(t, home), " RESHAPE": reshape, " LAST": last} {
				text = strings.ReplaceAll(text, old, with)
			}
			place(t, filepath.Join(home, "spec.yaml"), []byte(text), 0o644)
			guard := filepath.Join(home, "out", "guard")
			vaeguard(t, 0, "train", filepath.Join(home, "spec.yaml"), "--out", guard, "--quiet")
			meta, err := os.ReadFile(filepath.Join(guard, "meta.json"))
			if err != nil || bytes.Contains(meta, []byte("original-place")) || !bytes.Contains(meta, []byte(`"base": "../.."`)) {
				t.Errorf("meta.json, %v:\n%s", err, meta)
			}
			rows := filepath.Join(here, "rows.npz")
			writeRows(t, rows, name == "cnn")
			want, _ := vaeguard(t, 0, "detect", guard, "--data", rows, "--include", "probabilities")

			file, folder := filepath.Join(here, "a.vg"), filepath.Join(here, "b")+string(filepath.Separator)
			said, errs := vaeguard(t, 0, "pack", guard, "--out", file)
			vaeguard(t, 0, "pack", guard, "--out", filepath.Join(here, "again.vg"))
			vaeguard(t, 0, "pack", guard, "--out", folder)
			if kind.needs == "" && strings.Contains(said, "needs") || !strings.Contains(said, kind.needs) {
				t.Errorf("needs %q, said:\n%s", kind.needs, said)
			}
			a, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := os.ReadFile(filepath.Join(here, "again.vg")); err != nil || !bytes.Equal(a, b) {
				t.Errorf("packed again it has other bytes: %v", err)
			}
			if bytes.Contains(a, []byte("original-place")) {
				t.Error("the pack names where it was")
			}
			if err := os.RemoveAll(filepath.Dir(home)); err != nil {
				t.Fatal(err)
			}
			t.Setenv("VAEGUARD_PLUGIN_DIR", "")
			moved := filepath.Join(t.TempDir(), "far", "moved.vg")
			if err := os.MkdirAll(filepath.Dir(moved), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(file, moved); err != nil {
				t.Fatal(err)
			}
			absolute := strings.Contains(errs, "its digest is no longer")
			if absolute != strings.Contains(name, "absolute") {
				t.Errorf("absolute paths: %v\n%s", absolute, errs)
			}
			// What it runs, and the server that it asks, is the packer's, and its next user's to allow.
			server := name == "server"
			if server {
				vaeguard(t, 0, "detect", moved, "--data", rows)
			}
			t.Setenv("XDG_STATE_HOME", t.TempDir())
			var allow []string
			if _, digest, runs := strings.Cut(said, "--allow-command "); runs {
				allow = []string{"--allow-command", strings.TrimSpace(digest)}
				if _, errs := vaeguard(t, 4, "detect", moved, "--data", rows); !strings.Contains(errs, allow[1]) {
					t.Errorf("not allowed, it says %q", errs)
				}
			}
			if shipped := !kind.slow && !server; shipped != (allow == nil) {
				t.Errorf("a digest to allow: %q", allow)
			}
			for _, p := range []string{moved, folder} {
				got, _ := vaeguard(t, 0, append([]string{"detect", p, "--data", rows, "--include", "probabilities"}, allow...)...)
				if absolute { // the digest of the detector alone is another
					got, want = withoutDigest(got), withoutDigest(want)
				}
				if got != want {
					t.Errorf("%s: other verdicts:\n%s\nwant\n%s", p, got, want)
				}
			}
			// Places of the spec itself may still be given: those of the pack do not depend on them.
			if got, _ := vaeguard(t, 0, append([]string{"detect", moved, "--data", rows, "--include", "probabilities", "--base", here}, allow...)...); absolute && withoutDigest(got) != want || !absolute && got != want {
				t.Errorf("with --base: other verdicts:\n%s", got)
			}
			// A pack is packed again to the same bytes.
			vaeguard(t, 0, append([]string{"pack", folder, "--out", filepath.Join(here, "third.vg")}, allow...)...)
			if b, err := os.ReadFile(filepath.Join(here, "third.vg")); err != nil || !bytes.Equal(a, b) {
				t.Errorf("the pack, packed again, has other bytes: %v", err)
			}
			if left, err := pack.Extract(moved, t.TempDir()); err != nil {
				t.Errorf("%v: %+v", err, left)
			}
		})
	}
}

func withoutDigest(s string) string {
	before, after, ok := strings.Cut(s, `"detector":"sha256:`)
	if !ok {
		return s
	}
	return before + after[64:]
}
