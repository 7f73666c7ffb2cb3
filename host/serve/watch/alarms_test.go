package watch_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/serve/watch"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// video is what a camera sends that hardly moves, or not at all: a picture that sways by some
// pixels and a twentieth of its brightness, with noise of a hundredth; another one every scene
// frames.
func video(x *tensor.Tensor, frames, scene int, sway float64, r *rand.Rand) *tensor.Tensor {
	out := tensor.New(frames, 28, 28, 1)
	for f := range frames {
		picture, k := x.Row(f/scene%x.N()), float64(f%scene)
		dx, dy, light := sway*math.Sin(k/19), sway*math.Sin(k/23+1), float32(1+0.05*math.Sin(k/31))
		for i := range 28 {
			for j := range 28 {
				v := bilinear(picture, float64(i)+dy, float64(j)+dx)*light + float32(r.NormFloat64())*0.01
				out.Row(f)[28*i+j] = min(1, max(0, v))
			}
		}
	}
	return out
}

// bilinear is a 28×28 picture between its pixels; outside it is black.
func bilinear(p []float32, y, x float64) float32 {
	at := func(i, j int) float64 {
		if i < 0 || j < 0 || i > 27 || j > 27 {
			return 0
		}
		return float64(p[28*i+j])
	}
	i, j := int(math.Floor(y)), int(math.Floor(x))
	a, b := y-float64(i), x-float64(j)
	return float32((1-a)*((1-b)*at(i, j)+b*at(i, j+1)) + a*((1-b)*at(i+1, j)+b*at(i+1, j+1)))
}

// TestVideo says honestly that cameras are noticed, wrongly, and that a client with other
// pictures is not.
func TestVideo(t *testing.T) {
	x := pictures(t, "train").X
	r := rand.New(rand.NewPCG(3, 1))
	seen := func(rows *tensor.Tensor) (share float64, fifth int) {
		s := watch.NewSimilar(watch.SimilarOptions{})
		for i := range rows.N() {
			s.See("camera", rows.Row(i))
			if fifth == 0 && s.Of("camera").Similar >= 5 {
				fifth = i + 1
			}
		}
		return float64(s.Of("camera").Similar) / float64(rows.N()), fifth
	}
	const frames = 600
	for _, c := range []struct {
		name            string
		scene           int
		sway            float64
		least, most     float64 // share of near-duplicates
		noticed, before int     // the frame of the fifth: at least, at most; 0: never
	}{
		{"a camera that stands still", 60, 0, 0.5, 1, 6, 150},
		{"a camera that sways by three pixels", 60, 3, 0.05, 0.6, 6, 450},
		{"another picture every frame", 1, 3, 0, 0.02, 0, 0},
	} {
		share, noticed := seen(video(x, frames, c.scene, c.sway, r))
		t.Logf("%s: %.1f %% of %d frames are near-duplicates, noticed at frame %d", c.name, 100*share, frames, noticed)
		if share < c.least || share > c.most || noticed < c.noticed || noticed > c.before {
			t.Errorf("%s: want %v to %v, noticed at %d to %d", c.name, c.least, c.most, c.noticed, c.before)
		}
	}
}

// until is after how many rows martingales of a threshold alarm on streams: a row is one of bad with
// probability share, else one of clean, each drawn without replacement until none is left.
// It gives the median and the share of streams that alarm at all.
func until(calibration, clean, bad []float64, share float64, streams, most int) (median int, fired float64) {
	const alpha = 0.001
	var first []int
	for s := range streams {
		r := rand.New(rand.NewPCG(uint64(s), 9))
		m := watch.NewMartingale(calibration, uint64(s))
		a, b := r.Perm(len(clean)), r.Perm(max(1, len(bad)))
		i, j, at := 0, 0, most+1
		for row := 1; row <= most; row++ {
			if len(bad) > 0 && r.Float64() < share {
				m.Add(bad[b[j%len(bad)]])
				j++
			} else {
				if i == len(clean) {
					break
				}
				m.Add(clean[a[i]])
				i++
			}
			if m.Log10() >= -math.Log10(alpha) {
				at = row
				break
			}
		}
		if at <= most {
			fired++
		}
		first = append(first, at)
	}
	slices.Sort(first)
	return first[len(first)/2], fired / float64(streams)
}

