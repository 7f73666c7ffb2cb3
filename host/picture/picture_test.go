package picture_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/picture"
)

// array reads a .npy of testdata.
func array(t testing.TB, path string) (data []float32, shape []int) {
	t.Helper()
	a, err := dataset.ReadNPYFile(path)
	if err != nil {
		t.Fatal(err)
	}
	switch v := a.Data.(type) {
	case []float32:
		return v, a.Shape
	case []uint8:
		out := make([]float32, len(v))
		for i := range v {
			out[i] = float32(v[i])
		}
		return out, a.Shape
	case []int64:
		out := make([]float32, len(v))
		for i := range v {
			out[i] = float32(v[i])
		}
		return out, a.Shape
	}
	t.Fatalf("%s: an array of %T", path, a.Data)
	return nil, nil
}

func kinds(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/kinds/*")
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(s string) bool { return filepath.Ext(s) == ".npy" })
	if len(files) < 30 {
		t.Fatalf("%d files", len(files))
	}
	return files
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecode holds that images of each kind are those that Pillow decodes: bit
// for bit, but where alpha is laid on white.
func TestDecode(t *testing.T) {
	for _, file := range kinds(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b := read(t, file)
			m, err := picture.Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			h, w, c, err := picture.Measure(b)
			if err != nil || h != m.H || w != m.W || c != m.C {
				t.Errorf("measured %d×%d×%d, %v; it is %d×%d×%d", h, w, c, err, m.H, m.W, m.C)
			}
			want, shape := array(t, strings.TrimSuffix(file, filepath.Ext(file))+".npy")
			got := []int{m.H, m.W, m.C}[:len(shape)]
			if !slices.Equal(got, shape) || len(shape) == 2 && m.C != 1 {
				t.Fatalf("%d×%d×%d, want %v", m.H, m.W, m.C, shape)
			}
			full := float32(255)
			if strings.Contains(file, "sixteen") {
				full = 65535
			}
			tolerance := 0.0
			if strings.Contains(file, "alpha") {
				tolerance = 1e-6
			}
			worst, bad := 0.0, 0
			for i, v := range m.Pix {
				d := math.Abs(float64(v) - float64(want[i]/full))
				if worst = max(worst, d); d > tolerance {
					bad++
				}
			}
			if bad > 0 {
				t.Errorf("%d of %d numbers differ, by %v levels at most", bad, len(m.Pix), worst*float64(full))
			}
		})
	}
}

// TestResize holds resizing to Pillow's: the last digit may differ.
func TestResize(t *testing.T) {
	pix, shape := array(t, "testdata/resize/image.npy")
	src := &picture.Image{H: shape[0], W: shape[1], C: shape[2], Pix: pix}
	var dst picture.Image // used again
	for _, method := range picture.Methods() {
		files, err := filepath.Glob(fmt.Sprintf("testdata/resize/%s-*.npy", method))
		if err != nil || len(files) < 6 {
			t.Fatalf("%s: %d files, %v", method, len(files), err)
		}
		for _, file := range files {
			want, shape := array(t, file)
			dst.H, dst.W = shape[0], shape[1]
			picture.Resize(&dst, src, method)
			if dst.C != 3 || len(dst.Pix) != len(want) {
				t.Fatalf("%s: %d numbers of %d channels", file, len(dst.Pix), dst.C)
			}
			for i, v := range dst.Pix {
				const tolerance = 1e-6 // numbers are about 1
				if math.Abs(float64(v-want[i])) > tolerance {
					t.Errorf("%s: number %d is %v, want %v", file, i, v, want[i])
					break
				}
			}
		}
	}
	dst.H, dst.W = src.H, src.W
	if picture.Resize(&dst, src, picture.Bicubic); !slices.Equal(dst.Pix, src.Pix) {
		t.Error("an image of its own size is changed")
	}
}

func TestGray(t *testing.T) {
	src := &picture.Image{H: 1, W: 4, C: 3, Pix: []float32{1, 0, 0, 0, 1, 0, 0, 0, 1, 0.3, 0.3, 0.3}}
	var grey, rgb picture.Image
	picture.Gray(&grey, src)
	if want := []float32{19595. / 65536, 38470. / 65536, 7471. / 65536, 0.3}; grey.C != 1 || grey.W != 4 || !slices.Equal(grey.Pix, want) {
		t.Errorf("%+v, want %v", grey, want)
	}
	picture.RGB(&rgb, &grey)
	if rgb.C != 3 || rgb.H != 1 || rgb.W != 4 || !slices.Equal(rgb.Pix[9:], []float32{0.3, 0.3, 0.3}) || rgb.Pix[0] != rgb.Pix[2] {
		t.Errorf("%+v", rgb)
	}
	var again picture.Image
	if picture.RGB(&again, &rgb); !slices.Equal(again.Pix, rgb.Pix) {
		t.Error("three channels are changed")
	}
	if picture.Gray(&again, &grey); !slices.Equal(again.Pix, grey.Pix) || again.C != 1 {
		t.Error("one channel is changed")
	}
	if picture.Gray(src, src); !slices.Equal(src.Pix, grey.Pix) {
		t.Errorf("in place %v", src.Pix)
	}
}

// TestSixteenBits holds colours of 16 bits, plain and with alpha, to the last
// bit.
func TestSixteenBits(t *testing.T) {
	box := image.Rect(0, 0, 3, 1)
	plain, clear := image.NewRGBA64(box), image.NewNRGBA64(box)
	values := []uint16{0, 12345, 65535}
	for x, v := range values {
		plain.SetRGBA64(x, 0, color.RGBA64{v, 65535 - v, 7, 65535})
		clear.SetNRGBA64(x, 0, color.NRGBA64{1000, v, 65535, v})
	}
	for name, m := range map[string]image.Image{"plain": plain, "alpha": clear} {
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		got, err := picture.Decode(b.Bytes())
		if err != nil || got.C != 3 {
			t.Fatal(name, err)
		}
		for x, v := range values {
			want := [3]float32{float32(v) / 65535, float32(65535-v) / 65535, float32(7) / 65535}
			if name == "alpha" {
				a := float64(v) / 65535
				want = [3]float32{float32(1 - a*(1-1000./65535)), float32(1 - a*(1-a)), 1}
			}
			for k, w := range want {
				if d := got.Pix[3*x+k] - w; d != 0 && (name == "plain" || d > 1e-7 || d < -1e-7) {
					t.Errorf("%s: pixel %d channel %d is %v, want %v", name, x, k, got.Pix[3*x+k], w)
				}
			}
		}
	}
}
