package methods

import (
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestMedian(t *testing.T) {
	// scipy.ndimage.median_filter(a, 2) and (a, 3), mode reflect.
	x := []float32{1, 9, 3, 4, 5, 2, 8, 7, 6}
	shape := tensor.Shape{3, 3, 1}
	for _, c := range []struct {
		size int
		want []float32
	}{
		{2, []float32{1, 9, 9, 4, 5, 5, 8, 7, 6}},
		{3, []float32{4, 3, 3, 5, 5, 5, 7, 6, 6}},
	} {
		got := make([]float32, 9)
		Median{Size: c.size}.Squeeze(got, x, shape)
		if !slices.Equal(got, c.want) {
			t.Errorf("size %d: %v, want %v", c.size, got, c.want)
		}
	}
	dx := make([]float32, 9)
	Median{Size: 2}.Pull(dx, []float32{1, 1, 1, 1, 1, 1, 1, 1, 1}, x, shape)
	if want := []float32{1, 2, 0, 1, 2, 0, 1, 1, 1}; !slices.Equal(dx, want) {
		t.Errorf("pull %v, want %v", dx, want)
	}
}

func TestBitDepth(t *testing.T) {
	got := make([]float32, 4)
	BitDepth{Bits: 1, Lo: 0, Hi: 1}.Squeeze(got, []float32{0.2, 0.49, 0.51, 1}, nil)
	if want := []float32{0, 0, 1, 1}; !slices.Equal(got, want) {
		t.Errorf("1 bit: %v, want %v", got, want)
	}
	BitDepth{Bits: 2, Lo: -1, Hi: 2}.Squeeze(got, []float32{-1, -0.4, 0.6, 2}, nil)
	if want := []float32{-1, 0, 1, 2}; !slices.Equal(got, want) {
		t.Errorf("2 bits: %v, want %v", got, want)
	}
}
