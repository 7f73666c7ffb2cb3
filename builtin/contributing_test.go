package builtin_test

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestContributing adds one of everything to a copy of this module, as
// CONTRIBUTING.md says. The first steps, a file and a line of a table, make the
// component part of the program; the tests name the steps that were left out,
// each of them, and pass when they are made up for.
func TestContributing(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the module again")
	}
	files, err := filepath.Glob("testdata/contributing/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	var walks []walk
	var sections []string
	for _, f := range files {
		w := readWalk(t, f)
		w.counted(t)
		walks = append(walks, w)
		sections = append(sections, w.section)
	}
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^## (Add an? .*)$`).FindAllStringSubmatch(string(text), -1) {
		headings = append(headings, m[1])
	}
	slices.Sort(headings)
	slices.Sort(sections)
	if !slices.Equal(headings, sections) {
		t.Fatalf("CONTRIBUTING.md has %q, testdata/contributing %q", headings, sections)
	}

	dir := copyModule(t)
	for _, w := range walks {
		for _, e := range w.edits {
			if !e.cure {
				e.apply(t, dir)
			}
		}
	}
	t.Run("reachable", func(t *testing.T) { reachable(t, dir, walks) })
	t.Run("told", func(t *testing.T) {
		results := goTest(t, dir, walks)
		for _, w := range walks {
			for _, x := range w.told {
				if r := results[x.pkg]; r.passed || !strings.Contains(r.output, x.message) {
					t.Errorf("%s: %s %s does not say %q:\n%s", w.section, x.pkg, x.test, x.message, r.output)
				}
			}
		}
	})
	for _, w := range walks {
		for _, e := range w.edits {
			if e.cure {
				e.apply(t, dir)
			}
		}
	}
	t.Run("cured", func(t *testing.T) {
		for pkg, r := range goTest(t, dir, walks) {
			if !r.passed {
				t.Errorf("%s fails when every step is made:\n%s", pkg, r.output)
			}
		}
	})
}

