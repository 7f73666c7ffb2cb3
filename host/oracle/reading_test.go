package oracle

import (
	"math"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/sdk"
)

func TestReading(t *testing.T) {
	row := make([]float64, 3)
	stored := make([]float32, 3)
	r := Reading{Kind: sdk.Probabilities, Temperature: .5, Clip: 1e-7}
	out := []float32{.75, .25, 0}
	r.LogP(row, out)
	if want := -30 * math.Ln10; math.Abs(row[2]-want) > 1e-12 {
		t.Errorf("ln P of a zero is %v, want %v: the clip is for what is stored", row[2], want)
	}
	r.Store(stored, row)
	if want := []float32{float32(math.Log(.75)), float32(math.Log(.25)), float32(math.Log(1e-7))}; !slices.Equal(stored, want) {
		t.Errorf("stored %v, want %v", stored, want)
	}
	r.Sharpen(row) // ∝ 9, 1, 0
	r.Store(stored, row)
	for c, want := range []float64{math.Log(.9), math.Log(.1), math.Log(1e-7)} {
		if math.Abs(float64(stored[c])-want) > 1e-6 {
			t.Errorf("sharpened class %d is %v, want %v", c, stored[c], want)
		}
	}
	r.Clip = 0
	r.Store(stored, row)
	// (1e-30)² of ¾² + ¼² = ⅝
	if want := -60*math.Ln10 - math.Log(.625); math.Abs(float64(stored[2])-want) > 1e-5 {
		t.Errorf("without a clip a zero is %v, want %v", stored[2], want)
	}
	got := make([]float32, 3)
	if r.P(got, out); !slices.Equal(got, out) {
		t.Errorf("P of probabilities is %v, want %v", got, out)
	}
	r.Logits().P(got, []float32{0, float32(math.Log(2)), 0})
	for c, want := range []float64{.25, .5, .25} {
		if math.Abs(float64(got[c])-want) > 1e-7 {
			t.Errorf("P of logits is %v, want ¼ ½ ¼", got)
		}
	}
	if r.Kind != sdk.Probabilities {
		t.Error("Logits changed the reading itself")
	}
}

// TestPull: the way back against central differences in float64, through
// logits and probabilities, a temperature and a clip, and at logits so large
// that one class has all.
func TestPull(t *testing.T) {
	dlogp, dlogpt := []float32{1, -2, .5, .25}, []float32{-.5, 1, 2, -1}
	for name, c := range map[string]struct {
		r   Reading
		out []float32
	}{
		"logits":            {Reading{Kind: sdk.Logits, Temperature: 1}, []float32{.3, -1, 2, .5}},
		"sharp logits":      {Reading{Kind: sdk.Logits, Temperature: .5}, []float32{.3, -1, 2, .5}},
		"clipped logits":    {Reading{Kind: sdk.Logits, Temperature: 2, Clip: 1e-2}, []float32{.3, -1, 2, -8}},
		"extreme logits":    {Reading{Kind: sdk.Logits, Temperature: 1}, []float32{1e4, -1e4, 0, 50}},
		"clipped extremes":  {Reading{Kind: sdk.Logits, Temperature: .7, Clip: 1e-7}, []float32{1e4, -1e4, 0, 50}},
		"probabilities":     {Reading{Kind: sdk.Probabilities, Temperature: 1}, []float32{.5, .125, .25, .125}},
		"soft ones":         {Reading{Kind: sdk.Probabilities, Temperature: 4}, []float32{.5, .125, .25, .125}},
		"clipped ones":      {Reading{Kind: sdk.Probabilities, Temperature: .5, Clip: .1}, []float32{.5, .125, .3, .075}},
		"ones below a clip": {Reading{Kind: sdk.Probabilities, Temperature: 1, Clip: .2}, []float32{.5, .125, .25, .125}},
	} {
		// value is Σ dlogp·ln P + Σ dlogpt·ln P_T, what is stored taken unrounded.
		value := func(out []float64) float64 {
			l := make([]float64, len(out))
			for j, v := range out {
				l[j] = v
				if c.r.Kind == sdk.Probabilities {
					l[j] = math.Log(v)
				}
			}
			if c.r.Kind == sdk.Logits {
				LogSoftmax(l)
			}
			floor, sum := math.Inf(-1), 0.0
			if c.r.Clip > 0 {
				floor = math.Log(c.r.Clip)
			}
			for j, v := range l {
				sum += float64(dlogp[j]) * max(v, floor)
			}
			if c.r.Temperature != 1 {
				for j := range l {
					l[j] /= c.r.Temperature
				}
				LogSoftmax(l)
			}
			for j, v := range l {
				sum += float64(dlogpt[j]) * max(v, floor)
			}
			return sum
		}
		got := []float32{10, 10, 10, 10} // Pull adds
		c.r.Pull(got, c.out, dlogp, dlogpt)
		x := make([]float64, len(c.out))
		for j, v := range c.out {
			x[j] = float64(v)
		}
		const h, tolerance = 1e-6, 2e-6
		for j := range x {
			at := x[j]
			x[j] = at + h
			up := value(x)
			x[j] = at - h
			down := value(x)
			x[j] = at
			// sums near 1e4 leave 1e-12/h of the difference
			want := 10 + (up-down)/(2*h)
			if d := math.Abs(float64(got[j]) - want); d > tolerance*(1+math.Abs(want))+1e-16*math.Abs(up)/h {
				t.Errorf("%s: gradient at output %d is %v, want %v", name, j, got[j]-10, want-10)
			}
		}
	}
}

// TestPullFloor: a probability of zero has the slope of the floor, and nothing
// if it is clipped.
func TestPullFloor(t *testing.T) {
	d := []float32{0, 1e-10}
	got := make([]float32, 2)
	r := Reading{Kind: sdk.Probabilities, Temperature: 1}
	r.Pull(got, []float32{1, 0}, d, nil)
	if want := float32(1e20); got[0] != 0 || math.Abs(float64(got[1]/want-1)) > 1e-6 {
		t.Errorf("gradient is %v, want 0, 1e20", got)
	}
	clear(got)
	r.Clip = 1e-7
	r.Pull(got, []float32{1, 0}, d, nil)
	if got[0] != 0 || got[1] != 0 {
		t.Errorf("below the clip the gradient is %v, want zeros", got)
	}
}
