package bench_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
)

var update = flag.Bool("update", false, "measure and redraw host/kernel/growth.svg")

// network is the auto-encoder whose cost is drawn: two strided convolutions
// and their mirror.
type network struct{ size, width, batch, threads, samples int }

func (n network) spec() string {
	return fmt.Sprintf(`api_version: vaeguard/v1
kind: Experiment
name: growth
vae:
  latent_dim: 32
  encoder:
    - conv2d: {filters: %[2]d, kernel_size: 4, strides: 2, padding: same, activation: relu}
    - conv2d: {filters: %[3]d, kernel_size: 4, strides: 2, padding: same, activation: relu}
  decoder:
    - dense: {units: %[4]d, activation: relu}
    - reshape: {target_shape: [%[1]d, %[1]d, %[3]d]}
    - conv2d_transpose: {filters: %[2]d, kernel_size: 4, strides: 2, padding: same, activation: relu}
    - conv2d_transpose: {filters: 3, kernel_size: 4, strides: 2, padding: same, activation: sigmoid}
detector: {samples: %[5]d}
train: {loss: mse, batch_size: %[6]d}
`, n.size/4, n.width, 2*n.width, n.size/4*(n.size/4)*2*n.width, n.samples, n.batch)
}

// panel is one diagram: cost over one quantity.
type panel struct {
	title, x, y string
	xs, ys      []float64
}

// TestGrowth measures, with -update, how the cost of training and scoring
// grows, and draws it. Without, it holds that the drawing is there.
func TestGrowth(t *testing.T) {
	const file = "../kernel/growth.svg"
	if !*update {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
		return
	}
	base := network{size: 32, width: 32, batch: 32, threads: 1, samples: 1}
	train := func(p *panel, x float64, n network) {
		train, _ := cost(t, n)
		p.add(x, train)
	}
	size := panel{title: "image size", x: "pixels", y: "training, µs an image"}
	for _, s := range []int{8, 16, 24, 32, 48, 64} {
		n := base
		n.size = s
		train(&size, float64(s*s), n)
	}
	width := panel{title: "width", x: "filters²", y: "training, µs an image"}
	for _, w := range []int{8, 32, 48, 64, 96} {
		n := base
		n.width = w
		train(&width, float64(w*w), n)
	}
	batch := panel{title: "batch", x: "images a step", y: "training, ms a step"}
	for _, b := range []int{1, 16, 32, 64, 128} {
		n := base
		n.batch = b
		us, _ := cost(t, n)
		batch.add(float64(b), us*float64(b)/1000)
	}
	threads := panel{title: "threads", x: "threads", y: "training, images a second"}
	for _, c := range []int{1, 2} {
		n := base
		n.threads = c
		us, _ := cost(t, n)
		threads.add(float64(c), 1e6/us)
	}
	samples := panel{title: "samples", x: "samples", y: "scoring, µs an instance"}
	for _, s := range []int{1, 5, 10, 20} {
		n := base
		n.samples = s
		_, us := cost(t, n)
		samples.add(float64(s), us)
	}
	if err := os.WriteFile(file, []byte(draw(size, width, batch, threads, samples)), 0o644); err != nil {
		t.Fatal(err)
	}
}

func (p *panel) add(x, y float64) { p.xs, p.ys = append(p.xs, x), append(p.ys, y) }

// cost is the processor time of training and scoring, microseconds an image; on
// several threads the time by the clock.
func cost(t *testing.T, n network) (train, score float64) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "growth.yaml")
	if err := os.WriteFile(file, []byte(n.spec()), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := host.Load(file, nil, builtin.Components(), host.Options{Threads: n.threads})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Bench(context.Background(), host.BenchOptions{StepsOnly: true, Budget: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	train, score = r.Train.CPU, r.Score["64"].CPU
	if n.threads > 1 {
		train, score = r.Train.Best, r.Score["64"].Best
	}
	return train * 1000 / float64(n.batch), score * 1000 / 64
}

// draw is the panels side by side, each with the least-squares line of its points.
func draw(panels ...panel) string {
	const w, h, left, top, side = 240, 220, 52, 30, 160
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", w*len(panels), h)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/>`+"\n")
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", i*w+left, top)
		xMax, yMax := 0.0, 0.0
		for j := range p.xs {
			xMax, yMax = max(xMax, p.xs[j]), max(yMax, p.ys[j])
		}
		yMax *= 1.1
		at := func(x, y float64) (float64, float64) { return x / xMax * side, (1 - y/yMax) * side }
		a, c := line(p.xs, p.ys)
		x0, y0 := at(0, max(0, a))
		x1, y1 := at(xMax, a+c*xMax)
		fmt.Fprintf(&b, `<text x="%d" y="-12" text-anchor="middle" font-weight="bold">%s</text>`+"\n", side/2, p.title)
		fmt.Fprintf(&b, `<path d="M0 0V%[1]dH%[1]d" fill="none" stroke="#444"/>`+"\n", side)
		fmt.Fprintf(&b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="#bbb"/>`+"\n", x0, y0, x1, y1)
		for j := range p.xs {
			x, y := at(p.xs[j], p.ys[j])
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="3" fill="#1f6fb4"><title>%g: %.3g</title></circle>`+"\n", x, y, p.xs[j], p.ys[j])
		}
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%.3g</text><text x="0" y="%d" text-anchor="middle">0</text>`+"\n", side, side+14, xMax, side+14)
		fmt.Fprintf(&b, `<text x="-4" y="8" text-anchor="end">%.3g</text>`+"\n", yMax)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", side/2, side+26, p.x)
		fmt.Fprintf(&b, `<text transform="translate(-30,%d) rotate(-90)" text-anchor="middle">%s</text>`+"\n</g>\n", side/2, p.y)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// line is the least-squares line a + c·x, each point weighted by 1/y², so that
// small ones count as much as large ones.
func line(xs, ys []float64) (a, c float64) {
	var s, sx, sy, sxx, sxy float64
	for i, x := range xs {
		w := 1 / (ys[i] * ys[i])
		s, sx, sy, sxx, sxy = s+w, sx+w*x, sy+w*ys[i], sxx+w*x*x, sxy+w*x*ys[i]
	}
	if d := s*sxx - sx*sx; math.Abs(d) > 0 {
		c = (s*sxy - sx*sy) / d
	}
	return (sy - c*sx) / s, c
}