// copyModule copies what the programs are made of.
func copyModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "builtin", "host", "sdk", "specs", "plugins", "examples"} {
		err := filepath.WalkDir(filepath.Join("..", name), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if strings.HasPrefix(d.Name(), ".") && d.Name() != ".." && d.IsDir() {
				return fs.SkipDir
			}
			to := filepath.Join(dir, strings.TrimPrefix(path, ".."))
			if d.IsDir() {
				return os.MkdirAll(to, 0o755)
			}
			if !d.Type().IsRegular() {
				return nil
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return os.WriteFile(to, b, 0o644)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// reachable builds the program and uses every component that was added.
func reachable(t *testing.T, dir string, walks []walk) {
	vaeguard := filepath.Join(t.TempDir(), "vaeguard.exe")
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("go", "build", "-o", vaeguard, "./host/cmd/vaeguard")
	for _, w := range walks {
		for _, a := range w.adds {
			if out := run(vaeguard, "list", a[0]); !regexp.MustCompile(`(?m)^` + a[1] + `\s`).MatchString(out) {
				t.Errorf("list %s has no %s:\n%s", a[0], a[1], out)
			}
			if out := run(vaeguard, "explain", a[1]); !strings.Contains(out, a[1]+" ("+a[0]+")") {
				t.Errorf("explain %s:\n%s", a[1], out)
			}
		}
	}
	if out := run(vaeguard, "motto", "--json"); out != "{\"motto\":\"flags, scores and corrects\"}\n" {
		t.Errorf("vaeguard motto --json: %s", out)
	}
	const common = `api_version: vaeguard/v1
kind: Experiment
name: own
data:
  train:       {dataset: digits, split: train}
  calibration: {file: rows.raw32}
  test:        {dataset: digits, split: test}
classifier: {plugin: mlp, config: {hidden: [16]}, train: {epochs: 3}}
threshold: {fpr: 0.05}
attacks: [{brightness_shift: {eps: 0.2}}]
corruptions: [fade]
evaluate: {limit: 20, bootstrap: 50}
`
	rows := "{\"raw32\": [100, 64]}\n"
	for i := range 6400 {
		rows += [...]string{"\x00\x00\x80\x3f", "\x00\x00\x00\x3f", "\x00\x00\x00\x00"}[(i*i/7+i)%3]
	}
	for file, text := range map[string]string{
		"rows.raw32":  rows,
		"method.yaml": common + "detector: {method: pca, score: brier}\n",
		"layer.yaml": common + `vae: {latent_dim: 4, encoder: [{dense: {units: 16}}, soft_threshold], decoder: [{dense: {units: 64}}]}
train: {epochs: 1, log_metrics: [largest_error]}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"method", "layer"} {
		run(vaeguard, "run", name+".yaml", "--out", name, "--quiet")
		b, err := os.ReadFile(filepath.Join(dir, name, "report.json"))
		if err != nil {
			t.Fatal(err)
		}
		var r struct {
			Attacks     []struct{ Attack string }
			Corruptions []struct{ Corruption string }
		}
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		if len(r.Attacks) == 0 || len(r.Corruptions) == 0 {
			t.Errorf("%s/report.json: %+v", name, r)
		}
		page, err := os.ReadFile(filepath.Join(dir, name, "report.html"))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(page), "What attacks cost") {
			t.Errorf("%s/report.html lacks the section", name)
		}
	}
}

// outcome is what go test says of a package.
type outcome struct {
	passed bool
	output string
}

// goTest runs the tests that the walks name.
func goTest(t *testing.T, dir string, walks []walk) map[string]outcome {
	t.Helper()
	var pkgs, tests []string
	for _, w := range walks {
		for _, x := range w.told {
			pkgs, tests = append(pkgs, x.pkg), append(tests, x.test)
		}
	}
	slices.Sort(pkgs)
	pkgs = slices.Compact(pkgs)
	args := []string{"test", "-short", "-json", "-vet=off", "-run", "^(" + strings.Join(tests, "|") + ")$"}
	cmd := exec.Command("go", append(args, pkgs...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	results := make(map[string]outcome)
	for line := range strings.Lines(string(out)) {
		var e struct{ Action, Package, ImportPath, Test, Output string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		importPath, _, _ := strings.Cut(e.ImportPath, " ") // with the test in brackets where it does not build
		key := "." + strings.TrimPrefix(cmp.Or(e.Package, importPath), "github.com/vaeguard/vaeguard")
		r := results[key]
		if !strings.HasPrefix(e.Output, "=== ") && !strings.Contains(e.Output, "--- PASS") {
			r.output += e.Output
		}
		if e.Test == "" && e.Action == "pass" {
			r.passed = true
		}
		results[key] = r
	}
	for _, p := range pkgs {
		if _, ok := results[p]; !ok {
			t.Fatal(fmt.Errorf("go test says nothing of %s", p))
		}
	}
	return results
}

// TestContributingNames: the tests that CONTRIBUTING.md names are there.
func TestContributingNames(t *testing.T) {
	text, err := os.ReadFile("../CONTRIBUTING.md")
	if err != nil {
		t.Fatal(err)
	}
	named := make(map[string]bool)
	for _, name := range regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(string(text), -1) {
		named[name] = true
	}
	if len(named) < 15 {
		t.Errorf("only %d tests are named", len(named))
	}
	defined := regexp.MustCompile(`(?m)^func (Test[A-Z]\w*)\(`)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range defined.FindAllSubmatch(b, -1) {
			delete(named, string(m[1]))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range named {
		t.Errorf("CONTRIBUTING.md names %s, which is no test", name)
	}
}

// TestOutside moves the examples that extend vaeguard into a module of another
// name, as a third party has them: they build and pass their tests there.
func TestOutside(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a module")
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"own-layer", "own-attack", "own-method", "own-verb", "own-format"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join("../examples", name))); err != nil {
			t.Fatal(err)
		}
	}
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(mod), "module github.com/vaeguard/vaeguard\n", "module example.com/guard\n", 1) +
		"\nrequire github.com/vaeguard/vaeguard v0.0.0\n\nreplace github.com/vaeguard/vaeguard => " + strconv.Quote(filepath.ToSlash(root)) + "\n"
	sum, err := os.ReadFile("../go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"go.mod": []byte(text), "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", "test", "./...")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "ok  \texample.com/guard/own-") != 5 {
		t.Errorf("go test: %v\n%s", err, out)
	}
}
