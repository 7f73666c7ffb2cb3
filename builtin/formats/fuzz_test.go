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
	f.Fuzz(func(t *testing.T, b []byte) { fuzzOnce(t, format, b, dataset.ReadOptions{}) })
}

func FuzzNPY(f *testing.F) {
	seed(f, numpy("*.npy"))
	f.Add(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (0, 3), }", 0))
	fuzzStream(f, NPY{})
}

func FuzzCSV(f *testing.F) {
	for _, text := range []string{irisCSV, "\uFEFF1;2\n3;\"4\"\n", "a\tb\n1\t\n", "# by hand\n5,1;3,5\r1,4;0,2\r", " 1 2  3 \n4 5 6\n", "\"\",a\n0,x\n"} {
		f.Add([]byte(text))
	}
	yes, no := true, false
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, o := range []dataset.ReadOptions{{}, {Header: &yes}, {Header: &no}, {Header: &no, Schema: mixedSchema}, {Schema: mixedSchema}} {
			fuzzOnce(t, CSV{}, b, o)
		}
	})
}

// mixedSchema has features of every kind.
var mixedSchema = &dataset.Schema{Label: "y", ID: "id", Features: []dataset.Feature{
	{Name: "a", Kind: dataset.KindNumber, Missing: true}, {Name: "b", Kind: dataset.KindInteger},
	{Name: "c", Kind: dataset.KindCategory, Categories: []string{"x", "1"}, Missing: true},
}}

// fuzzOnce reads b to the end.
func fuzzOnce(t *testing.T, format dataset.StreamFormat, b []byte, o dataset.ReadOptions) {
	t.Helper()
	c, err := dataset.NewContent(bytes.NewReader(b), "fuzz", int64(len(b)))
	if err != nil {
		return
	}
	r, err := format.Stream(c, o)
	if err == nil {
		datasettest.Exhaust(t, r)
	}
	_ = c.Close()
}

func FuzzJSONLines(f *testing.F) {
	for _, text := range []string{
		"[[1,2],[3,4]]\n[1,2,3,4]\n", "[1]\n[null]\n\n[[[2]]]", `{"a":1,"b":2,"c":"x"}` + "\n[1,2,1]\n", `[{"a":[1,2]},{"a":null}]`,
		"[\n[1,2],\n[3,\"4\"]]", `{"a":NaN,"b":{"x":[{}]},"c":"\u00e9\"","y":true}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, o := range []dataset.ReadOptions{{}, {Label: "y"}, {Label: "1"}, {Schema: mixedSchema}, {Schema: &dataset.Schema{Rules: map[string]dataset.ColumnRule{"0": {Missing: true}}}}} {
			fuzzOnce(t, JSONL{}, b, o)
		}
	})
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
		for _, o := range []dataset.ReadOptions{{}, {Schema: mixedSchema}, {Label: "label"}} {
			r, err := newParquetRecords(bytes.NewReader(b), int64(len(b)), "fuzz", o)
			if err != nil {
				continue
			}
			if table, err := dataset.NewTable(r, "fuzz", o); err == nil {
				datasettest.Exhaust(t, table)
			}
			_ = r.Close()
		}
	})
}
