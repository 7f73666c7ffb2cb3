package dataset

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
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

// exhaust reads rows to the end and holds what every reader promises: finite
// numbers, rows counted, an end.
func exhaust(t *testing.T, r rows) {
	t.Helper()
	n := r.example().Size()
	if n < 1 || n > maxElements {
		t.Fatalf("example %v", r.example())
	}
	if n > 1<<20 {
		return
	}
	dst := make([]float32, n)
	good, bad := 0, 0
	for {
		err := r.next(dst)
		var row *RowError
		switch {
		case err == nil:
			good++
			for _, v := range dst {
				if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
					t.Fatalf("row %d has %v", good, v)
				}
			}
			continue
		case errors.As(err, &row):
			if row.Row != good+bad {
				t.Fatalf("bad row %d is called %d", good+bad, row.Row)
			}
			bad++
			continue
		case errors.Is(err, io.EOF):
			if c := r.count(); c >= 0 && c != good+bad {
				t.Fatalf("%d rows, %d counted", good+bad, c)
			}
		}
		return
	}
}

// fuzzContent fuzzes a format that streams, plain or packed.
func fuzzContent(f *testing.F, open func(c *content) (rows, error)) {
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := newContent(bytes.NewReader(b), "fuzz", int64(len(b)))
		if err != nil {
			return
		}
		r, err := open(c)
		if err == nil {
			exhaust(t, r)
		}
		_ = c.close()
	})
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
		c, err := newContent(bytes.NewReader(b), "fuzz", int64(len(b)))
		if err != nil {
			return
		}
		if r, err := newNPYRows(c); err == nil {
			exhaust(t, r)
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
		for _, k := range z.keys() {
			_, _ = z.array(k)
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(irisCSV))
	f.Add([]byte("\uFEFF1;2\n3;\"4\"\n"))
	f.Add([]byte("a\tb\n1\t\n"))
	fuzzContent(f, func(c *content) (rows, error) { return newCSVRows(c, "") })
}

func FuzzJSONLines(f *testing.F) {
	f.Add([]byte("[[1,2],[3,4]]\n[1,2,3,4]\n"))
	f.Add([]byte("[1]\n[null]\n\n[[[2]]]"))
	fuzzContent(f, func(c *content) (rows, error) { return newJSONRows(c, nil) })
}

func FuzzIDX(f *testing.F) {
	f.Add(idx([]int{2, 1, 2}, []byte{0, 255, 51, 102}))
	f.Add(idx([]int{1, 1, 1, 1}, []byte{1}))
	f.Add(idx([]int{1}, []byte{1}))
	fuzzContent(f, func(c *content) (rows, error) { return newIDXRows(c) })
}

func FuzzIDXLabels(f *testing.F) {
	f.Add(idx([]int{3}, []byte{0, 255, 51}))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if c, err := newContent(bytes.NewReader(b), "fuzz", int64(len(b))); err == nil {
			if a, err := idxLabels(c); err == nil {
				_, _, _ = a.labels("fuzz", -1)
			}
		}
	})
}

func FuzzImage(f *testing.F) {
	seed(f, "*.png", "*.jpg")
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, s := range []tensor.Shape{{4, 6, 3}, {4, 6, 1}} {
			dst := make([]float32, s.Size())
			if decodeImage(dst, b, s) != nil {
				continue
			}
			for _, v := range dst {
				if !(v >= 0 && v <= 1) {
					t.Fatalf("intensity %v", v)
				}
			}
		}
	})
}

func FuzzParquet(f *testing.F) {
	seed(f, "*.parquet")
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := newParquetRows(bytes.NewReader(b), int64(len(b)), "fuzz", ""); err == nil {
			exhaust(t, r)
			_ = r.close()
		}
	})
}
