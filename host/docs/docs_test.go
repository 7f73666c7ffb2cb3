// Package docs_test runs what the pages of the site say.
package docs_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
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

// TestTutorials follows each tutorial in an empty folder, word for word: its files are
// written, its commands run in order, and each must succeed. What a page installs is this
// tree's, and there; with VAEGUARD_TUTORIALS_FRESH=1 it is installed. -v prints how long each command took.
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
			says, err := told(string(text))
			if err != nil {
				t.Error(err)
			}
			r := here(t)
			if os.Getenv(fresh) == "1" {
				r = container(t)
			}
			began := time.Now()
			ran := r.follow(t, string(text))
			if ran < 2 {
				t.Errorf("%d commands on the page", ran)
			}
			t.Logf("%d commands in %v; the page says %v, on two cores", ran, time.Since(began).Round(time.Second), says)
		})
	}
}

// TestNamesOnPages: the attacks that the page from ART and Foolbox names are there, with their options.
func TestNamesOnPages(t *testing.T) {
	migration, err := os.ReadFile("pages/migration/art-foolbox.md")
	if err != nil {
		t.Fatal(err)
	}
	attacks := builtin.Components().Attacks
	quoted, entry := regexp.MustCompile("`([^`]+)`"), regexp.MustCompile(`^([a-z_]+)(?:: \{(.*)\})?$`)
	named, options := 0, 0
	for line := range strings.SplitSeq(string(migration), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		var keys map[string]bool // of the attack that the cell names
		for _, q := range quoted.FindAllStringSubmatch(cells[3], -1) {
			m := entry.FindStringSubmatch(q[1])
			switch {
			case m == nil && strings.HasPrefix(q[1], "{"):
				m = []string{"", "", strings.Trim(q[1], "{}")}
			case m == nil || keys == nil && m[2] == "" && slices.Contains([]string{"classifier", "eps", "attacks", "success", "success_rate", "accuracy"}, m[1]):
				continue // keys of a spec, and of results
			case keys[m[1]]:
				continue
			default:
				v, _, ok := attacks.Fresh(m[1])
				if !ok {
					t.Errorf("there is no attack %s", m[1])
					continue
				}
				named, keys = named+1, keysOf(v.Type())
			}
			for option := range strings.SplitSeq(m[2], ",") {
				name, _, _ := strings.Cut(strings.TrimSpace(option), ":")
				if name == "" {
					continue
				}
				options++
				if !keys[name] {
					t.Errorf("%s has no option %s", cells[3], name)
				}
			}
		}
	}
	if named < 15 || options < 25 {
		t.Errorf("%d attacks and %d options in the tables", named, options)
	}
}

// keysOf are the options of a component by its type.
func keysOf(t reflect.Type) map[string]bool {
	keys := make(map[string]bool)
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	for i := range t.NumField() {
		if name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ","); name != "" {
			keys[name] = true
		}
	}
	return keys
}

// TestNamesOfOthers: so are those that it calls names of ART and of Foolbox, in the packages themselves.
func TestNamesOfOthers(t *testing.T) {
	python := os.Getenv("VAEGUARD_ATTACKS_PYTHON")
	if python == "" {
		t.Skip("VAEGUARD_ATTACKS_PYTHON names no Python with the packages of testdata/requirements.txt")
	}
	out, err := exec.CommandContext(t.Context(), python, "-W", "ignore", "testdata/names.py", "pages/migration/art-foolbox.md").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if n, err := strconv.Atoi(lines[len(lines)-1]); err != nil || n < 60 {
		t.Errorf("%s names were looked up", out)
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
	for _, pattern := range []string{"../*.go", "../*/*.go", "../../sdk/*.go", "../../sdk/*/*.go", "../../builtin/*/*.go", "../../builtin/*/*/*.go", "../../sdk/python/vaeguard/*.py", "../../sdk/python/vaeguard/*/*.py"} {
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
