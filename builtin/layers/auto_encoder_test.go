package layers_test

import (
	"fmt"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// autoShapes are rows of 1 to 1024 numbers, images of 4×4 to 224×224 with even,
// odd and unequal sides and 1 and 3 channels, and what is neither.
func autoShapes() []tensor.Shape {
	var out []tensor.Shape
	for _, n := range []int{1, 2, 3, 4, 7, 13, 30, 63, 64, 100, 127, 256, 561, 784, 1024} {
		out = append(out, tensor.Shape{n})
	}
	for _, side := range []int{4, 5, 7, 8, 9, 15, 16, 17, 27, 28, 31, 32, 33, 63, 96, 127, 128, 223, 224} {
		for _, channels := range []int{1, 3} {
			out = append(out, tensor.Shape{side, side, channels})
		}
	}
	return append(out, []tensor.Shape{
		{1, 1, 1}, {1, 100, 1}, {100, 1, 3}, {9, 8, 1}, {8, 57, 3}, {57, 8, 3}, {7, 224, 1}, {120, 161, 3}, {33, 66, 2},
		{12, 5}, {128, 9}, {2, 3, 4, 5}, {7, 7, 512}, {40000},
	}...)
}

// TestAutoEncoder: whatever the shape of a row, the auto-encoder ends in it, its
// code is not wider, and it has no more numbers than a small network.
func TestAutoEncoder(t *testing.T) {
	const most = 4 << 20 // numbers of params
	for _, in := range autoShapes() {
		for _, coding := range []vae.Coding{vae.Sampled, vae.Plain} {
			t.Run(fmt.Sprintf("%v %s", in, coding), func(t *testing.T) {
				s := layers.AutoEncoder(in, coding, false)
				m, err := vae.Build(vae.Options{Section: s, Input: in, Coding: coding}, 1)
				if err != nil {
					t.Fatal(err)
				}
				if out := m.Decoder.Out(); !out.Equal(in) {
					t.Errorf("ends in %v", out)
				}
				if n := in.Size(); s.LatentDim < 1 || s.LatentDim > n || n >= 16 && s.LatentDim > n/2 {
					t.Errorf("a code of %d for %d numbers", s.LatentDim, n)
				}
				if n, _ := vae.Total(m.Describe()); n > most {
					t.Errorf("%d params, want at most %d", n, most)
				}
			})
		}
	}
}

// TestAutoEncoderLast: intensities end in a sigmoid, other numbers in nothing, and
// so does the code of an encoder without heads.
func TestAutoEncoderLast(t *testing.T) {
	for _, in := range []tensor.Shape{{28, 28, 1}, {30}} {
		for unit, want := range map[bool]string{true: "sigmoid", false: "linear"} {
			s := layers.AutoEncoder(in, vae.Plain, unit)
			if got := activation(t, s.Decoder[len(s.Decoder)-1]); got != want {
				t.Errorf("%v, unit %v: the decoder ends in %s, want %s", in, unit, got, want)
			}
			if got := activation(t, s.Encoder[len(s.Encoder)-1]); got != "linear" {
				t.Errorf("%v: the encoder ends in %s", in, got)
			}
		}
	}
}

func activation(t *testing.T, m nn.Maker) string {
	t.Helper()
	switch m := m.(type) {
	case layers.Dense:
		return m.Activation.Name
	case layers.Conv2DTranspose:
		return m.Activation.Name
	}
	t.Fatalf("the last layer is a %T", m)
	return ""
}
