package steps_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/steps"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// known are rows and what a step makes of them, worked out by hand.
var known = map[string][]struct {
	step       signature.Step
	in         tensor.Shape
	rows, want []float32
}{
	"resize": {
		{steps.Resize{Height: 1, Width: 2, Method: "area"}, tensor.Shape{2, 4, 1}, []float32{0, 1, 2, 3, 2, 3, 4, 5}, []float32{1.5, 3.5}},
		{steps.Resize{Height: 1, Width: 1, Method: "bilinear"}, tensor.Shape{1, 2, 3}, []float32{0, 1, 2, 1, 2, 3}, []float32{.5, 1.5, 2.5}},
		{steps.Resize{Height: 2, Width: 2, Method: "bicubic"}, tensor.Shape{2, 2, 1}, []float32{1, 2, 3, 4}, []float32{1, 2, 3, 4}},
	},
	"crop": { // torchvision 0.20: the margin of 1 pixel is 0 before, that of 3 is 2
		{steps.Crop{Height: 1, Width: 2}, tensor.Shape{2, 4, 1}, []float32{0, 1, 2, 3, 4, 5, 6, 7}, []float32{1, 2}},
		{steps.Crop{Height: 1, Width: 1}, tensor.Shape{1, 4, 1}, []float32{0, 1, 2, 3}, []float32{2}},
		{steps.Crop{Height: 2, Width: 1}, tensor.Shape{2, 2, 3}, []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, []float32{0, 1, 2, 6, 7, 8}},
		{steps.Crop{Height: 1, Width: 2}, tensor.Shape{1, 2, 1}, []float32{3, 4}, []float32{3, 4}},
	},
	"color": {
		{steps.Color{Mode: "rgb"}, tensor.Shape{1, 2, 1}, []float32{.25, 1}, []float32{.25, .25, .25, 1, 1, 1}},
		{steps.Color{Mode: "grey"}, tensor.Shape{1, 1, 3}, []float32{1, 0, 1}, []float32{27066. / 65536}},
		{steps.Color{Mode: "grey"}, tensor.Shape{1, 1, 1}, []float32{.5}, []float32{.5}},
	},
	"rescale": {
		{signature.Rescale{Scale: dataset.Values{.5}, Offset: dataset.Values{1}}, tensor.Shape{2}, []float32{2, 4, 0, -2}, []float32{2, 3, 1, 0}},
		{signature.Rescale{Scale: dataset.Values{2, 3}}, tensor.Shape{1, 2, 2}, []float32{1, 1, 2, 2}, []float32{2, 3, 4, 6}},
		{signature.Rescale{Offset: dataset.Values{0, 10}}, tensor.Shape{2}, []float32{1, 1}, []float32{1, 11}},
	},
	"standard": {
		{signature.Standard{}, tensor.Shape{2}, []float32{1, 5, 3, 5}, []float32{-1, 0, 1, 0}},
	},
}

// bind readies a step, which learns from the rows if it does.
func bind(t *testing.T, s signature.Step, in tensor.Shape, rows [][]float32) signature.Bound {
	t.Helper()
	f, learns := s.(signature.Fitter)
	if !learns {
		b, err := s.Bind(in)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	state, err := f.Fit(in, nil, slices.Values(rows))
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.BindFitted(in, state)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKnownRows holds each step against rows worked out by hand, and what can be
// undone against the rows that it came from.
func TestKnownRows(t *testing.T) {
	for _, e := range steps.Table().Entries() {
		if known[e.Name] == nil {
			t.Errorf("%s has no known rows", e.Name)
		}
		for _, c := range known[e.Name] {
			rows := slices.Collect(slices.Chunk(c.rows, c.in.Size()))
			b := bind(t, c.step, c.in, rows)
			var got []float32
			for _, row := range rows {
				shape := b.Out()
				if s, ok := b.(signature.Sized); ok {
					shape = s.Shape(c.in)
				}
				dst := make([]float32, shape.Size())
				if err := b.Apply(dst, row, c.in); err != nil {
					t.Fatal(err)
				}
				got = append(got, dst...)
				u, ok := b.(signature.Undoable)
				if !ok {
					continue
				}
				back := make([]float32, len(row))
				u.Undo(back, dst)
				for i := range back {
					if math.Abs(float64(back[i]-row[i])) > 1e-5*(1+math.Abs(float64(row[i]))) {
						t.Errorf("%s: %v undone is %v", e.Name, row, back)
					}
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%s: %v became %v, want %v", e.Name, c.rows, got, c.want)
				continue
			}
			for i, v := range c.want {
				if math.Abs(float64(got[i]-v)) > 1e-6*(1+math.Abs(float64(v))) {
					t.Errorf("%s: %v became %v, want %v", e.Name, c.rows, got, c.want)
					break
				}
			}
		}
	}
}

// TestFreeShapes: a step that keeps the shape of a row says so for images of any
// size, since images of their own sizes ask it.
func TestFreeShapes(t *testing.T) {
	for _, e := range steps.Table().Entries() {
		if _, learns := e.Default.(signature.Fitter); learns {
			continue
		}
		b, err := e.Default.Bind(tensor.Shape{0, 0, 3})
		if err != nil {
			continue // it takes images of one size
		}
		if _, ok := b.(signature.Sized); !ok && slices.Contains(b.Out(), 0) {
			t.Errorf("%s makes rows of %v and has no method Shape", e.Name, b.Out())
		}
	}
}

// TestCropTooSmall: an image that is smaller than what is kept of it is refused,
// as soon as its size is known.
func TestCropTooSmall(t *testing.T) {
	c := steps.Crop{Height: 2, Width: 2}
	if _, err := c.Bind(tensor.Shape{1, 4, 3}); err == nil || !strings.Contains(err.Error(), "the image is 1×4, smaller than 2×2") {
		t.Errorf("bound to a smaller image: %v", err)
	}
	b, err := c.Bind(tensor.Shape{0, 0, 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Apply(make([]float32, 4), make([]float32, 3), tensor.Shape{3, 1, 1}); err == nil || !strings.Contains(err.Error(), "the image is 3×1") {
		t.Errorf("applied to a smaller image: %v", err)
	}
}
