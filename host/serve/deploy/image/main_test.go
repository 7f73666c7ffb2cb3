package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// build makes a small program for Linux.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "program")
	c := exec.Command("go", "build", "-ldflags=-s -w", "-o", program, source)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func read(t *testing.T, path ...string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// blob reads what a descriptor points to, and checks its digest and size.
func blob(t *testing.T, layout string, d descriptor, kind string) []byte {
	t.Helper()
	data := read(t, layout, "blobs", strings.ReplaceAll(d.Digest, ":", "/"))
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(data)); got != d.Digest || len(data) != d.Size || d.MediaType != kind {
		t.Errorf("%s of %d bytes, %s: the descriptor says %+v", got, len(data), kind, d)
	}
	return data
}

func decode[T any](t *testing.T, data []byte) (v T) {
	t.Helper()
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestLayout reads an image as a runtime does: by digests, from the index down.
func TestLayout(t *testing.T) {
	program, out := build(t), filepath.Join(t.TempDir(), "image")
	root := filepath.Join(t.TempDir(), "root")
	if err := write(program, "../../../..", out, root, "guard"); err != nil {
		t.Fatal(err)
	}
	index := decode[manifest](t, read(t, out, "index.json"))
	if len(index.Manifests) != 1 || index.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "guard" || index.Manifests[0].Platform.Architecture != "arm64" {
		t.Fatalf("index %+v", index)
	}
	m := decode[manifest](t, blob(t, out, index.Manifests[0], manifestType))
	c := decode[config](t, blob(t, out, *m.Config, configType))
	if c.Architecture != "arm64" || c.OS != "linux" || c.Config.User != "65532:65532" {
		t.Errorf("config %+v", c)
	}
	z, err := gzip.NewReader(bytes.NewReader(blob(t, out, m.Layers[0], layerType)))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(plain)); len(c.RootFS.DiffIDs) != 1 || got != c.RootFS.DiffIDs[0] {
		t.Errorf("the layer is %s, the config says %v", got, c.RootFS.DiffIDs)
	}
	modes := map[string]int64{}
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		modes[h.Name] = h.Mode
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && !bytes.Equal(data, read(t, root, h.Name)) {
			t.Errorf("%s is another file in the folder", h.Name)
		}
	}
	want := map[string]int64{"licenses/": 0o755, "licenses/LICENSE": 0o644, "licenses/NOTICE": 0o644, "mnt/": 0o755, "mnt/models/": 0o755, "tmp/": 0o1777, "vaeguard": 0o755}
	if !reflect.DeepEqual(modes, want) {
		t.Errorf("the layer has %v, want %v", modes, want)
	}

	again := filepath.Join(t.TempDir(), "image")
	if err := write(program, "../../../..", again, "", "guard"); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, out, "index.json"), read(t, again, "index.json")) {
		t.Error("the same files gave other bytes")
	}
	if err := write(program, "../../../..", again, "", "guard"); !errors.Is(err, os.ErrExist) {
		t.Errorf("over a layout that is there: %v", err)
	}
}

// TestDockerfile: both ways give an image that starts alike.
func TestDockerfile(t *testing.T) {
	text := string(read(t, "..", "Dockerfile"))
	last := text[strings.LastIndex(text, "\nFROM "):]
	list := func(word string) (v []string) {
		found := regexp.MustCompile(`(?m)^` + word + ` (\[.*\])$`).FindStringSubmatch(last)
		if found == nil {
			t.Fatalf("the Dockerfile has no %s", word)
		}
		return decode[[]string](t, []byte(found[1]))
	}
	if got := list("CMD"); !reflect.DeepEqual(got, command()) {
		t.Errorf("CMD %v, want %v", got, command())
	}
	if got := list("ENTRYPOINT"); !reflect.DeepEqual(got, []string{"/vaeguard"}) {
		t.Errorf("ENTRYPOINT %v", got)
	}
	for _, line := range []string{"FROM scratch", fmt.Sprintf("USER %d:%d", user, user), "ENV TMPDIR=/tmp", "EXPOSE 8080 9000 9090"} {
		if !strings.Contains(last, "\n"+line+"\n") {
			t.Errorf("its last stage has no line %q", line)
		}
	}
}

// TestRefused: what no image can be made of.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := write(script, "../../../..", filepath.Join(dir, "image"), "", "guard"); err == nil || !strings.Contains(err.Error(), "no program for Linux") {
		t.Errorf("a script: %v", err)
	}
	if err := write(build(t), dir, filepath.Join(dir, "image"), "", "guard"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without licences: %v", err)
	}
}
