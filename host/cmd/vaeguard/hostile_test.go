package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

var update = flag.Bool("update", false, "rewrite the table of SECURITY.md")

// hostile is a bad input: what is wrong with it, how the program meets it, and a part
// of what it must say to it; "": it does no harm, and is read.
type hostile struct {
	reader, what string
	met          met
	want         string
}

// met is how the program meets a file: what is put into its folder, its command line,
// and what it may take.
type met struct {
	put     func(t *testing.T, dir string)
	args    []string // of the program; of Python after a first one of "python"
	code    int      // its exit code where it refuses
	mib     int      // budget of memory, of the largest of its processes; 0: hostileMiB
	seconds int      // and of the time of its processors, all together; 0: hostileSeconds
}

// within is m with budgets of its own.
func (m met) within(mib, seconds int) met {
	m.mib, m.seconds = mib, seconds
	return m
}

// file is a met of one file.
func file(name string, data []byte, code int, args ...string) met {
	return files(map[string][]byte{name: data}, code, args...)
}

// files is a met of several, by their slash-separated paths.
func files(all map[string][]byte, code int, args ...string) met {
	return met{args: args, code: code, put: func(t *testing.T, dir string) {
		t.Helper()
		for _, name := range slices.Sorted(maps.Keys(all)) {
			place(t, filepath.Join(dir, filepath.FromSlash(name)), all[name], 0o644)
		}
	}}
}

const (
	securityPage = "../../SECURITY.md"
	tableBegin   = "<!-- bad inputs: written by TestHostileInputs -update -->\n"
	tableEnd     = "<!-- end of bad inputs -->\n"
	// What the program may take for a file that says nothing else. With a sound file of a
	// few rows it takes some 60 MiB and a third of a second.
	hostileMiB     = 192
	hostileSeconds = 5
	// hostilePatience is how long it may last, however busy the machine is.
	hostilePatience = 3 * time.Minute
	// peakName is the variable with the file into which a program writes its peak.
	peakName = "VAEGUARD_TEST_PEAK"
)

// TestHostileInputs lets the program, started for each alone, meet every bad input: none
// is fatal, takes more memory or time than its budget, or forges a line, and the message
// names the cause. SECURITY.md lists just these.
func TestHostileInputs(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a program for each of many files, with budgets that the race detector exceeds")
	}
	var page strings.Builder
	page.WriteString("\n| kind | bad input | refused with | MiB | s |\n|---|---|---|---|---|\n")
	guards := hostileGuards(t)
	kinds := map[string]int{}
	for _, group := range [][]hostile{hostileSpecs(), hostileArrays(), hostileArrow(t), hostileParquet(t), hostileTables(), hostileImages(), hostilePhotos(t),
		hostileModels(t), hostileDetectors(guards), hostilePacks(t), hostileNames(t, guards), hostilePickles(t), hostileAnswers(t)} {
		for _, h := range group {
			kinds[h.reader]++
			if h.met.mib == 0 {
				h.met.mib = hostileMiB
			}
			if h.met.seconds == 0 {
				h.met.seconds = hostileSeconds
			}
			says := cell(h.want)
			if h.want == "" {
				says = "*nothing: it is read*"
			}
			fmt.Fprintf(&page, "| %s | %s | %s | %d | %d |\n", h.reader, cell(h.what), says, h.met.mib, h.met.seconds)
			t.Run(h.reader+": "+h.what, func(t *testing.T) {
				t.Parallel()
				h.meet(t, guards)
			})
		}
	}
	for kind, n := range kinds {
		if n < 3 {
			t.Errorf("%d bad inputs of kind %s, want 3", n, kind)
		}
	}
	page.WriteString("\n")
	rewrite(t, tableBegin, tableEnd, page.String(), "TestHostileInputs")
}

