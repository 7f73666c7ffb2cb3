package formats

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/dataset/datasettest"
)

// seed adds files.
func seed(f *testing.F, patterns ...string) {
	f.Helper()
	for _, p := range patterns {
		list, err := filepath.Glob(p)
		if err != nil || len(list) == 0 {
			f.Fatalf("no files %s (%v)", p, err)
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

// fuzzStream fuzzes a format that streams, plain or packed.
func fuzzStream(f *testing.F, format dataset.StreamFormat) {
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := dataset.NewContent(bytes.NewReader(b), "fuzz", int64(len(b)))
		if err != nil {
			return
		}
		r, err := format.Stream(c, dataset.ReadOptions{})
		if err == nil {
			datasettest.Exhaust(t, r)
		}
		_ = c.Close()
	})
}

func FuzzNPY(f *testing.F) {
	seed(f, numpy("*.npy"))
	f.Add(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", 0))
	fuzzStream(f, NPY{})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte(irisCSV))
	f.Add([]byte("\uFEFF1;2\n3;\"4\"\n"))
	f.Add([]byte("a\tb\n1\t\n"))
	fuzzStream(f, CSV{})
}

func FuzzJSONLines(f *testing.F) {
	f.Add([]byte("[[1,2],[3,4]]\n[1,2,3,4]\n"))
	f.Add([]byte("[1]\n[null]\n\n[[[2]]]"))
	fuzzStream(f, JSONL{})
}

func FuzzIDX(f *testing.F) {
	f.Add(idx([]int{2, 1, 2}, []byte{0, 255, 51, 102}))
	f.Add(idx([]int{1, 1, 1, 1}, []byte{1}))
	f.Add(idx([]int{1}, []byte{1}))
	fuzzStream(f, IDX{})
}

func FuzzIDXLabels(f *testing.F) {
	f.Add(idx([]int{3}, []byte{0, 255, 51}))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := dataset.NewContent(bytes.NewReader(b), "fuzz", int64(len(b)))
		if err != nil {
			return
		}
		a, err := idxLabels(c)
		if err != nil {
			return
		}
		if y, err := a.Ints(); err != nil || len(y) != a.Shape[0] {
			t.Errorf("%d labels of %v, %v", len(y), a.Shape, err)
		}
	})
}

func FuzzParquet(f *testing.F) {
	seed(f, fixture("*.parquet"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := newParquetRows(bytes.NewReader(b), int64(len(b)), "fuzz", ""); err == nil {
			datasettest.Exhaust(t, r)
			_ = r.Close()
		}
	})
}
