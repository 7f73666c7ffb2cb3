// Package docs_test runs what the pages of the site say.
package docs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

// asVaeguard makes this test binary the program vaeguard.
const asVaeguard = "VAEGUARD_DOCS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asVaeguard) == "1" {
		cli.Main(builtin.Components())
		return
	}
	builtin.ServeIfPlugin()
	os.Exit(m.Run())
}

// block is a fenced block of a page.
var block = regexp.MustCompile("(?ms)^```(\\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$")

// installs are the lines that this test's environment stands for.
var installs = regexp.MustCompile(`^(pip install|go install) `)

// environment is a folder with the page's programs: vaeguard, which is this binary,
// and python.
func environment(t *testing.T) []string {
	t.Helper()
	bin := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	packages, err := filepath.Abs("../../sdk/python")
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\n" + asVaeguard + "=1 exec " + self + " \"$@\"\n"
	if err := os.WriteFile(filepath.Join(bin, "vaeguard"), []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	if python := os.Getenv("VAEGUARD_PYTHON"); python != "" {
		err = os.Symlink(python, filepath.Join(bin, "python"))
	} else if python, found := exec.LookPath("/usr/bin/python3"); found == nil {
		err = os.Symlink(python, filepath.Join(bin, "python"))
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"),
		"PYTHONPATH="+packages, "PYTHONDONTWRITEBYTECODE=1", "VAEGUARD_BINARY="+filepath.Join(bin, "vaeguard"), "HOME="+bin)
}

// TestTutorials follows each tutorial in an empty folder, word for word: its files are
// written, its commands run in order, and each must succeed.
func TestTutorials(t *testing.T) {
	pages, err := filepath.Glob("pages/tutorials/*.md")
	if err != nil || len(pages) != 4 {
		t.Fatalf("%v, %v; want four tutorials", pages, err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("trains guards")
			}
			text, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			if name == "torch" {
				if err := exec.Command("/usr/bin/python3", "-c", "import numpy, sklearn, torch").Run(); err != nil {
					if os.Getenv("VAEGUARD_PYTHON_TESTS") == "1" {
						t.Fatal("there is no Python with torch and scikit-learn")
					}
					t.Skip("there is no Python with torch and scikit-learn")
				}
			}
			env, dir, ran, began := environment(t), t.TempDir(), 0, time.Now()
			for _, m := range block.FindAllStringSubmatch(string(text), -1) {
				kind, title, body := m[1], m[2], m[3]
				switch {
				case title != "":
					if err := os.WriteFile(filepath.Join(dir, title), []byte(body), 0o600); err != nil {
						t.Fatal(err)
					}
				case kind == "go":
					compiles(t, dir, body)
					ran++
				case kind == "sh":
					for line := range strings.SplitSeq(strings.TrimSpace(body), "\n") {
						if installs.MatchString(line) {
							continue
						}
						cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
						cmd.Dir, cmd.Env = dir, env
						out, err := cmd.CombinedOutput()
						if err != nil {
							t.Fatalf("$ %s\n%s%v", line, out, err)
						}
						ran++
					}
				}
			}
			if ran < 2 {
				t.Errorf("%d commands on the page", ran)
			}
			t.Logf("%d commands in %v", ran, time.Since(began).Round(time.Second))
		})
	}
}

// compiles builds a program of a page within the module.
func compiles(t *testing.T, _, body string) {
	t.Helper()
	dir, err := os.MkdirTemp(".", "page-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "go", "vet", "./"+dir).CombinedOutput(); err != nil {
		t.Errorf("%s%v", out, err)
	}
}

// TestNamesOnPages: the verbs, attacks and methods that pages name are there.
func TestNamesOnPages(t *testing.T) {
	migration, err := os.ReadFile("pages/migration/art-foolbox.md")
	if err != nil {
		t.Fatal(err)
	}
	attacks := builtin.Components().Attacks
	named := 0
	for line := range strings.SplitSeq(string(migration), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		m := regexp.MustCompile("^ `([a-z_]+)(`|:)").FindStringSubmatch(cells[3])
		if m == nil || strings.Contains(line, "`classifier`") || strings.Contains(line, "`eps`") || strings.Contains(line, "`success`") {
			continue
		}
		named++
		if _, err := attacks.Lookup(m[1]); err != nil {
			t.Error(err)
		}
	}
	if named < 8 {
		t.Errorf("%d attacks in the table", named)
	}
}

// TestMessagesOnPages: what the page of troubles quotes is said somewhere in the
// sources.
func TestMessagesOnPages(t *testing.T) {
	page, err := os.ReadFile("pages/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	var all bytes.Buffer
	for _, pattern := range []string{"../*.go", "../*/*.go", "../../sdk/*.go", "../../sdk/*/*.go", "../../builtin/*/*.go", "../../builtin/*/*/*.go", "../../sdk/python/vaeguard/*.py"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if b, err := os.ReadFile(f); err == nil && !strings.HasSuffix(f, "_test.go") {
				all.Write(b)
			}
		}
	}
	quoted := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(page), -1)
	if len(quoted) < 15 {
		t.Fatalf("%d messages on the page", len(quoted))
	}
	for _, m := range quoted {
		longest := ""
		for _, part := range regexp.MustCompile(`…|"[^"]*"|\d+m0s|sha256:`).Split(m[1], -1) {
			if part = strings.Trim(part, " ;,"); len(part) > len(longest) {
				longest = part
			}
		}
		if !bytes.Contains(all.Bytes(), []byte(longest)) {
			t.Errorf("no source says %q of %q", longest, m[1])
		}
	}
}
