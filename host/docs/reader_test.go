package docs_test

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fresh makes TestTutorials run the lines that install something too.
const fresh = "VAEGUARD_TUTORIALS_FRESH"

// reader follows a page in an empty folder.
type reader struct {
	dir     string
	env     []string
	install map[*regexp.Regexp]func(t *testing.T) // lines that stand for something that is there already; nil: they run
}

// follow writes the files of a page and runs its commands in order: how many there were.
func (r reader) follow(t *testing.T, text string) (ran int) {
	t.Helper()
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		kind, title, body := m[1], m[2], m[3]
		if title != "" {
			if err := os.WriteFile(filepath.Join(r.dir, title), []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if title != "" || kind != "sh" {
			continue
		}
		for line := range strings.SplitSeq(strings.TrimSpace(body), "\n") {
			if r.installs(t, line) {
				continue
			}
			cmd, began := exec.CommandContext(t.Context(), "sh", "-c", line), time.Now()
			cmd.Dir, cmd.Env = r.dir, r.env
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("$ %s\n%s%v", line, out, err)
			}
			t.Logf("%5.1f s  $ %s", time.Since(began).Seconds(), line)
			ran++
		}
	}
	return ran
}

func (r reader) installs(t *testing.T, line string) bool {
	t.Helper()
	for pattern, instead := range r.install {
		if pattern.MatchString(line) {
			instead(t)
			return true
		}
	}
	return false
}

// here is a reader with this tree's programs: vaeguard, which is this binary, and python.
func here(t *testing.T) reader {
	t.Helper()
	bin, dir := t.TempDir(), t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
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
	env := append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "PYTHONPATH="+filepath.Join(root, "sdk", "python"),
		"PYTHONDONTWRITEBYTECODE=1", "VAEGUARD_BINARY="+filepath.Join(bin, "vaeguard"), "HOME="+bin)
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH"} {
		env = append(env, name+"="+goEnv(t, name))
	}
	nothing := func(*testing.T) {}
	return reader{dir: dir, env: env, install: map[*regexp.Regexp]func(*testing.T){
		regexp.MustCompile(`^(pip|go) install `): nothing,
		regexp.MustCompile(`^go mod tidy$`):      func(t *testing.T) { t.Helper(); requireRoot(t, dir, root) },
	}}
}

// requireRoot gives the module of a page this tree, and the versions that it has of others.
func requireRoot(t *testing.T, dir, root string) {
	t.Helper()
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	own, err := os.ReadFile(filepath.Join(dir, "go.mod")) // go mod init has written it
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(string(own), "\n")
	_, others, _ := strings.Cut(string(mod), "\n")
	text := name + "\n" + others + "\nrequire github.com/vaeguard/vaeguard v0.0.0\n\nreplace github.com/vaeguard/vaeguard => " + root + "\n"
	for file, b := range map[string][]byte{"go.mod": []byte(text), "go.sum": sum} {
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// container is a reader on a machine that has Go, Python with torch and scikit-learn, and nothing of
// vaeguard: a home and caches of its own, and an environment of three variables. What the page
// installs is made of this tree's commit: a wheel, and the module in a folder that is a proxy. What
// those depend on comes from what this machine has downloaded.
func container(t *testing.T) reader {
	t.Helper()
	home, dir, shelf := t.TempDir(), t.TempDir(), t.TempDir()
	run := func(env []string, program string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append(os.Environ(), env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
		}
	}
	program := filepath.Join(shelf, "vaeguard")
	run([]string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "../cmd/vaeguard")
	source := filepath.Join(shelf, "python")
	if err := os.CopyFS(source, os.DirFS("../../sdk/python")); err != nil {
		t.Fatal(err)
	}
	run([]string{"VAEGUARD_BINARY=" + program}, "/usr/bin/python3", "-m", "pip", "wheel", "-q", "--no-index", "--no-deps", "--no-build-isolation", "-w", shelf, source)
	run(nil, "/usr/bin/python3", "-m", "venv", "--system-site-packages", filepath.Join(home, "venv"))
	proxy(t, filepath.Join(shelf, "proxy"))
	gobin, downloaded := filepath.Join(goEnv(t, "GOROOT"), "bin"), filepath.Join(goEnv(t, "GOMODCACHE"), "cache", "download")
	env := []string{
		"HOME=" + home, "PATH=" + strings.Join([]string{filepath.Join(home, "venv", "bin"), filepath.Join(home, "go", "bin"), gobin, "/usr/bin", "/bin"}, ":"),
		"GOPROXY=file://" + filepath.Join(shelf, "proxy") + ",file://" + downloaded + "," + goEnv(t, "GOPROXY"), "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local",
	}
	for _, v := range os.Environ() { // how this machine reaches a registry of Python
		if strings.HasPrefix(v, "PIP_") {
			env = append(env, v)
		}
	}
	return reader{dir: dir, env: append(env, "PIP_FIND_LINKS="+shelf+" "+os.Getenv("PIP_FIND_LINKS"))}
}

// proxy writes this tree's commit as a version of the module, as the Go command asks a proxy for it.
func proxy(t *testing.T, dir string) {
	t.Helper()
	const module, version = "github.com/vaeguard/vaeguard", "v0.0.1"
	at := filepath.Join(dir, filepath.FromSlash(module), "@v")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	git := exec.CommandContext(t.Context(), "git", "ls-files", "-z")
	git.Dir = "../.."
	listed, err := git.Output()
	if err != nil {
		t.Skipf("git ls-files: %v; the module is made of a checkout", err)
	}
	files := strings.Split(strings.TrimSuffix(string(listed), "\x00"), "\x00")
	var nested []string // modules of their own, which are no part of this one
	for _, f := range files {
		if folder, ok := strings.CutSuffix(f, "/go.mod"); ok {
			nested = append(nested, folder+"/")
		}
	}
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
next:
	for _, f := range files {
		for _, folder := range nested {
			if strings.HasPrefix(f, folder) {
				continue next
			}
		}
		b, err := os.ReadFile(filepath.Join("../..", filepath.FromSlash(f)))
		if err != nil {
			t.Fatal(err)
		}
		e, err := w.Create(module + "@" + version + "/" + f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := e.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	info, err := json.Marshal(map[string]any{"Version": version, "Time": time.Now().UTC().Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": mod, version + ".zip": packed.Bytes()} {
		if err := os.WriteFile(filepath.Join(at, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// promised is what a page says of its commands.
var promised = regexp.MustCompile(`(?s)Its commands take about (\w+) (minutes?|seconds) on two cores`)

// told is the time that a page says its commands take.
func told(text string) (time.Duration, error) {
	m := promised.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("the page does not say how long it takes: no %q", promised)
	}
	words := map[string]int{"one": 1, "a": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "ten": 10, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40}
	n, ok := words[m[1]]
	if !ok {
		return 0, fmt.Errorf("the page says %q, want a number as a word", m[0])
	}
	unit := time.Minute
	if m[2] == "seconds" {
		unit = time.Second
	}
	return time.Duration(n) * unit, nil
}
