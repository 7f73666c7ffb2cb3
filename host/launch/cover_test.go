//go:build unix

package launch

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestDigestCoversWhatRuns: a change to anything that runs is another digest. Each
// was none, or was none that a pin saw.
func TestDigestCoversWhatRuns(t *testing.T) {
	f := Finder{ReadManifest: readJSON}
	folder := func(t *testing.T, manifest string) (string, func() (Command, error)) {
		dir := t.TempDir()
		write(t, manifest, dir, ManifestName)
		for _, name := range []string{"run", "evil", "w.bin", "main.py", "part.py", "pack/__init__.py", "pack/deep.py", "other/loose.py"} {
			write(t, name, dir, filepath.FromSlash(name))
		}
		return dir, func() (Command, error) {
			p, err := f.Open(dir)
			return p.Command, err
		}
	}
	python := write(t, "the interpreter", t.TempDir(), "python3")
	t.Setenv("PATH", filepath.Dir(python)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	plain := `{"name": "p", "command": ["./run", "w.bin"], "files": ["w.bin"]}`
	script := `{"name": "p", "command": ["python3", "main.py"], "files": ["main.py"]}`
	module := `{"name": "p", "command": ["python3", "-m", "pack.deep"]}`
	for _, c := range []struct {
		name, manifest, file, text string
		same                       bool
	}{
		{"command of the manifest", plain, ManifestName, strings.Replace(plain, "./run", "./evil", 1), false},
		{"flag of the manifest", plain, ManifestName, strings.Replace(plain, `"w.bin"]`, `"w.bin", "--evil"]`, 1), false},
		{"anything of the manifest", plain, ManifestName, plain + " ", false},
		{"program that is not listed", plain, "run", "another", false},
		{"file that is an argument", plain, "w.bin", "another", false},
		{"file of nobody", plain, "evil", "another", true},
		{"script", script, "main.py", "another", false},
		{"module that the script may import", script, "part.py", "another", false},
		{"module that was not there", script, "numpy.py", "evil", false},
		{"package", script, "pack/deep.py", "another", false},
		{"folder that is no package", script, "other/loose.py", "another", true},
		{"interpreter", script, python, "another", false},
		{"module by its name", module, "pack/deep.py", "another", false},
		{"module that shadows one", module, "json.py", "evil", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, open := folder(t, c.manifest)
			digest := func() string {
				t.Helper()
				cmd, err := open()
				if err != nil {
					t.Fatal(err)
				}
				d, err := cmd.Digest()
				if err != nil {
					t.Fatal(err)
				}
				return d.SHA256
			}
			before := digest()
			name := c.file
			if !filepath.IsAbs(name) {
				name = filepath.Join(dir, filepath.FromSlash(name))
			}
			write(t, c.text, name)
			if (digest() == before) != c.same {
				t.Errorf("the digest is the same: %v, want %v", !c.same, c.same)
			}
		})
	}
}

// TestPinNeedsAProgram: a pin that says nothing of the program is refused.
func TestPinNeedsAProgram(t *testing.T) {
	dir := t.TempDir()
	python := write(t, "#!/bin/sh\nexit 3\n", dir, "bin", "python3")
	t.Setenv("PATH", filepath.Dir(python)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	for _, argv := range [][]string{{"python3", "-m", "elsewhere"}, {"python3", "-u", "-melsewhere.inner"}, {"env", "python3", "a.py"}} {
		c := Argv(argv, dir)
		d, err := c.Digest()
		if err != nil {
			t.Fatal(err)
		}
		c.SHA256 = d.SHA256
		var e *Error
		if _, err := Start(t.Context(), Options{Command: c}); !errors.As(err, &e) || e.Op != "pin" || !strings.Contains(err.Error(), "covers no program") {
			t.Errorf("%q: %v", argv, err)
		}
	}
}

// TestPathStaysAPath: ./prog in the spec's folder is that one, whatever the
// folder is called, and never one of PATH.
func TestPathStaysAPath(t *testing.T) {
	write(t, "#!/bin/sh\nexit 3\n", t.TempDir(), "prog")
	here := t.TempDir()
	mine := write(t, "#!/bin/sh\nexit 4\n", here, "prog")
	write(t, "#!/bin/sh\nexit 5\n", here, "path", "prog")
	t.Setenv("PATH", filepath.Join(here, "path"))
	t.Chdir(here)
	for _, base := range []string{".", "", here} {
		for _, word := range []string{"./prog", "prog"} {
			c := Argv([]string{word}, base)
			v, err := c.verify(t.Context(), "")
			if err != nil {
				t.Errorf("%s in %q: %v", word, base, err)
				continue
			}
			v.close()
			if got, _ := filepath.EvalSymlinks(v.file); got != mustEval(t, mine) {
				t.Errorf("%s in %q is %s, want %s", word, base, v.file, mine)
			}
		}
		if _, err := Argv([]string{"./other"}, base).verify(t.Context(), ""); err == nil {
			t.Errorf("./other in %q was found", base)
		}
	}
}

func mustEval(t *testing.T, name string) string {
	t.Helper()
	real, err := filepath.EvalSymlinks(name)
	if err != nil {
		t.Fatal(err)
	}
	return real
}

// TestSealed: what was hashed is what runs, though its file is overwritten in
// place before it does; a script finds what lies beside it and above it.
func TestSealed(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	program := filepath.Join(home, "plug", "prog")
	if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", exe, program).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, "above", home, "above.txt")
	write(t, "beside", home, "plug", "beside.txt")
	write(t, "echo copied", home, "plug", "part.sh")
	script := write(t, "#!/bin/sh\n. \"$(dirname \"$0\")/part.sh\"\ncat \"$(dirname \"$0\")/beside.txt\" \"$(dirname \"$0\")/../above.txt\"\n", home, "plug", "script")
	for _, c := range []struct {
		name string
		cmd  Command
		env  string
		over []string
		want string
	}{
		{"program", Command{Path: program}, actEnv + "=say", []string{program}, "said"},
		{"script", Command{Path: script}, "", []string{script}, "copied\nbesideabove"},
		{"script of an interpreter", Argv([]string{"sh", "plug/script"}, home), "", []string{script}, "copied\nbesideabove"},
		{"listed file", Command{Path: script, Dir: filepath.Dir(script), Files: []string{"part.sh"}}, "", []string{script, filepath.Join(home, "plug", "part.sh")}, "copied\nbesideabove"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := c.cmd.Digest()
			if err != nil {
				t.Fatal(err)
			}
			c.cmd.SHA256 = d.SHA256
			v, err := c.cmd.verify(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range c.over { // in place: the descriptor leads to the new bytes
				was, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				f, err := os.OpenFile(name, os.O_WRONLY|os.O_TRUNC, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString("#!/bin/sh\necho overwritten\n"); err != nil || f.Close() != nil {
					t.Fatal(err)
				}
				defer func() { write(t, string(was), name) }()
			}
			r, err := newRunner(v, []string{c.env, "PATH=" + os.Getenv("PATH")})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			buf := make([]byte, 4096)
			out := r.Stdout()
			for {
				n, err := out.Read(buf)
				b.Write(buf[:n])
				if err != nil {
					break
				}
			}
			_ = r.Wait(t.Context())
			if got := strings.TrimSpace(b.String()); got != c.want {
				t.Errorf("it said %q, want %q; %q", got, c.want, r.tail.last())
			}
		})
	}
}
