package picture_test

import (
	"math"
	"runtime"
	"testing"

	"github.com/vaeguard/vaeguard/host/picture"
)

// TestResizeTall: a picture of a single column, which a file of a few kB can be, takes
// no memory for all of its rows at the new width.
func TestResizeTall(t *testing.T) {
	const h, side = 1 << 19, 64
	src := &picture.Image{H: h, W: 1, C: 1, Pix: make([]float32, h)}
	for i := range src.Pix {
		src.Pix[i] = float32(i%256) / 255
	}
	dst := &picture.Image{H: side, W: side}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	picture.Resize(dst, src, picture.Bilinear)
	runtime.ReadMemStats(&after)
	const most = 48 << 20
	if n := after.TotalAlloc - before.TotalAlloc; n > most {
		t.Errorf("%d MiB for %d MiB of pixels, want at most %d", n>>20, 4*h>>20, most>>20)
	}
	for i, v := range dst.Pix { // the mean of all levels but for the ends
		if y := i / side; math.Abs(float64(v)-.5) > 5e-3 || v != dst.Pix[y*side] {
			t.Fatalf("pixel %d is %v", i, v)
		}
	}
}

// TestResizeStrips: what is resized in strips of columns has the bits of its columns
// alone.
func TestResizeStrips(t *testing.T) {
	const h, w, c, height, width = 40000, 3, 3, 7, 90 // 40000·90·3 numbers are more than a strip
	src := &picture.Image{H: h, W: w, C: c, Pix: make([]float32, h*w*c)}
	for i := range src.Pix {
		src.Pix[i] = float32(i*7919%1009) / 1009
	}
	for _, method := range picture.Methods() {
		// Width alone, then height alone, column by column: no strips in either.
		wide := &picture.Image{H: 1, W: width}
		want := make([]float32, height*width*c)
		rows := make([]float32, h*width*c)
		for y := range h {
			picture.Resize(wide, &picture.Image{H: 1, W: w, C: c, Pix: src.Pix[y*w*c : (y+1)*w*c]}, method)
			copy(rows[y*width*c:], wide.Pix)
		}
		for x := range width {
			column := &picture.Image{H: h, W: 1, C: c, Pix: make([]float32, h*c)}
			for y := range h {
				copy(column.Pix[y*c:(y+1)*c], rows[(y*width+x)*c:])
			}
			low := &picture.Image{H: height, W: 1}
			picture.Resize(low, column, method)
			for y := range height {
				copy(want[(y*width+x)*c:(y*width+x+1)*c], low.Pix[y*c:])
			}
		}
		got := &picture.Image{H: height, W: width}
		picture.Resize(got, src, method)
		for i, v := range got.Pix {
			if math.Float32bits(v) != math.Float32bits(want[i]) {
				t.Fatalf("%s: number %d is %v, want %v", method, i, v, want[i])
			}
		}
	}
}