// meet starts the program with the file in its folder, and holds what it says and takes.
func (h hostile) meet(t *testing.T, guards map[string]string) {
	dir := t.TempDir()
	h.met.put(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), hostilePatience)
	defer cancel()
	args := slices.Clone(h.met.args)
	for i, a := range args {
		if guard, ok := guards[a]; ok {
			args[i] = guard
		}
	}
	cmd := hostileProgram(ctx, t, args)
	peakFile := filepath.Join(t.TempDir(), "peak")
	var out bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &out
	cmd.WaitDelay = time.Minute // for its plugins, which hold its output, to end
	cmd.Env = append(cmd.Environ(), peakName+"="+peakFile, "NO_COLOR=1")
	began := time.Now()
	err := cmd.Run()
	took := time.Since(began)
	said := out.String()
	var peak, busy int64
	if text, err := os.ReadFile(peakFile); err != nil {
		t.Errorf("it has not ended by itself: %v", err)
	} else if _, err := fmt.Sscan(string(text), &peak, &busy); err != nil {
		t.Errorf("it took %q: %v", text, err)
	}
	t.Logf("%d MiB, %d ms of processors, %v in all: %.200q", peak>>20, busy, took.Round(10*time.Millisecond), said)
	code := h.met.code
	if h.want == "" {
		code = 0
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(said, h.want) {
		t.Errorf("exit code %d, want %d and %q; it said\n%.2000s", got, code, h.want, said)
	}
	if peak > int64(h.met.mib)<<20 || busy > int64(1000*h.met.seconds) {
		t.Errorf("%d MiB and %d ms, the budget is %d and %d s", peak>>20, busy, h.met.mib, h.met.seconds)
	}
	if h.want != "" && len(said) > hostileSaid {
		t.Errorf("it said %d bytes", len(said))
	}
	if i := strings.IndexFunc(said, func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || h.want != "" && unicode.Is(unicode.Bidi_Control, r)) // JSON has them
	}); i >= 0 {
		t.Errorf("%q is not escaped: %.200q", said[i], said[max(0, i-20):])
	}
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, forgedLine) {
			t.Errorf("a forged line: %.500q", said)
		}
	}
}

const (
	// hostileSaid bounds the bytes that the program says to a bad input.
	hostileSaid = 16 << 10
	// forged is a text that would be a line of the program's own, clear the screen, set
	// the terminal's title and turn the direction of writing.
	forged     = "x\n" + forgedLine + "\r\x1b[2K\x1b]0;owned\a\u202e"
	forgedLine = "vaeguard: all is well"
)

// hostileProgram is this test binary as the program, or Python.
func hostileProgram(ctx context.Context, t *testing.T, args []string) *exec.Cmd {
	t.Helper()
	if args[0] == "python" {
		return exec.CommandContext(ctx, hostilePython(t), args[1:]...)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+shortTemp(t))
	return cmd
}

// shortTemp is a folder with a path short enough for sockets.
func shortTemp(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "vgh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// measured is cli.Main that bounds the address space, so that a claim that is believed
// ends the program and not the machine, and writes what it and its plugins have taken.
func measured(file string) {
	boundMemory()
	builtin.ServeIfPlugin()
	code := cli.Run(context.Background(), builtin.Components(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, reads())
	peak, busy := taken()
	if err := os.WriteFile(file, fmt.Append(nil, peak, " ", busy.Milliseconds()), 0o600); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// hostileGuards are detectors by the name that stands for their folder in a command line.
func hostileGuards(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := paintDigits(filepath.Join(dir, "digits")); err != nil {
		t.Fatal(err)
	}
	guards := map[string]string{}
	for name, spec := range map[string]string{"GUARD": tinyGuard, "PHOTOS": photoGuard} {
		file := filepath.Join(dir, name+".yaml")
		place(t, file, []byte(spec), 0o644)
		guards[name] = filepath.Join(dir, name)
		vaeguard(t, 0, "train", file, "--out", guards[name], "--quiet")
	}
	return guards
}

// rewrite holds that SECURITY.md has a table between two marks, and with -update writes it.
func rewrite(t *testing.T, begin, end, page, test string) {
	t.Helper()
	text, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), begin)
	old, tail, ends := strings.Cut(rest, end)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table of %s", securityPage, test)
	}
	switch {
	case old == page:
	case *update:
		if err := os.WriteFile(securityPage, []byte(head+begin+page+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("%s does not have the table as it is: go test ./host/cmd/vaeguard -run %s -update", securityPage, test)
	}
}

// cell is a text as it stands in a table.
func cell(s string) string { return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(s) }

// hostilePython is a Python with NumPy.
func hostilePython(t *testing.T) string {
	t.Helper()
	for _, p := range []string{os.Getenv("VAEGUARD_PYTHON"), "/usr/bin/python3", "python3", "python"} {
		if p == "" {
			continue
		}
		if found, err := exec.LookPath(p); err == nil && exec.Command(found, "-c", "import numpy, grpc").Run() == nil {
			return found
		}
	}
	t.Skip("no Python with NumPy and gRPC")
	return ""
}
