package corruptions

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// disc is a grey disc off the centre on black, in the units of the box.
func disc(h, w, c int, lo, hi float32) []float32 {
	x := make([]float32, h*w*c)
	for i := range h {
		for j := range w {
			v := lo
			if math.Hypot(float64(i)-11, float64(j)-16) < 6 {
				v = lo + (hi-lo)*float32(.4+.02*float64(i))
			}
			for k := range c {
				x[(i*w+j)*c+k] = v
			}
		}
	}
	return x
}

func corrupt(t *testing.T, c evaluate.Corruption, x []float32, s tensor.Shape, box attack.Box, severity int) []float32 {
	t.Helper()
	y := make([]float32, len(x))
	if err := c.Corrupt(y, x, s, box, severity, rand.New(rand.NewPCG(1, 2))); err != nil {
		t.Fatal(err)
	}
	box.Clip(y)
	return y
}

// Every corruption changes the image, more at severity 5 than at 1, in the
// same way for one seed, in any units, and leaves x alone.
func TestTable(t *testing.T) {
	for _, e := range Table().Entries() {
		t.Run(e.Name, func(t *testing.T) {
			if got := e.Default.Levels(); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
				t.Errorf("levels %v", got)
			}
			for _, s := range []tensor.Shape{{28, 28, 1}, {28, 28, 3}} {
				unit := attack.Box{Lo: []float32{0}, Hi: []float32{1}}
				x := disc(28, 28, s[2], 0, 1)
				before := slices.Clone(x)
				var size [6]float64
				for severity := 1; severity <= 5; severity++ {
					y := corrupt(t, e.Default, x, s, unit, severity)
					size[severity] = attack.L2.Distance(x, y)
					if !slices.Equal(y, corrupt(t, e.Default, x, s, unit, severity)) {
						t.Errorf("severity %d: one seed, two results", severity)
					}
				}
				if size[1] == 0 || size[5] <= size[1] {
					t.Errorf("%v: change %v, want it to grow from severity 1 to 5", s, size[1:])
				}
				if !slices.Equal(before, x) {
					t.Error("x was changed")
				}
				wide := attack.Box{Lo: []float32{0}, Hi: []float32{4}}
				y := corrupt(t, e.Default, disc(28, 28, s[2], 0, 4), s, wide, 3)
				for j, v := range corrupt(t, e.Default, x, s, unit, 3) {
					if math.Abs(float64(y[j]-4*v)) > 1e-4 {
						t.Fatalf("feature %d is %g in a box of [0, 4] and %g in [0, 1]", j, y[j], v)
					}
				}
			}
		})
	}
}

// Noise, brightness and contrast work on tables; the others say what they need.
func TestFlat(t *testing.T) {
	s, box := tensor.Shape{4}, attack.Box{Lo: []float32{0, 0, 0, 10}, Hi: []float32{1, 1, 1, 20}}
	for _, e := range Table().Entries() {
		err := e.Default.Corrupt(make([]float32, 4), []float32{.1, .5, .9, 14}, s, box, 3, rand.New(rand.NewPCG(1, 1)))
		flat := slices.Contains([]string{"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "brightness", "contrast"}, e.Name)
		if (err == nil) != flat {
			t.Errorf("%s on a table: %v", e.Name, err)
		}
		if said := evaluate.Fits(e.Default, s); (said == nil) != flat {
			t.Errorf("%s says of a table: %v, and does: %v", e.Name, said, err)
		}
	}
}

// Closed forms: the shift of the mean, the spread of noise, a translation by
// whole pixels, and the mean that a blur keeps.
func TestValues(t *testing.T) {
	s, unit := tensor.Shape{40, 40, 1}, attack.Box{Lo: []float32{0}, Hi: []float32{1}}
	x := make([]float32, 1600)
	for j := range x {
		x[j] = .5
	}
	spread := func(c evaluate.Corruption) float64 {
		return attack.L2.Distance(x, corrupt(t, c, x, s, unit, 5)) / 40
	}
	for _, c := range []struct {
		name string
		got  float64
		want float64
	}{
		{"gaussian .10", spread(&GaussianNoise{}), .10}, {"speckle .20·.5", spread(&SpeckleNoise{}), .10},
		{"shot √(.5/50)", spread(&ShotNoise{}), .10}, {"impulse .5·√.07", spread(&ImpulseNoise{}), .1323},
		{"brightness .3", spread(&Brightness{}), .3}, {"blur of a constant", spread(&Blur{}), 0}, {"contrast of a constant", spread(&Contrast{}), 0},
	} {
		if math.Abs(c.got-c.want) > .01 {
			t.Errorf("%s: deviation %.4f, want %.4f", c.name, c.got, c.want)
		}
	}
	p := &canvas{h: 3, w: 3, c: 1, v: []float64{0, 0, 0, 0, 1, 0, 0, 0, 0}}
	p.affine(1, 0, 0, 1, 1, -1)
	if p.v[6] != 1 {
		t.Errorf("one down, one left: %v", p.v)
	}
	q := &canvas{h: 3, w: 3, c: 1, v: []float64{0, 1, 0, 0, 0, 0, 0, 0, 0}}
	q.affine(0, -1, 1, 0, 0, 0)
	if math.Abs(q.v[3]+q.v[5]-1) > 1e-9 {
		t.Errorf("a quarter turn: %v", q.v)
	}
}
