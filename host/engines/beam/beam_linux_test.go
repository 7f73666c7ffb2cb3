package vaebeam_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	vaebeam "github.com/vaeguard/vaeguard/host/engines/beam"
	"github.com/vaeguard/vaeguard/host/results"
	"github.com/vaeguard/vaeguard/host/scoring"
)

const spec = `api_version: vaeguard/v1
kind: Experiment
name: beam
seed: 7
data:
  train:       {dataset: digits, split: train}
  calibration: {dataset: digits, split: calibration}
classifier:
  plugin: mlp
  config: {hidden: [32], range: [0, 1]}
  restarts: 3
  train: {epochs: 6, batch_size: 32}
  checks: off
vae:
  latent_dim: 4
  encoder:
    - dense: {units: 16, activation: relu}
  decoder:
    - dense: {units: 64, activation: sigmoid}
detector: {samples: 3, data_type: tabular}
train: {epochs: 3, batch_size: 32}
threshold: {fpr: 0.05}
`

// rows is the number of rows of the tests: 24 units of 1024, and one row.
const rows = 24*1024 + 1

func TestMain(m *testing.M) {
	vaebeam.ServeIfPlugin()
	beam.Init()
	os.Exit(m.Run())
}

// trained is a folder with a detector, guard, that lets its plugin be restarted so
// often, and rows for it.
func trained(t *testing.T, restarts int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "vgb") // short: sockets lie under it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	t.Setenv("TMPDIR", dir)
	t.Setenv("XDG_STATE_HOME", dir)
	file := filepath.Join(dir, "beam.yaml")
	if err := os.WriteFile(file, []byte(strings.Replace(spec, "restarts: 3", fmt.Sprint("restarts: ", restarts), 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(dir, "guard")})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	x := make([]float32, rows*64)
	for i := range x {
		x[i] = float32(i*i*31%256) / 255
	}
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, dataset.Array{Name: "x", Shape: []int{rows, 64}, Data: x}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rows.npy"), b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// job is what tests score, in dir.
func job(dir, out string, shards int) vaebeam.Job {
	return vaebeam.Job{Detector: filepath.Join(dir, "guard"), Data: filepath.Join(dir, "rows.npy"), Out: filepath.Join(dir, out), Shards: shards, Idle: 100 * time.Millisecond}
}

// plain are the merged bytes of shards that no engine knows of.
func plain(t *testing.T, dir string, n int) []byte {
	t.Helper()
	d, err := host.Open(filepath.Join(dir, "guard"), builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, _, err := (scoring.Shard{I: i, N: n, Data: filepath.Join(dir, "rows.npy"), Out: filepath.Join(dir, "plain")}).Run(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return merged(t, filepath.Join(dir, "plain"))
}

func merged(t *testing.T, out string) []byte {
	t.Helper()
	m, err := scoring.OpenParts(out)
	if err != nil {
		t.Fatal(err)
	}
	format, err := results.Lookup(results.PartFormat)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := m.Write(t.Context(), format, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// collected is what the pipeline that runs in this process gives.
var collected struct {
	sync.Mutex
	done []vaebeam.Done
}

func init() { beam.RegisterFunction(collect) }

func collect(d vaebeam.Done) {
	collected.Lock()
	defer collected.Unlock()
	collected.done = append(collected.done, d)
}

// run runs the job on prism in this process, and sums what it gives. before is how
// many shards were done before.
func run(j vaebeam.Job) (sum vaebeam.Done, before int, err error) {
	collected.Lock()
	collected.done = nil
	collected.Unlock()
	p, s := beam.NewPipelineWithRoot()
	beam.ParDo0(s, collect, vaebeam.Detect(s, j))
	if _, err = beam.Run(context.Background(), "prism", p); err != nil {
		return sum, 0, err
	}
	collected.Lock()
	defer collected.Unlock()
	seen := map[int]bool{}
	for _, d := range collected.done {
		seen[d.Shard] = true
		sum.Rows, sum.Errors, sum.Restarts = sum.Rows+d.Rows, sum.Errors+d.Errors, sum.Restarts+d.Restarts
		if d.Before {
			before++
		}
	}
	if len(seen) != j.Shards || len(collected.done) != j.Shards {
		err = fmt.Errorf("%d of %d shards", len(seen), j.Shards)
	}
	return sum, before, err
}

// plugins are the processes of classifiers: children of the supervisors that this
// process has started.
func plugins(t *testing.T) (pids []int) {
	parents := map[int]int{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		pid, err2 := strconv.Atoi(e.Name())
		if errors.Join(err, err2) != nil {
			continue
		}
		var state string
		var parent int
		if _, err := fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent); err == nil && state != "Z" {
			parents[pid] = parent
		}
	}
	for pid, parent := range parents {
		if parents[parent] == os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// underWay are the shards that are being written to a folder.
func underWay(t *testing.T, out string) []string {
	entries, err := os.ReadDir(out)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".tmp-") && strings.Contains(e.Name(), ".parquet") {
			names = append(names, e.Name())
		}
	}
	return names
}

// kill kills all plugins in the middle of a shard, once: they are held first, so that
// nothing can be finished until they are gone. It reports whether it did before stop.
func kill(t *testing.T, out string, stop <-chan struct{}) bool {
	signal := func(pids []int, s syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, s)
		}
	}
	for {
		select {
		case <-stop:
			return false
		case <-time.After(2 * time.Millisecond):
		}
		if len(underWay(t, out)) == 0 {
			continue
		}
		held := plugins(t)
		signal(held, syscall.SIGSTOP)
		time.Sleep(100 * time.Millisecond) // what needs no plugin any more ends
		now := plugins(t)
		slices.Sort(held)
		slices.Sort(now)
		if len(held) > 0 && slices.Equal(held, now) && len(underWay(t, out)) > 0 {
			signal(held, syscall.SIGKILL)
			return true
		}
		signal(held, syscall.SIGCONT)
	}
}

// killing runs the job while its plugins are killed.
func killing(t *testing.T, j vaebeam.Job) (vaebeam.Done, error) {
	t.Helper()
	stop, killed := make(chan struct{}), make(chan bool)
	go func() { killed <- kill(t, j.Out, stop) }()
	sum, _, err := run(j)
	close(stop)
	if !<-killed {
		t.Fatalf("no plugin was killed: there was no shard under way; %v", err)
	}
	return sum, err
}

// TestPluginKilled runs eight shards on prism and kills the classifiers in the middle
// of a bundle: they are started again inside it, and the merged bytes are those of
// three shards without an engine.
func TestPluginKilled(t *testing.T) {
	dir := trained(t, 3)
	want := plain(t, dir, 3)
	j := job(dir, "out", 8)
	sum, err := killing(t, j)
	if err != nil {
		t.Fatal(err)
	}
	if sum.Rows != rows || sum.Restarts < 1 || sum.Errors != 0 {
		t.Errorf("%+v, want %d rows and a restart", sum, rows)
	}
	if got := merged(t, j.Out); !bytes.Equal(got, want) {
		t.Errorf("%d bytes that differ from the %d of plain shards", len(got), len(want))
	}
	if sum, before, err := run(j); err != nil || before != 8 || sum.Rows != rows {
		t.Errorf("once more: %+v, %d were done, %v", sum, before, err)
	}
	gone(t)
}

// gone holds that no classifier is left a while after a pipeline.
func gone(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(plugins(t)) > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("plugins %v are left", plugins(t))
		}
	}
}

