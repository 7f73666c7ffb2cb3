package onnx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// hostileFolder names the folder of m.onnx and config.json that a process of
// this test is to load, in the environment.
const hostileFolder = "VAEGUARD_ONNX_HOSTILE"

// A process may take twice what a model may, for the collector lets as much
// garbage be, and what the program itself takes.
const (
	garbage    = 2
	ownMemory  = 64 << 20
	hostileTop = 60 * time.Second // on two busy cores
)

// outcome is what became of a file.
type outcome struct {
	Message string
	Peak    uint64 // bytes that the process has had from the system
	Allowed int64  // bytes that the model might take
}

func TestMain(m *testing.M) {
	if dir := os.Getenv(hostileFolder); dir != "" {
		if err := json.NewEncoder(os.Stdout).Encode(meet(dir)); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

// meet loads the model of a folder and runs it there and back.
func meet(dir string) outcome {
	out := outcome{Message: "ok"}
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		panic(err)
	}
	var s settings
	if err := json.Unmarshal(config, &s); err != nil {
		panic(err)
	}
	info, err := os.Stat(filepath.Join(dir, "m.onnx"))
	if err != nil {
		panic(err)
	}
	a := s.allowanceOf(info.Size())
	if err := thereAndBack(dir, config, &a); err != nil {
		out.Message = err.Error()
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	out.Peak, out.Allowed = mem.Sys, a.memory
	return out
}

func thereAndBack(dir string, config []byte, a *allowance) error {
	ctx := context.Background()
	c := New().(*Classifier)
	if err := c.Configure(ctx, sdk.Config{JSON: config, BaseDir: dir}); err != nil {
		return err
	}
	*a = c.program.allowance
	info, err := c.Info(ctx)
	if err != nil {
		return err
	}
	x := tensor.Batch(min(3, info.MaxBatch), info.InputShape)
	for i := range x.Data {
		x.Data[i] = float32(i%7) / 8
	}
	outs, pull, err := c.Forward(ctx, x)
	if err != nil || pull == nil {
		return err
	}
	_, err = pull(ctx, outs)
	return err
}

// TestHostile gives each file of the zoo to a process of its own, which must
// answer in bounded memory and time: with the cause and the node, or soundly.
func TestHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("a process for each of many files")
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	kinds, total := map[string]int{}, 0
	for _, c := range hostileFiles() {
		kinds[c.kind]++
		total++
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if why := c.write(dir); why != nil {
				t.Skip(why) // there are no such files here
			}
			began := time.Now()
			got := elsewhere(t, dir)
			took := time.Since(began)
			if c.want == "" && got.Message != "ok" || !strings.Contains(got.Message, c.want) {
				t.Errorf("%.500s, want %q", got.Message, c.want)
			}
			if len(got.Message) > 4000 {
				t.Errorf("an error of %d bytes", len(got.Message))
			}
			if most := garbage*uint64(got.Allowed) + ownMemory; got.Peak > most {
				t.Errorf("took %s, want at most %s", inBytes(int64(got.Peak)), inBytes(int64(most)))
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%d B\t%s\t%.1f s\t%.110s\n", c.kind, c.name, len(c.model), inBytes(int64(got.Peak)), took.Seconds(), got.Message) // a buffer takes all
		})
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files\n%s", total, table.String())
	for kind, n := range kinds {
		if n < 3 {
			t.Errorf("%d files of kind %q, want at least 3", n, kind)
		}
	}
	if total < 100 || len(kinds) < 8 {
		t.Errorf("%d files of %d kinds, want at least 100 of 8", total, len(kinds))
	}
}

// write puts the model, its config and what lies beside it into a folder.
func (c *hostile) write(dir string) error {
	config := `{"model": "m.onnx"}`
	if c.json != "" {
		config = `{"model": "m.onnx", ` + c.json + `}`
	}
	err := errors.Join(os.WriteFile(filepath.Join(dir, "m.onnx"), c.model, 0o600), os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600),
		os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 40), 0o600))
	switch {
	case err != nil:
		panic(err)
	case c.beside == "link":
		return os.Symlink(filepath.Join(filepath.Dir(dir), "w.bin"), filepath.Join(dir, "link"))
	case c.beside == "pipe":
		return exec.Command("mkfifo", filepath.Join(dir, "pipe")).Run()
	}
	return nil
}

// elsewhere meets the model of a folder in another process.
func elsewhere(t *testing.T, dir string) outcome {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(t.Context(), hostileTop)
	defer stop()
	command := exec.CommandContext(ctx, self)
	command.Env = append(os.Environ(), hostileFolder+"="+dir)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	raw, err := command.Output()
	if err != nil {
		t.Fatalf("after at most %v: %v\n%.2000s", hostileTop, err, stderr.Bytes())
	}
	var out outcome
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%q: %v", raw, err)
	}
	return out
}
