package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/evaluate/report"
)

// A program with a section of its own has it in the reports of its command line.
func TestOwnReportSection(t *testing.T) {
	c := builtin.Components()
	c.Sections = []report.Section{{ID: "own", Heading: "Our own", Template: `<p>{{.}} rows.</p>`,
		Data: func(p *report.Page) (any, bool) { return p.Report.Clean.N, true }}}
	out := filepath.Join(t.TempDir(), "run")
	args := []string{"run", filepath.Join(scripts, "guard.yaml"), "--out", out, "--quiet",
		"--set", "train.epochs=1", "--set", "classifier.train.epochs=1", "--set", "attacks=[{noise: {eps: 0.1}}]"}
	if code := cli.Run(context.Background(), c, args, nil, io.Discard, os.Stderr); code != 0 {
		t.Fatalf("exit status %d", code)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte("<h2>Our own</h2>\n<p>269 rows.</p>"); !bytes.Contains(page, want) {
		t.Errorf("the report lacks %s", want)
	}
}
