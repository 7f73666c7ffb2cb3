package jpeg

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// reference reads a .npy of bytes: H×W or H×W×3.
func reference(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 || !bytes.Contains(b[:end], []byte("'|u1'")) || !bytes.Contains(b[:end], []byte("'fortran_order': False")) {
		t.Fatalf("%s: no array of bytes", path)
	}
	return b[end+1:]
}

// TestPillow holds that the pixels are those of libjpeg-turbo, bit for bit.
// VAEGUARD_JPEG_PHOTOS may name another folder of NAME.jpg and NAME.npy.
func TestPillow(t *testing.T) {
	folder := "testdata"
	if other := os.Getenv("VAEGUARD_JPEG_PHOTOS"); other != "" {
		folder = other
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.jpg"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m, h, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if h.H != m.H || h.W != m.W || h.C != m.C {
				t.Errorf("header %+v, image %d×%d×%d", h, m.H, m.W, m.C)
			}
			want := reference(t, strings.TrimSuffix(file, ".jpg")+".npy")
			if err := same(m.Pix, want); err != nil {
				t.Error(err)
			}
		})
	}
}

// same compares pixels, and says how much they differ.
func same(got, want []byte) error {
	if len(got) != len(want) {
		return fmt.Errorf("%d bytes, want %d", len(got), len(want))
	}
	most, sum, n := 0, 0, 0
	for i, v := range got {
		d := int(v) - int(want[i])
		d = max(d, -d)
		most, sum = max(most, d), sum+d
		if d > 0 {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d bytes differ, by %d at most and %.3f in the mean", n, len(got), most, float64(sum)/float64(len(got)))
	}
	return nil
}
