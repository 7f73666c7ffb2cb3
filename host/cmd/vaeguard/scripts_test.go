package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const scripts = "../../cli/testdata"

// TestScripts runs host/cli/testdata/*.txtar. Each script starts with
// guard.yaml, with a detector made from it in guard/, and with
// adv.npz, PGD against its classifier on the test rows.
func TestScripts(t *testing.T) {
	ready := sync.OnceValues(func() (string, error) { return prepare(t.TempDir()) })
	clitest.Run(t, scripts, []string{filepath.Join(scripts, "guard.yaml")}, func(e *testscript.Env) error {
		dir, err := ready()
		if err != nil {
			return err
		}
		return os.CopyFS(e.WorkDir, os.DirFS(dir))
	})
}

// prepare fills a folder with what the scripts share.
func prepare(dir string) (string, error) {
	spec := filepath.Join(scripts, "guard.yaml")
	adv := filepath.Join(dir, "adv.npz")
	for _, args := range [][]string{
		{"train", spec, "--out", filepath.Join(dir, "guard"), "--quiet"},
		{"attack", filepath.Join(dir, "guard"), "--attack", "pgd", "--set", "eps=0.3", "--out", adv, "--quiet"},
	} {
		if code := cli.Run(context.Background(), builtin.Components(), args, nil, io.Discard, os.Stderr); code != 0 {
			return "", fmt.Errorf("%v: exit status %d", args, code)
		}
	}
	return dir, mix(adv, filepath.Join(dir, "mix.npz"))
}

// mix writes a batch of which 80 rows are clean and 20 adversarial.
func mix(adv, out string) error {
	var parts [2]*tensor.Tensor
	for i, key := range []string{"x", "x_adv"} {
		d, err := dataset.Read(adv+":"+key, builtin.Components().Formats, dataset.StreamOptions{})
		if err != nil {
			return err
		}
		parts[i] = d.X
	}
	x := tensor.Batch(100, parts[0].Example())
	for i := range 100 {
		copy(x.Row(i), parts[i/80].Row(i))
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	if err := dataset.WriteNPZ(f, []dataset.Array{{Name: "x", Shape: x.Shape, Data: x.Data}}); err != nil {
		return err
	}
	return f.Close()
}

// TestVerbsHaveScripts: each verb is run by a script, with what it prints.
func TestVerbsHaveScripts(t *testing.T) {
	var help bytes.Buffer
	if code := cli.Run(t.Context(), builtin.Components(), []string{"--help"}, nil, &help, os.Stderr); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	_, verbs, _ := strings.Cut(help.String(), "Available Commands:\n")
	verbs, _, _ = strings.Cut(verbs, "\n\n")
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var text []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text = append(text, b...)
	}
	n := 0
	for line := range strings.Lines(verbs) {
		name := strings.Fields(line)[0]
		if name == "help" || name == "completion" { // cobra's
			continue
		}
		n++
		if !regexp.MustCompile(`(?m)exec vaeguard ` + name + `( |$)`).Match(text) {
			t.Errorf("no script runs vaeguard %s", name)
		}
	}
	if n < 15 {
		t.Errorf("only %d verbs in:\n%s", n, help.String())
	}
}
