package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"gopkg.in/yaml.v3"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// imageRow is a row of a Parquet file of digits, as bytes.
type imageRow struct {
	Name string `parquet:"name"`
	X    []byte `parquet:"x"`
}

// digit is the k-th of rows that nobody else has.
func digit(k int) []byte {
	x := make([]byte, 64)
	for i := range x {
		x[i] = byte((k*31 + i*i*7 + k*i) % 256)
	}
	return x
}

// writeGroups writes n rows of digits in row groups of so many.
func writeGroups(t *testing.T, path string, from, n, group int) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := parquet.NewGenericWriter[imageRow](f)
	for k := range n {
		if _, err := w.Write([]imageRow{{Name: fmt.Sprint("n", from+k), X: digit(from + k)}}); err != nil {
			t.Fatal(err)
		}
		if (k+1)%group == 0 {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// shardWorld has a detector of digits, and rows in several formats.
func shardWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, map[string]string{"chaos.yaml": chaosSpec, "rows.jsonl": strings.Replace(manyRows(3000), "[", "[9,", 1)})
	w.must(0, "train", "chaos.yaml", "--out", "guard", "--quiet")
	if err := os.Mkdir(w.path("in"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeGroups(t, w.path("one.parquet"), 0, 900, 100)
	for k := range 3 {
		writeGroups(t, w.path("in", fmt.Sprintf("%d.parquet", k)), 300*k, 300, 70)
	}
	x := dataset.Array{Name: "x", Shape: []int{2500, 64}}
	numbers := make([]float32, 0, 2500*64)
	for k := range 2500 {
		for _, v := range digit(k) {
			numbers = append(numbers, float32(v)/255)
		}
	}
	x.Data = numbers
	var npz, npy bytes.Buffer
	if err := dataset.WriteNPZ(&npz, []dataset.Array{x}); err != nil {
		t.Fatal(err)
	}
	if err := dataset.WriteNPY(&npy, x); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"rows.npz": npz.Bytes(), "rows.npy": npy.Bytes()} {
		if err := os.WriteFile(w.path(name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// shards scores the shards of n and merges them, and gives what they came to.
func (w *world) shards(n int, out string, args ...string) []byte {
	w.t.Helper()
	for i := n - 1; i >= 0; i-- {
		w.must(0, append([]string{"detect", "guard", "--out", out, "--shard", fmt.Sprint(i, "/", n), "--on-error", "skip", "--quiet"}, args...)...)
	}
	all := out + "-all.parquet"
	w.must(0, "merge", out, "--out", all)
	b, err := os.ReadFile(w.path(all))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// TestShards merges the same bytes of any number of shards, and those of one
// process where there is but one file.
func TestShards(t *testing.T) {
	w := shardWorld(t)
	for name, c := range map[string][]string{
		"row groups": {"--data", "one.parquet", "--keep", "name"},
		"lines":      {"--data", "rows.jsonl", "--include", "latent"},
		"npy":        {"--data", "rows.npy", "--include", "reconstruction,probabilities", "--no-instance-score"},
		"npz":        {"--data", "rows.npz", "--batch", "1000"},
		"files":      {"--data", "in/*.parquet", "--keep", "name"},
	} {
		out := strings.ReplaceAll(name, " ", "-")
		want := w.shards(1, out+"1", c...)
		if name != "files" {
			w.must(0, append([]string{"detect", "guard", "--format", "parquet", "--on-error", "skip", "--out", "direct.parquet", "--quiet"}, c...)...)
			direct, err := os.ReadFile(w.path("direct.parquet"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(direct, want) {
				t.Errorf("%s: one shard is not what detect writes", name)
			}
		}
		counts := []int{3}
		if name == "row groups" {
			counts = []int{2, 8}
		}
		for _, n := range counts {
			if got := w.shards(n, fmt.Sprint(out, n), c...); !bytes.Equal(got, want) {
				t.Errorf("%s: %d shards: other bytes than of one", name, n)
			}
		}
	}
	csv := w.must(0, "merge", "files3", "--out", "files.csv")
	if text := csv.stdout.String(); !strings.Contains(text, "3 shards: 900 rows, ") {
		t.Errorf("merge says %q", text)
	}
	b, err := os.ReadFile(w.path("files.csv"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	if !strings.HasPrefix(lines[0], "index,file,") || !strings.HasPrefix(lines[301], "300,1.parquet,") || !strings.HasSuffix(lines[301], ",n300") {
		t.Errorf("%s\n%s", lines[0], lines[301])
	}
}

// TestShardReadsItsShare damages all row groups but those of a shard, which does
// not mind.
func TestShardReadsItsShare(t *testing.T) {
	w := shardWorld(t)
	b, err := os.ReadFile(w.path("one.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for i, g := range f.Metadata().RowGroups {
		if i%3 == 1 {
			continue
		}
		for _, c := range g.Columns {
			at := c.MetaData.DataPageOffset
			if d := c.MetaData.DictionaryPageOffset; d > 0 {
				at = min(at, d)
			}
			copy(b[at:at+c.MetaData.TotalCompressedSize], bytes.Repeat([]byte{0xff}, int(c.MetaData.TotalCompressedSize)))
		}
	}
	if err := os.WriteFile(w.path("damaged.parquet"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.must(0, "detect", "guard", "--data", "damaged.parquet", "--out", "out", "--shard", "1/3", "--quiet")
	if !strings.Contains(p.stdout.String(), "shard 1 of 3 done: 300 rows, ") {
		t.Errorf("%s", p.stdout.String())
	}
	p = w.must(1, "detect", "guard", "--data", "damaged.parquet", "--out", "out", "--shard", "0/3", "--quiet")
	if !strings.Contains(p.stderr.String(), "damaged.parquet: row 0: ") {
		t.Errorf("%s", p.stderr.String())
	}
}

// TestMergeRefused names the shard that is missing, there twice, foreign or
// damaged.
func TestMergeRefused(t *testing.T) {
	w := shardWorld(t)
	w.shards(3, "good", "--data", "one.parquet")
	w.must(0, "calibrate", "guard", "--data", "rows.npy", "--percentile", "70", "--out", "other", "--quiet")
	file := func(name string) string { return filepath.Join("bad", name) }
	read := func(name string) []byte {
		t.Helper()
		b, err := os.ReadFile(w.path("good", name))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	put := func(name string, b []byte) {
		t.Helper()
		if err := os.WriteFile(w.path(file(name)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	remove := func(name string) {
		t.Helper()
		if err := os.Remove(w.path(file(name))); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(name, old, now string) {
		t.Helper()
		text := string(read(name))
		if !strings.Contains(text, old) {
			t.Fatalf("%s has no %q", name, old)
		}
		put(name, []byte(strings.Replace(text, old, now, 1)))
	}
	shard := func(detector, data, of string, more ...string) {
		w.must(0, append([]string{"detect", detector, "--data", data, "--out", "bad", "--shard", of, "--quiet"}, more...)...)
	}
	for _, c := range []struct {
		name string
		harm func()
		want string
	}{
		{"missing", func() { remove("part-1-of-3.json"); remove("part-1-of-3.parquet") }, "part-1-of-3 is missing in bad"},
		{"not done", func() { remove("part-2-of-3.json") }, "part-2-of-3.parquet in bad has no manifest"},
		{"results lost", func() { remove("part-2-of-3.parquet") }, "part-2-of-3 in bad: "},
		{"damaged", func() { put("part-0-of-3.parquet", append(read("part-0-of-3.parquet"), 0)) }, "part-0-of-3 in bad: part-0-of-3.parquet: not the file that part-0-of-3.json was written for"},
		{"swapped", func() { put("part-0-of-3.parquet", read("part-1-of-3.parquet")) }, "part-0-of-3.parquet: not the file"},
		{"twice", func() {
			put("part-1-of-3.parquet", read("part-0-of-3.parquet"))
			put("part-1-of-3.json", read("part-0-of-3.json"))
		}, "part-1-of-3 in bad is a copy of part-0-of-3"},
		{"rows twice", func() { edit("part-1-of-3.json", `"number": 4`, `"number": 3`) }, "part-1-of-3 in bad has rows of one.parquet from row 400 on, which part-0-of-3 has too"},
		{"a gap", func() { edit("part-1-of-3.json", `"from": 400`, `"from": 450`) }, "rows 400 to 449 of one.parquet are in no shard"},
		{"fewer rows", func() { edit("part-1-of-3.json", `"rows": 100`, `"rows": 99`) }, "part-1-of-3 in bad: 299 rows in its units, 300 in all"},
		{"of another run", func() { shard("guard", "one.parquet", "1/2") }, "part-1-of-2 in bad is foreign: it is of 2 shards, not 3"},
		{"another detector", func() {
			remove("part-1-of-3.json")
			shard("other", "one.parquet", "1/3", "--on-error", "skip")
		}, "part-1-of-3 in bad is foreign: it is by detector sha256:"},
		{"other data", func() {
			remove("part-1-of-3.json")
			shard("guard", "rows.npy", "1/3", "--on-error", "skip")
		}, "part-1-of-3 in bad is foreign: it is of other data"},
		{"other options", func() {
			remove("part-1-of-3.json")
			shard("guard", "one.parquet", "1/3", "--on-error", "skip", "--include", "latent")
		}, "part-1-of-3 in bad is foreign: it is with other options"},
		{"another format", func() { edit("part-1-of-3.json", `"format": 1`, `"format": 2`) }, "part-1-of-3.json: format 2, want 1"},
		{"no shards", func() {
			for i := range 3 {
				remove(fmt.Sprintf("part-%d-of-3.json", i))
				remove(fmt.Sprintf("part-%d-of-3.parquet", i))
			}
		}, "bad: no shard is done"},
	} {
		if err := os.RemoveAll(w.path("bad")); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(w.path("bad"), os.DirFS(w.path("good"))); err != nil {
			t.Fatal(err)
		}
		c.harm()
		p := w.start("merge", "bad", "--out", "all.parquet")
		if code := p.code(t); code != 1 || !strings.Contains(p.stderr.String(), c.want) {
			t.Errorf("%s: exit code %d, %q, want %q", c.name, code, p.stderr.String(), c.want)
			_ = os.Remove(w.path("all.parquet"))
		}
		if _, err := os.Stat(w.path("all.parquet")); err == nil {
			t.Errorf("%s: a table was written", c.name)
		}
	}
}

// TestShardAgain holds that a shard that is done is left as it is, or done again to
// the same bytes, and that another run does not mix with it.
func TestShardAgain(t *testing.T) {
	w := shardWorld(t)
	args := []string{"detect", "guard", "--data", "one.parquet", "--out", "out", "--shard", "/4", "--quiet"}
	w.env = []string{"JOB_COMPLETION_INDEX=2"}
	w.must(0, args...)
	first, err := os.ReadFile(w.path("out", "part-2-of-4.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	if p := w.must(1, args...); !strings.Contains(p.stderr.String(), "shard 2 of 4 in out: it is done already; --resume goes on") {
		t.Error(p.stderr.String())
	}
	if p := w.must(0, append(args, "--resume")...); !strings.Contains(p.stdout.String(), "shard 2 of 4 done before: 200 rows") {
		t.Error(p.stdout.String())
	}
	if err := os.WriteFile(w.path("out", "part-2-of-4.parquet"), first[:len(first)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	w.must(0, append(args, "--resume")...)
	if again, err := os.ReadFile(w.path("out", "part-2-of-4.parquet")); err != nil || !bytes.Equal(again, first) {
		t.Errorf("done again: %d bytes, %v, want the %d of before", len(again), err, len(first))
	}
	if p := w.must(1, append(args, "--resume", "--include", "latent")...); !strings.Contains(p.stderr.String(), "part-2-of-4 in out is with other options") {
		t.Error(p.stderr.String())
	}
	w.env = []string{"JOB_COMPLETION_INDEX="}
	for _, c := range []struct{ shard, want string }{
		{"/4", "JOB_COMPLETION_INDEX, which has the number, is not set"},
		{"4/4", "want i/n"}, {"-1/4", "want i/n"}, {"1", "want i/n"}, {"1/0", "want i/n"},
	} {
		if p := w.must(2, "detect", "guard", "--data", "one.parquet", "--out", "out", "--shard="+c.shard); !strings.Contains(p.stderr.String(), c.want) {
			t.Errorf("%s: %s", c.shard, p.stderr.String())
		}
	}
	if p := w.must(1, "detect", "guard", "--data", "-", "--out", "out", "--shard=0/4"); !strings.Contains(p.stderr.String(), "standard input cannot be shared out") {
		t.Error(p.stderr.String())
	}
	if p := w.must(1, "detect", "guard", "--data", "none/*.parquet", "--out", "out", "--shard=0/4"); !strings.Contains(p.stderr.String(), "none/*.parquet: no such files") {
		t.Error(p.stderr.String())
	}
}

// TestShardsJob runs the pods of the Kubernetes manifest as processes: the command,
// with folders for its volumes and the variable that each pod is given.
func TestShardsJob(t *testing.T) {
	b, err := os.ReadFile("../../serve/deploy/shards-job.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var job struct {
		Spec struct {
			CompletionMode string `yaml:"completionMode"`
			Completions    int    `yaml:"completions"`
			Template       struct {
				Spec struct {
					Containers []struct {
						Args []string `yaml:"args"`
					} `yaml:"containers"`
				} `yaml:"spec"`
			} `yaml:"template"`
		} `yaml:"spec"`
	}
	if err := yaml.Unmarshal(b, &job); err != nil {
		t.Fatal(err)
	}
	n := job.Spec.Completions
	if job.Spec.CompletionMode != "Indexed" || n != 8 || len(job.Spec.Template.Spec.Containers) != 1 {
		t.Fatalf("%+v", job.Spec)
	}
	w := shardWorld(t)
	w.must(0, "pack", "guard", "--out", "detector.vg")
	args := strings.Fields(strings.NewReplacer("/in/rows", "in", "/in/", "", "/out/", "").Replace(strings.Join(job.Spec.Template.Spec.Containers[0].Args, " ")))
	for i := range n {
		w.env = []string{fmt.Sprint("JOB_COMPLETION_INDEX=", i)}
		w.must(0, args...)
	}
	p := w.must(0, "merge", "verdicts", "--out", "verdicts.parquet", "--report", "report")
	if !strings.HasPrefix(p.stdout.String(), "8 shards: 900 rows, ") {
		t.Errorf("%s", p.stdout.String())
	}
}
