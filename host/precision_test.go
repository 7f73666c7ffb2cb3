package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/kernel"
)

// trainedIn trains the small guard with further settings.
func trainedIn(t *testing.T, threads int, set ...string) *host.Detector {
	t.Helper()
	tmp := t.TempDir()
	file, dir := filepath.Join(tmp, "small.yaml"), filepath.Join(tmp, "guard")
	if err := os.WriteFile(file, []byte(resumed), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, set, builtin.Components(), host.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return openGuard(t, dir, host.OpenOptions{Options: host.Options{Threads: threads}})
}

// A detector trains and scores in the precision that the spec names for each, says
// so, and has the same bits with any number of threads and at either level of x86.
func TestPrecision(t *testing.T) {
	const train, score = "train.precision=bf16", "detector.precision=bf16"
	weights := map[string]string{}
	scores := map[string]float64{}
	for name, c := range map[string]struct {
		set     []string
		threads int
		level   string
		want    *artifact.Precision
	}{
		"float32":           {nil, 1, "", nil},
		"train":             {[]string{train}, 1, "", &artifact.Precision{Training: "bf16", Scoring: "float32"}},
		"score":             {[]string{score}, 1, "", &artifact.Precision{Training: "float32", Scoring: "bf16"}},
		"both":              {[]string{train, score}, 1, "", &artifact.Precision{Training: "bf16", Scoring: "bf16"}},
		"both, 3 threads":   {[]string{train, score}, 3, "", &artifact.Precision{Training: "bf16", Scoring: "bf16"}},
		"both, other level": {[]string{train, score}, 2, "avx2", &artifact.Precision{Training: "bf16", Scoring: "bf16"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.level != "" {
				t.Setenv("VAEGUARD_KERNEL", c.level)
				if e, err := kernel.New(kernel.Options{Threads: 1}); err != nil {
					t.Skip(err)
				} else {
					e.Close()
				}
			}
			d := trainedIn(t, c.threads, c.set...)
			got := d.Saved.Meta.Precision
			if (got == nil) != (c.want == nil) || got != nil && *got != *c.want {
				t.Errorf("meta.json says %+v, want %+v", got, c.want)
			}
			weights[name] = d.Saved.Meta.Files[artifact.WeightsFile]
			scores[name] = d.Saved.Canaries.Scores[0][0]
			_, err := d.Export(t.Context(), host.ExportOptions{})
			if scoring := c.want != nil && c.want.Scoring == "bf16"; scoring != (err != nil && strings.Contains(err.Error(), "detector.precision is bf16")) {
				t.Errorf("export: %v", err)
			}
		})
	}
	if t.Failed() {
		return
	}
	for _, same := range [][2]string{{"both", "both, 3 threads"}, {"both", "both, other level"}, {"float32", "score"}, {"train", "both"}} {
		if w, skipped := weights[same[1]], weights[same[1]] == ""; !skipped && w != weights[same[0]] {
			t.Errorf("weights of %q and %q differ", same[0], same[1])
		}
	}
	if weights["float32"] == weights["both"] {
		t.Error("weights trained in bf16 are those of float32")
	}
	for _, other := range [][2]string{{"float32", "score"}, {"train", "both"}} {
		if scores[other[0]] == scores[other[1]] {
			t.Errorf("scores of %q and %q are the same: %v", other[0], other[1], scores)
		}
	}
	for _, same := range []string{"both, 3 threads", "both, other level"} {
		if s, ok := scores[same]; ok && s != scores["both"] {
			t.Errorf("a score is %v, and %v with %s", scores["both"], s, same)
		}
	}
}

// A precision that there is not is a fault of the file, with its place.
func TestUnknownPrecision(t *testing.T) {
	file := filepath.Join(t.TempDir(), "small.yaml")
	if err := os.WriteFile(file, []byte(resumed), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"train.precision", "detector.precision"} {
		_, err := host.Load(file, []string{key + "=fp16"}, builtin.Components(), host.Options{})
		if err == nil || !strings.Contains(err.Error(), key) || !strings.Contains(err.Error(), "bf16") {
			t.Errorf("%s=fp16: %v", key, err)
		}
	}
}
