// Package clitest runs scripts against a command line made of components, for
// the programs of the box and of anyone else: testscript with a few commands
// more.
//
//	exit 4 vaeguard plugin check ./broken     # runs a program that must exit with 4
//	json stdout data.predicted.len 20         # the length of a list in the last output
//	json report.json attacks.0.id pgd         # a value in a file; without value: it is there
//	jsonl stdout 20                           # so many lines, each a JSON object
//	npz adv.npz x:<f4:20,64 meta              # arrays in an .npz: name, or with dtype and shape
//	edit FILE OLD NEW                         # replaces text; fails if it is not there
//	cut FILE N                                # keeps the first N bytes
//	flip FILE N                               # changes the byte at N, from the end if negative
//	absent TEXT PATH…                         # no file at or below a path holds it, nor is named so
//	found REGEXP PATTERN                      # files of the pattern exist, and each matches
package clitest

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
)

// Main is the body of TestMain: scripts find `vaeguard`, the command line of
// c, and the given programs, all of them this test binary. It does not return.
func Main(m *testing.M, c host.Components, programs map[string]func()) {
	host.ServeIfPlugin(c)
	all := map[string]func(){"vaeguard": func() { cli.Main(c) }}
	maps.Copy(all, programs)
	testscript.Main(stateless{m}, all)
}

// stateless runs tests apart from what the user has allowed, and allows nothing
// for the user.
type stateless struct{ m *testing.M }

// Run implements testscript.TestingM.
func (s stateless) Run() int {
	dir, err := os.MkdirTemp("", "state")
	if err == nil {
		err = os.Setenv("XDG_STATE_HOME", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	return s.m.Run()
}

// Run runs the scripts dir/*.txtar. Each gets the named files in its folder,
// under their base names, and what setup does after that; setup may be nil.
func Run(t *testing.T, dir string, files []string, setup func(*testscript.Env) error) {
	t.Helper()
	testscript.Run(t, testscript.Params{
		Dir: dir,
		Setup: func(e *testscript.Env) error {
			e.Setenv("XDG_STATE_HOME", filepath.Join(e.WorkDir, ".state"))
			for _, f := range files {
				data, err := os.ReadFile(f)
				if err != nil {
					return err
				}
				if err := os.WriteFile(filepath.Join(e.WorkDir, filepath.Base(f)), data, 0o666); err != nil {
					return err
				}
			}
			if setup == nil {
				return nil
			}
			return setup(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exit": exit, "json": jsonValue, "jsonl": jsonLines, "npz": npz, "edit": edit, "cut": cut, "flip": flip, "absent": absent, "found": found,
		},
	})
}

// want fails a script that negates a command, or gives too few arguments.
func want(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

func exit(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "exit CODE PROGRAM ARGS…")
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var e *exec.ExitError
		if !errors.As(err, &e) {
			ts.Fatalf("%v", err)
		}
		code = e.ExitCode()
	}
	if strconv.Itoa(code) != args[0] {
		ts.Fatalf("exit status %d, want %s", code, args[0])
	}
}

func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "json FILE PATH [VALUE]")
	var v any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	d.UseNumber()
	ts.Check(d.Decode(&v))
	if _, err := d.Token(); err != io.EOF {
		ts.Fatalf("%s: more than one JSON value", args[0])
	}
	for key := range strings.SplitSeq(args[1], ".") {
		v = step(ts, v, key, args[1])
	}
	if len(args) == 2 {
		return
	}
	got, ok := v.(string)
	if !ok {
		text, err := json.Marshal(v)
		ts.Check(err)
		got = string(text)
	}
	if got != args[2] {
		ts.Fatalf("%s: %s is %s, want %s", args[0], args[1], got, args[2])
	}
}

// step goes one key down; len is the length.
func step(ts *testscript.TestScript, v any, key, path string) any {
	switch v := v.(type) {
	case map[string]any:
		if inner, ok := v[key]; ok {
			return inner
		}
	case []any:
		if key == "len" {
			return json.Number(strconv.Itoa(len(v)))
		}
		if i, err := strconv.Atoi(key); err == nil && i < len(v) {
			return v[i]
		}
	}
	ts.Fatalf("%s: there is no %s", path, key)
	return nil
}

func jsonLines(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "jsonl FILE N")
	n := 0
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var v map[string]any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			ts.Fatalf("%s:%d: %v", args[0], n+1, err)
		}
		n++
	}
	if strconv.Itoa(n) != args[1] {
		ts.Fatalf("%s: %d lines, want %s", args[0], n, args[1])
	}
}

var header = regexp.MustCompile(`'descr': '([^']*)', 'fortran_order': False, 'shape': \(([^)]*)\)`)

func npz(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "npz FILE NAME[:DTYPE[:SHAPE]]…")
	data := []byte(ts.ReadFile(args[0]))
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	ts.Check(err)
	found := map[string]string{}
	for _, f := range z.File {
		r, err := f.Open()
		ts.Check(err)
		content, err := io.ReadAll(r)
		ts.Check(err)
		name := strings.TrimSuffix(f.Name, ".npy")
		m := header.FindSubmatch(content)
		if m == nil {
			ts.Fatalf("%s: %s has no header", args[0], f.Name)
		}
		shape := strings.ReplaceAll(strings.TrimSuffix(string(m[2]), ","), " ", "")
		found[name] = fmt.Sprintf("%s:%s:%s", name, m[1], shape)
	}
	for _, a := range args[1:] {
		name, _, _ := strings.Cut(a, ":")
		if got := found[name]; got != a && !strings.HasPrefix(got, a+":") {
			ts.Fatalf("%s: %q, want %q", args[0], found[name], a)
		}
	}
}

func edit(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 3, "edit FILE OLD NEW")
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	write(ts, args[0], []byte(strings.Replace(text, args[1], args[2], 1)))
}

func cut(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "cut FILE N")
	data := []byte(ts.ReadFile(args[0]))
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n >= len(data) {
		ts.Fatalf("%s has only %d bytes", args[0], len(data))
	}
	write(ts, args[0], data[:n])
}

func flip(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "flip FILE N")
	data := []byte(ts.ReadFile(args[0]))
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	if n < 0 {
		n += len(data)
	}
	if n < 0 || n >= len(data) {
		ts.Fatalf("%s has only %d bytes", args[0], len(data))
	}
	data[n] ^= 1
	write(ts, args[0], data)
}

func absent(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "absent TEXT PATH…")
	for _, root := range args[1:] {
		files := 0
		ts.Check(filepath.WalkDir(ts.MkAbs(root), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			files++
			data, err := os.ReadFile(path)
			if err == nil && (strings.Contains(d.Name(), args[0]) || bytes.Contains(data, []byte(args[0]))) {
				ts.Fatalf("%s holds %q", path, args[0])
			}
			return err
		}))
		if files == 0 {
			ts.Fatalf("%s has no files", root)
		}
	}
}

func write(ts *testscript.TestScript, name string, data []byte) {
	ts.Check(os.WriteFile(ts.MkAbs(name), data, 0o666))
}

// found checks that files of a pattern exist, one at least, and that each matches
// a regular expression.
func found(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, args, 2, "found REGEXP PATTERN")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	files, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file %s", args[1])
	}
	for _, f := range files {
		if text := ts.ReadFile(f); !re.MatchString(text) {
			ts.Fatalf("%s does not match %q:\n%s", f, args[0], text)
		}
	}
}
