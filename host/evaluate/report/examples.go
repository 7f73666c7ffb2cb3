package report

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"image"
	"image/color"
	"image/png"
	"math"
	"strings"

	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

//go:embed examples.html
var examplesHTML string

func examplesData(p *Page) (any, bool) {
	groups := gallery(p.Details)
	return examplesPage{groups, len(p.Details.Shape) == 3 && p.Details.Shape[2] == 3}, len(groups) > 0
}

// examplesPage are examples as pictures.
type examplesPage struct {
	Groups []exampleGroup
	Color  bool
}

// picture is one image of a row of the grid.
type picture struct {
	Src     template.URL
	Caption string
	Scale   *scale // what the colours of a perturbation stand for; nil: it is none
}

// Alt is what the picture is, for those who do not see it: the caption follows.
func (p picture) Alt() string {
	what, _, _ := strings.Cut(p.Caption, " · ")
	return what
}

// scale is the legend of a perturbation.
type scale struct {
	Steps       []scaleStep
	Least, Most string
}

// scaleStep is one colour of a scale.
type scaleStep struct {
	X    int
	Fill string
}

// scaleOf is the legend of changes up to size.
func scaleOf(size float64, color bool) *scale {
	const steps = 11
	s := &scale{Least: fmt.Sprintf("−%.2g", size), Most: fmt.Sprintf("+%.2g", size)}
	for k := range steps {
		t := 2*float64(k)/(steps-1) - 1
		r, g, b := diverging(t)
		if color {
			r = byte(255 * (t + 1) / 2)
			g, b = r, r
		}
		s.Steps = append(s.Steps, scaleStep{1 + 10*k, fmt.Sprintf("#%02x%02x%02x", r, g, b)})
	}
	return s
}

// exampleRow is one attacked image and its outcome.
type exampleRow struct {
	Pictures []picture
	Verdict  string
	Class    string // good, plain or bad
}

// exampleGroup are the examples of one attack.
type exampleGroup struct {
	ID   string
	Rows []exampleRow
}

// drawable reports whether examples of this shape are images.
func drawable(s tensor.Shape) bool {
	return len(s) == 3 && (s[2] == 1 || s[2] == 3) || len(s) == 2
}

// gallery shows original, adversarial, perturbation and reconstructions.
func gallery(d *evaluate.Details) []exampleGroup {
	if !drawable(d.Shape) {
		return nil
	}
	lo, hi := d.X.Data[0], d.X.Data[0]
	for _, v := range d.X.Data {
		lo, hi = min(lo, v), max(hi, v)
	}
	var out []exampleGroup
	for _, a := range d.Attacks {
		g := exampleGroup{ID: a.ID}
		for _, e := range a.Examples {
			g.Rows = append(g.Rows, exampleOf(a, e, d, lo, hi))
		}
		if len(g.Rows) > 0 {
			out = append(out, g)
		}
	}
	return out
}

func exampleOf(a *evaluate.AttackDetails, e evaluate.Example, d *evaluate.Details, lo, hi float32) exampleRow {
	name := func(c int) string { return className(d, c) }
	delta := make([]float32, len(e.Original))
	size := float32(1e-12)
	for j, v := range e.Original {
		delta[j] = e.Adversarial[j] - v
		size = max(size, float32(math.Abs(float64(delta[j]))))
	}
	r := exampleRow{Pictures: []picture{
		{encode(e.Original, d.Shape, lo, hi, false), fmt.Sprintf("original · %s · classified as %s · score %s", name(e.Label), name(e.Predicted), score(e.Score)), nil},
		{encode(e.Adversarial, d.Shape, lo, hi, false), fmt.Sprintf("adversarial · classified as %s · score %s", name(e.PredictedAdv), score(e.ScoreAdv)), nil},
		{encode(delta, d.Shape, -size, size, true), fmt.Sprintf("perturbation · largest change %.3g", size), scaleOf(float64(size), len(d.Shape) == 3 && d.Shape[2] == 3)},
	}}
	if e.Reconstruction != nil {
		r.Pictures = append(r.Pictures,
			picture{encode(e.Reconstruction, d.Shape, lo, hi, false), "reconstruction of the original · classified as " + name(e.Reconstructed), nil},
			picture{encode(e.ReconstructionAdv, d.Shape, lo, hi, false), "reconstruction of the adversarial · classified as " + name(e.ReconstructedAdv), nil})
	}
	r.Verdict, r.Class = outcome(a, e)
	return r
}

// outcome is how an example ended, in words and as the class of its badge.
func outcome(a *evaluate.AttackDetails, e evaluate.Example) (words, class string) {
	switch {
	case a.FalseAlarm && e.FlaggedAdv && e.PredictedAdv == e.Label:
		return "false alarm", "bad"
	case a.FalseAlarm:
		return "attack failed", "plain"
	case e.FlaggedAdv && e.PredictedAdv == e.Label:
		return "attack failed, flagged", "plain"
	case e.FlaggedAdv && e.CorrectedAdv == e.Label:
		return "detected and corrected", "good"
	case e.FlaggedAdv:
		return "detected", "good"
	case e.PredictedAdv == e.Label:
		return "attack failed", "plain"
	}
	return "not detected", "bad"
}

// encode is a PNG data URI of one example, values from lo to hi; signed ones
// from blue over grey to red.
func encode(v []float32, s tensor.Shape, lo, hi float32, signed bool) template.URL {
	h, w, c := s[0], s[1], 1
	if len(s) == 3 {
		c = s[2]
	}
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range h {
		for j := range w {
			level := func(k int) float64 {
				t := (float64(v[(i*w+j)*c+k]) - float64(lo)) / max(float64(hi)-float64(lo), 1e-12)
				if math.IsNaN(t) { // of a reconstruction that is not finite
					return 0
				}
				return min(max(t, 0), 1)
			}
			px := color.RGBA{A: 255}
			switch {
			case c == 3:
				px.R, px.G, px.B = byte(255*level(0)), byte(255*level(1)), byte(255*level(2))
			case signed:
				px.R, px.G, px.B = diverging(2*level(0) - 1)
			default:
				px.R = byte(255 * level(0))
				px.G, px.B = px.R, px.R
			}
			img.SetRGBA(j, i, px)
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic("report: an image in memory cannot be encoded")
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())) //nolint:gosec // our own bytes
}

// diverging maps −1 … 1 to blue … grey … red.
func diverging(t float64) (r, g, b byte) {
	end := [3]float64{33, 102, 172}
	if t > 0 {
		end = [3]float64{178, 24, 43}
	}
	t = math.Abs(t)
	mix := func(e float64) byte { return byte(235 + t*(e-235)) }
	return mix(end[0]), mix(end[1]), mix(end[2])
}
