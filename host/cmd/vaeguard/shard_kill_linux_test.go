package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestShardsKilled scores eight shards in two processes at a time, and kills them
// at random moments, over and over. Each is started again until its shard is
// done: nothing is lost, nothing is there twice, and the bytes are those of a run
// that nobody disturbed.
func TestShardsKilled(t *testing.T) {
	n := kills(t, 6)
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": manyRows(40 * 1024)})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	w.must(0, "detect", "guard", "--data", "rows.jsonl", "--format", "parquet", "--out", "whole.parquet", "--quiet")
	whole, err := os.ReadFile(w.path("whole.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	const shards = 8
	args := func(out string, i int) []string {
		return []string{"detect", "guard", "--data", "rows.jsonl", "--out", out, "--shard", fmt.Sprint(i, "/", shards), "--resume", "--quiet"}
	}
	began := time.Now()
	w.must(0, args("calm", 0)...)
	took := time.Since(began)

	var mu sync.Mutex // of r and hit
	r := rand.New(rand.NewPCG(16, 50))
	hit := 0
	for round := 0; hit < n; round++ {
		out := fmt.Sprint("out", round)
		todo := make(chan int, shards)
		for i := range shards {
			todo <- i
		}
		close(todo)
		var workers sync.WaitGroup
		for range 2 {
			workers.Go(func() {
				for i := range todo {
					for done := false; !done; {
						p := w.start(args(out, i)...)
						mu.Lock()
						kill, after := hit < n, time.Duration(r.Float64()*float64(took))
						mu.Unlock()
						killed := false
						if kill {
							select {
							case err := <-p.ended:
								p.ended <- err
							case <-time.After(after):
								killed = p.Process.Kill() == nil
							}
						}
						code := p.code(t)
						if killed && code == -1 {
							mu.Lock()
							hit++
							mu.Unlock()
						}
						if code != 0 && (code != -1 || !killed) {
							t.Errorf("shard %d: exit code %d; stderr:\n%s", i, code, p.stderr.String())
						}
						done = code == 0 || t.Failed()
					}
				}
			})
		}
		workers.Wait()
		if t.Failed() {
			t.FailNow()
		}
		w.must(0, "merge", out, "--out", "all.parquet")
		got, err := os.ReadFile(w.path("all.parquet"))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(whole) {
			t.Fatalf("%s: the merged results are not those of one process: %d bytes, want %d", out, len(got), len(whole))
		}
		entries, err := os.ReadDir(w.path(out))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "part-") {
				t.Errorf("%s is left in %s", e.Name(), out)
			}
		}
		if err := os.RemoveAll(w.path(out)); err != nil {
			t.Fatal(err)
		}
	}
	if !w.gone() {
		t.Errorf("%d processes are left", len(w.processes()))
	}
	t.Logf("killed %d times; a shard takes %v", hit, took)
}