// TestAlarms measures, on the demo's detector and Fashion-MNIST's 10,000 test rows (or the 600
// of them that are in the binary), the delays that the README tells.
// VAEGUARD_ALARMS=1 runs it: the detector takes a minute to train.
func TestAlarms(t *testing.T) {
	if os.Getenv("VAEGUARD_ALARMS") == "" {
		t.Skip("VAEGUARD_ALARMS is not set")
	}
	c := builtin.Components()
	e, err := host.Load("demo", []string{"attacks=[{pgd: {norm: linf, eps: 0.1, steps: 10, step: 0.25}}, {square: {norm: linf, eps: 0.1}}]",
		"corruptions=[{brightness: {}}, {gaussian_noise: {}}, {pixelate: {}}]"}, c, host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d, err := e.TrainTo(t.Context(), host.TrainOptions{Out: filepath.Join(t.TempDir(), "d")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	rows, err := dataset.Open(dataset.Source{Dataset: "fashion-mnist", Split: "test"}, ".", c.Datasets, c.Formats)
	if err != nil {
		rows = pictures(t, "test")
	}
	scores := func(x *tensor.Tensor) []float64 {
		t.Helper()
		r, err := d.DetectRows(t.Context(), &dataset.Data{X: x}, detect.Include{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Statistic
	}
	const streams = 100
	calibration, clean := d.Statistics(), scores(rows.X)
	var table strings.Builder
	line := func(name string, bad []float64, share float64) {
		median, fired := until(calibration, clean, bad, share, streams, len(clean))
		after := fmt.Sprint(median)
		if median > len(clean) {
			after = fmt.Sprintf("more than %d", len(clean))
		}
		fmt.Fprintf(&table, "| %s | %s | %.0f %% |\n", name, after, 100*fired)
	}
	line("clean rows", nil, 0)
	for _, a := range e.Spec.Attacks {
		bad := scores(attacked(t, d, rows, registry.As[attack.Attack](a)))
		for _, share := range []float64{0.01, 0.05, 0.2} {
			line(fmt.Sprintf("%s, %g %% of rows", a.Name, 100*share), bad, share)
		}
	}
	for _, a := range e.Spec.Corruptions {
		corruption := registry.As[evaluate.Corruption](a)
		levels := corruption.Levels()
		for _, level := range []int{0, len(levels) - 1} {
			line(fmt.Sprintf("%s, severity %d, all rows", a.Name, levels[level]), scores(corrupted(t, d, rows.X, corruption, levels[level])), 1)
		}
	}
	for _, sway := range []float64{0, 3} {
		m, at := watch.NewMartingale(calibration, 1), 0
		for i, s := range scores(video(rows.X, 2000, 60, sway, rand.New(rand.NewPCG(1, 1)))) {
			if m.Add(s); m.Log10() >= 3 {
				at = i + 1
				break
			}
		}
		fmt.Fprintf(&table, "| a camera that sways by %g pixels | %d | of one stream; 0: never in 2,000 frames |\n", sway, at)
	}
	t.Logf("%d calibration rows, %d rows of traffic, %d streams\n\n| traffic | rows until it rings, median | streams that it rings in |\n|---|---|---|\n%s", len(calibration), len(clean), streams, &table)
	if _, fired := until(calibration, clean, nil, 0, streams, len(clean)); fired > 0.02 {
		t.Errorf("it rings in %.2f of clean streams", fired)
	}
}

// attacked are rows for which an attack succeeds, of the first 500 for which the classifier is
// right.
func attacked(t *testing.T, d *host.Detector, rows *dataset.Data, a attack.Attack) *tensor.Tensor {
	t.Helper()
	n := min(500, rows.X.N())
	x := rows.X.Rows(0, n)
	predict := func(x *tensor.Tensor) []int {
		y, err := d.Model().(interface {
			Predict(context.Context, *tensor.Tensor) (*tensor.Tensor, error)
		}).Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]int, y.N())
		for i := range out {
			out[i] = slices.Index(y.Row(i), slices.Max(y.Row(i)))
		}
		return out
	}
	r, err := attack.Run(t.Context(), d.Model(), x, rows.Labels[:n], a, attack.Options{Seed: 1, Queries: 500})
	if err != nil {
		t.Fatal(err)
	}
	before, after := predict(x), predict(r.XAdv)
	var at []int
	for i := range n {
		if before[i] == rows.Labels[i] && after[i] != rows.Labels[i] {
			at = append(at, i)
		}
	}
	if len(at) < 20 {
		t.Fatalf("the attack succeeds on %d rows", len(at))
	}
	return r.XAdv.Gather(at)
}

// corrupted are all rows at a level of a corruption.
func corrupted(t *testing.T, d *host.Detector, x *tensor.Tensor, c evaluate.Corruption, level int) *tensor.Tensor {
	t.Helper()
	box, err := attack.BoxOf(attack.Box{}, d.Info(), x)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, uint64(level)))
	out := x.Clone()
	for i := range x.N() {
		if err := c.Corrupt(out.Row(i), x.Row(i), x.Example(), box, level, r); err != nil {
			t.Fatal(err)
		}
		box.Clip(out.Row(i))
	}
	return out
}
