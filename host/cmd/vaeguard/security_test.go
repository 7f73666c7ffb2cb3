package main

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testsOf are the tests and fuzz targets of each package of the tree, by its path from the root.
func testsOf(t *testing.T, root string) map[string]map[string]bool {
	t.Helper()
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	found := map[string]map[string]bool{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "node_modules" || e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(rel)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			if found[dir] == nil {
				found[dir] = map[string]bool{}
			}
			found[dir][string(m[1])] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestPromisesHaveTests: each test that SECURITY.md names is there, in a package that its line names
// if it names any, and every fuzz target is named.
func TestPromisesHaveTests(t *testing.T) {
	const root = "../../.."
	page, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	tests := testsOf(t, root)
	name := regexp.MustCompile("`((?:Test|Fuzz)\\w+)(?:/[^`]*)?`")
	folder := regexp.MustCompile("\\(([a-z][\\w-]*(?:/[\\w-]+)+)|`([a-z][\\w-]*(?:/[\\w-]+)*)`")
	named := map[string]bool{} // package and target, of fuzzing
	count := 0
	for line := range strings.Lines(string(page)) {
		var packages []string
		for _, m := range folder.FindAllStringSubmatch(line, -1) {
			if p := m[1] + m[2]; tests[p] != nil {
				packages = append(packages, p)
			}
		}
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			count++
			within := packages
			if len(within) == 0 {
				within = slices.Collect(maps.Keys(tests))
			}
			there := false
			for _, p := range within {
				there = there || tests[p][m[1]]
				named[p+" "+m[1]] = named[p+" "+m[1]] || len(packages) > 0 && tests[p][m[1]]
			}
			if !there {
				t.Errorf("SECURITY.md names %s, which is not in %s: %s", m[1], strings.Join(packages, ", "), line)
			}
		}
	}
	if count < 60 {
		t.Errorf("%d names of tests were found in %s", count, securityPage)
	}
	for p, all := range tests {
		for name := range all {
			if strings.HasPrefix(name, "Fuzz") && !named[p+" "+name] {
				t.Errorf("SECURITY.md does not name %s of %s", name, p)
			}
		}
	}
}
