package cli

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestInitUnits: intensities from 0 to 1 become the legal range that a model says,
// whatever that is, also one a channel.
func TestInitUnits(t *testing.T) {
	image := tensor.Shape{2, 2, 3}
	each := func(v ...float32) (out []float32) { // one a channel, for each pixel
		for range 4 {
			out = append(out, v...)
		}
		return out
	}
	for name, c := range map[string]struct {
		shape  tensor.Shape
		lo, hi []float32
		want   string
	}{
		"as they are":   {image, []float32{0}, []float32{1}, ""},
		"bytes":         {image, []float32{0}, []float32{255}, "{scale: 255}"},
		"dim":           {image, []float32{0}, []float32{.5}, "{scale: 0.5}"},
		"symmetric":     {image, []float32{-1}, []float32{1}, "{scale: 2, mean: 1}"},
		"deviations":    {image, []float32{-2.1}, []float32{2.6}, "{scale: 4.7, mean: 2.1}"},
		"signed bytes":  {tensor.Shape{12}, []float32{-128}, []float32{127}, "{scale: 255, mean: 128}"},
		"lopsided":      {image, []float32{-.5}, []float32{1}, "{scale: 1.5, mean: 0.5}"},
		"above":         {image, []float32{1}, []float32{2}, "{mean: -1}"},
		"below":         {image, []float32{-1}, []float32{0}, "{mean: 1}"},
		"by channel":    {image, each(-2.1, -2, -1.8), each(2.2, 2.4, 2.6), "{scale: [4.3, 4.4, 4.4], mean: [2.1, 2, 1.8]}"},
		"equal bytes":   {image, each(0, 0, 0), each(255, 255, 255), "{scale: 255}"},
		"equal columns": {tensor.Shape{4}, []float32{0, 0, 0, 0}, []float32{9, 9, 9, 9}, "{scale: 9}"},
	} {
		d := &draft{unit: true, image: len(c.shape) == 3, info: &sdk.Info{InputShape: c.shape, Lo: c.lo, Hi: c.hi}}
		d.reconcileUnits()
		if d.pre != c.want || d.unsure != "" {
			t.Errorf("%s: %q, want %q (%s)", name, d.pre, c.want, d.unsure)
			continue
		}
		var keys map[string]any
		if text := strings.NewReplacer("scale:", `"scale":`, "mean:", `"mean":`).Replace(d.pre); text != "" {
			if err := json.Unmarshal([]byte(text), &keys); err != nil {
				t.Fatal(err)
			}
		}
		var s preprocess.Section
		for key, n := range map[string]*preprocess.Numbers{"scale": &s.Scale, "mean": &s.Mean} {
			if v, ok := keys[key]; ok {
				if err := n.DecodeValue(v); err != nil {
					t.Fatal(err)
				}
			}
		}
		m, err := s.For(c.shape)
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.New(append([]int{2}, c.shape...)...)
		for j := range x.Row(1) {
			x.Row(1)[j] = 1
		}
		for i, want := range [][]float32{c.lo, c.hi} {
			for j, v := range m.Apply(x).Row(i) {
				if w := want[j%len(want)]; math.Abs(float64(v-w)) > 1e-6*math.Abs(float64(w))+1e-6 {
					t.Errorf("%s: %d becomes %v, want %v", name, i, v, w)
				}
			}
		}
	}
	for name, info := range map[string]*sdk.Info{
		"by pixel":   {InputShape: image, Lo: make([]float32, 12), Hi: slices.Concat([]float32{7}, each(1, 1, 1)[1:])},
		"by column":  {InputShape: tensor.Shape{2}, Lo: []float32{0, 0}, Hi: []float32{1, 2}},
		"no upper":   {InputShape: image, Lo: []float32{0}, Hi: []float32{float32(math.Inf(1))}},
		"one number": {InputShape: image, Lo: []float32{1}, Hi: []float32{1}},
	} {
		d := &draft{unit: true, image: true, info: info}
		if d.reconcileUnits(); d.pre != "" || d.unsure == "" {
			t.Errorf("%s: %q, %q, want a comment", name, d.pre, d.unsure)
		}
	}
}
