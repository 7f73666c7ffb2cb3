package dataset

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// seed adds files of testdata.
func seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, p := range patterns {
		list, err := filepath.Glob(fixture(p))
		if err != nil || len(list) == 0 {
			f.Fatalf("no fixture %s (%v)", p, err)
		}
		for _, name := range list {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
}

func FuzzNPY(f *testing.F) {
	seed(f, "*.npy")
	f.Add(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ReadNPY(bytes.NewReader(b))
		if err == nil {
			var out bytes.Buffer
			if _, text := a.Data.([]string); !text {
				if err := WriteNPY(&out, a); err != nil {
					t.Fatal(err)
				}
				again, err := ReadNPY(&out)
				if err != nil || !again.Shape.Equal(a.Shape) {
					t.Fatalf("rewritten: %v, %v, want %v", again.Shape, err, a.Shape)
				}
			}
			_, _, _ = a.labels("fuzz", -1)
		}
	})
}

func FuzzNPZ(f *testing.F) {
	seed(f, "*.npz")
	f.Fuzz(func(_ *testing.T, b []byte) {
		z, err := newNPZ(bytes.NewReader(b), int64(len(b)), "fuzz")
		if err != nil {
			return
		}
		for _, k := range z.Keys() {
			_, _ = z.Array(k)
		}
	})
}