// TestBundleFailed lets a bundle fail, which prism does not try again: nothing of the
// shard is left, and the next pipeline does what is missing.
func TestBundleFailed(t *testing.T) {
	dir := trained(t, 0)
	j := job(dir, "out", 4)
	if _, err := killing(t, j); err == nil {
		t.Fatal("the pipeline succeeded without its plugin")
	}
	gone(t)
	before, err := filepath.Glob(filepath.Join(j.Out, "part-*.json"))
	if err != nil || len(before) == 4 {
		t.Fatalf("%d shards are done, %v", len(before), err)
	}
	if _, n, err := run(j); err != nil || n != len(before) {
		t.Fatalf("%d shards were done before, want %d: %v", n, len(before), err)
	}
	if got, want := merged(t, j.Out), plain(t, dir, 1); !bytes.Equal(got, want) {
		t.Errorf("%d bytes that differ from the %d of one shard", len(got), len(want))
	}
}

func TestJobCheck(t *testing.T) {
	for _, c := range []struct {
		job  vaebeam.Job
		want string
	}{
		{vaebeam.Job{Data: "in", Out: "out", Shards: 1}, "needs Detector, Data and Out"},
		{vaebeam.Job{Detector: "d", Data: "-", Out: "out", Shards: 1}, "standard input cannot be shared out"},
		{vaebeam.Job{Detector: "d", Data: "in", Out: "out"}, "0 shards: want 1 or more"},
	} {
		if err := c.job.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.job, err, c.want)
		}
	}
	p, s := beam.NewPipelineWithRoot()
	vaebeam.Detect(s, vaebeam.Job{Detector: "/nowhere/guard", Data: "in", Out: t.TempDir(), Shards: 1})
	if _, err := beam.Run(t.Context(), "prism", p); err == nil || !strings.Contains(err.Error(), "/nowhere/guard") {
		t.Errorf("a detector that is not there: %v", err)
	}
}
