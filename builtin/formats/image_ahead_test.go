package formats

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/picture"
)

// noise is a picture of h by w, another for each seed.
func noise(h, w int, seed uint64) *image.NRGBA {
	rng := rand.New(rand.NewPCG(seed, 1))
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(rng.UintN(256)), uint8(x), uint8(y), 255})
		}
	}
	return m
}

// photos is a folder of n files of which some are damaged, of other sizes, and
// too large to be decoded ahead; and what each is, nil of a damaged one.
func photos(t testing.TB, n int) (dir string, want []*picture.Image) {
	t.Helper()
	dir = t.TempDir()
	for i := range n {
		var m image.Image = noise(9, 7, uint64(i))
		switch i {
		case 11:
			m = noise(10, 7, uint64(i))
		case 17:
			m = image.NewGray(image.Rect(0, 0, 2100, 2000)) // more than aheadNumbers
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		data := b.Bytes()
		if i == 13 || i == 14 {
			data = data[:len(data)/2]
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.png", i)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		decoded, err := picture.Decode(data)
		if err != nil {
			decoded = nil
		}
		want = append(want, decoded)
	}
	return dir, want
}

// holds compares a row with the file.
func holds(t *testing.T, i int, want *picture.Image, data []float32, shape [3]int, err error) {
	t.Helper()
	var bad *dataset.RowError
	if want == nil {
		if !errors.As(err, &bad) || bad.Row != i || !strings.Contains(err.Error(), fmt.Sprintf("%03d.png", i)) {
			t.Errorf("damaged file %d: %v", i, err)
		}
		return
	}
	if err != nil || shape != [3]int{want.H, want.W, want.C} || !slices.Equal(data, want.Pix) {
		t.Errorf("row %d: %v, %v", i, shape, err)
	}
}

// TestImagesAhead holds that what is decoded ahead is what is decoded when it is
// due, in order, with the errors of each file in its place.
func TestImagesAhead(t *testing.T) {
	dir, want := photos(t, 40)
	r := readFolder(t, dir)
	for i := 0; i < len(want); i++ {
		if i == 20 { // past some that are under way
			if n, err := r.Skip(9); n != 9 || err != nil {
				t.Fatalf("skipped %d: %v", n, err)
			}
			i += 9
		}
		data, shape, err := r.NextImage()
		holds(t, i, want[i], data, shape, err)
		for k := range r.ahead.flying {
			if k <= i { // it would be in another's place for ever
				t.Fatalf("file %d is kept after row %d", k, i)
			}
		}
	}
	if _, _, err := r.NextImage(); !errors.Is(err, io.EOF) {
		t.Errorf("after the last: %v", err)
	}
	if err := r.Close(); err != nil || len(r.ahead.flying) > 0 {
		t.Errorf("%v, %d files are still under way", err, len(r.ahead.flying))
	}

	r = readFolder(t, dir)
	row := make([]float32, 9*7*3)
	for i := range want {
		err := r.Next(row)
		if i == 11 || i == 17 {
			if err == nil || !strings.Contains(err.Error(), "data.prepare: resize") {
				t.Errorf("row %d of another size: %v", i, err)
			}
			continue
		}
		holds(t, i, want[i], row, [3]int{9, 7, 3}, err)
	}
}

// TestImageAt holds that files are read in any order as they were in order, and no
// more once they have changed.
func TestImageAt(t *testing.T) {
	dir, want := photos(t, 40)
	r := readFolder(t, dir)
	for {
		if _, _, err := r.NextImage(); errors.Is(err, io.EOF) {
			break
		}
	}
	rng := rand.New(rand.NewPCG(3, 4))
	row := make([]float32, 9*7*3)
	for range 3 {
		plan := rng.Perm(len(want))
		r.Ahead(plan[:30])
		for k, i := range append(plan[5:], 7, 7, 3) { // not quite as told
			if k%2 == 0 {
				data, shape, err := r.ImageAt(i)
				holds(t, i, want[i], data, shape, err)
			} else if i != 11 && i != 17 {
				err := r.At(row, i)
				holds(t, i, want[i], row, [3]int{9, 7, 3}, err)
			}
		}
	}
	other, err := os.ReadFile(filepath.Join(dir, "004.png"))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "005.png"), other, 0o600)
	}
	if err == nil {
		err = os.Remove(filepath.Join(dir, "006.png"))
	}
	if err != nil {
		t.Fatal(err)
	}
	r.Ahead([]int{4, 5, 6})
	if _, _, err := r.ImageAt(4); err != nil {
		t.Error(err)
	}
	for i, want := range map[int]string{5: "row 5: 005.png: the file has changed", 6: "row 6: 006.png"} {
		if _, _, err := r.ImageAt(i); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("row %d: %v, want %q", i, err, want)
		}
	}
}

// BenchmarkFolder reads photographs of 224×224 in order.
func BenchmarkFolder(b *testing.B) {
	const files = 64
	dir := b.TempDir()
	for i := range files {
		var out bytes.Buffer
		if err := jpeg.Encode(&out, noise(224, 224, uint64(i)), &jpeg.Options{Quality: 80}); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.jpg", i)), out.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		r, err := Folder{}.Open(dir, dataset.ReadOptions{})
		if err != nil {
			b.Fatal(err)
		}
		images := r.(*imageRows)
		for err == nil {
			_, _, err = images.NextImage()
		}
		if !errors.Is(err, io.EOF) {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/files, "ns/row")
}
