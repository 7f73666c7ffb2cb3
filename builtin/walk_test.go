package builtin_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// walk follows one section of CONTRIBUTING.md in a copy of this module. It is
// read from an archive in testdata/contributing, whose comment has lines
//
//	section HEADING                of CONTRIBUTING.md
//	adds KIND NAME                 what list and explain then know
//	told PACKAGE TEST: MESSAGE     what is said of the steps left out
//
// and whose files are the first steps, or after the word cure those left out:
//
//	PATH                           a new file
//	PATH from EXAMPLE              a new file, as the example has it outside this repository
//	PATH after TEXT                a line below the first that has TEXT
//	PATH replace TEXT              other text
//	run COMMAND                    below the module
type walk struct {
	section string
	adds    [][2]string
	told    []told
	edits   []edit
}

type told struct{ pkg, test, message string }

type edit struct {
	cure                 bool
	path, verb, arg, new string
}

func readWalk(t *testing.T, file string) walk {
	t.Helper()
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var w walk
	for line := range strings.Lines(strings.TrimSpace(string(a.Comment))) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "section":
			w.section = rest
		case "adds":
			kind, name, _ := strings.Cut(rest, " ")
			w.adds = append(w.adds, [2]string{kind, name})
		case "told":
			where, message, ok := strings.Cut(rest, ": ")
			pkg, test, ok2 := strings.Cut(where, " ")
			if !ok || !ok2 {
				t.Fatalf("%s: %q", file, line)
			}
			w.told = append(w.told, told{pkg, test, message})
		default:
			t.Fatalf("%s: %q", file, line)
		}
	}
	for _, f := range a.Files {
		e := edit{new: string(f.Data)}
		name, cure := strings.CutPrefix(f.Name, "cure ")
		e.cure = cure
		e.path, name, _ = strings.Cut(name, " ")
		e.verb, e.arg, _ = strings.Cut(name, " ")
		w.edits = append(w.edits, e)
	}
	return w
}

// apply makes the edit below dir.
func (e edit) apply(t *testing.T, dir string) {
	t.Helper()
	if e.path == "run" {
		args := strings.Fields(e.verb + " " + e.arg)
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return
	}
	file := filepath.Join(dir, filepath.FromSlash(e.path))
	text := e.new
	if e.verb == "from" {
		b, err := os.ReadFile(filepath.Join("..", filepath.FromSlash(e.arg)))
		if err != nil {
			t.Fatal(err)
		}
		text = strings.Replace(string(b), "package main\n", "package "+filepath.Base(filepath.Dir(file))+"\n", 1)
	}
	before, err := os.ReadFile(file)
	switch e.verb {
	case "", "from":
		if err == nil {
			t.Fatalf("%s exists already", e.path)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
	case "after":
		_, below, ok := strings.Cut(string(before), e.arg)
		if !ok {
			t.Fatalf("%s has no %q", e.path, e.arg)
		}
		_, below, _ = strings.Cut(below, "\n")
		text = strings.TrimSuffix(string(before), below) + e.new + below
	case "replace":
		if strings.Count(string(before), e.arg) != 1 {
			t.Fatalf("%s has %q %d times", e.path, e.arg, strings.Count(string(before), e.arg))
		}
		text = strings.Replace(string(before), e.arg, strings.TrimSuffix(e.new, "\n"), 1)
	default:
		t.Fatalf("edit of %s: %q", e.path, e.verb)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// counted holds that a component is a file and a line: besides its own new
// folder or file, and what that embeds, one line of one file of the repository
// is touched, and the import of a package of its own.
func (w walk) counted(t *testing.T) {
	t.Helper()
	files, lines := 0, 0
	own := make(map[string]bool)
	for _, e := range w.edits {
		switch {
		case e.cure || own[e.path]:
		case e.verb == "" || e.verb == "from":
			own[e.path] = true
			if strings.HasSuffix(e.path, ".go") {
				files++
			}
		case regexp.MustCompile(`^\t"[^"\n]+"\n$`).MatchString(e.new): // an import
		default:
			lines += strings.Count(e.new, "\n")
		}
	}
	if files != 1 || lines != 1 {
		t.Errorf("%s touches %d files and %d lines, want a new file and a line of the table", w.section, files, lines)
	}
}
