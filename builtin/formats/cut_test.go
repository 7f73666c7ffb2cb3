package formats_test

import (
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

// cutFiles writes the same kind of rows in many formats: 3 classes, in no order.
func cutFiles(t *testing.T) map[string]dataset.Source {
	t.Helper()
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(7, 7))
	const n = 60
	pixels, labels := make([]byte, n*4), make([]byte, n)
	for i := range pixels {
		pixels[i] = byte(rng.UintN(256))
	}
	for i := range labels {
		labels[i] = byte(rng.UintN(3))
	}
	numbers, names := make([]float32, len(pixels)), make([]string, n)
	for i, p := range pixels {
		numbers[i] = float32(p) / 7
	}
	for i, y := range labels {
		names[i] = []string{"cat", "dog", "ant"}[y]
	}
	put := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	idx := func(b []byte, dims ...uint32) []byte {
		out := []byte{0, 0, 8, byte(len(dims))}
		for _, d := range dims {
			out = binary.BigEndian.AppendUint32(out, d)
		}
		return append(out, b...)
	}
	write := func(name string, arrays ...dataset.Array) string {
		path := filepath.Join(dir, name)
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if strings.HasSuffix(name, ".npy") {
			err = dataset.WriteNPY(f, arrays[0])
		} else {
			err = dataset.WriteNPZ(f, arrays)
		}
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	x := dataset.Array{Name: "x", Shape: []int{n, 4}, Data: numbers}
	y := dataset.Array{Name: "y", Shape: []int{n}, Data: names}
	var csv, lines, wide strings.Builder
	csv.WriteString("a,b,c,d,class\n")
	for i := range n {
		v := numbers[4*i:]
		fmt.Fprintf(&csv, "%v,%v,%v,%v,%s\n", v[0], v[1], v[2], v[3], names[i])
		fmt.Fprintf(&lines, `{"a":%v,"b":%v,"class":%q,"c":%v}`+"\n", v[0], v[1], names[i], v[2])
	}
	const columns = 1<<22/n + 1 // too many numbers to be kept for the case
	wide.WriteString("class")
	for j := range columns {
		fmt.Fprintf(&wide, ",%d", j)
	}
	for i := range n {
		fmt.Fprintf(&wide, "\n%s", names[i])
		for j := range columns {
			wide.WriteString([]string{",0", ",1", ",2.5"}[(i+j)%3])
		}
	}
	for i := range n {
		m := image.NewGray(image.Rect(0, 0, 2, 2))
		for j, p := range pixels[4*i : 4*i+4] {
			m.SetGray(j%2, j/2, color.Gray{Y: p})
		}
		var b strings.Builder
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		put(fmt.Sprintf("folder/%s/%02d.png", names[i], i), []byte(b.String()))
	}
	record := func(from, to int) []byte {
		var out []byte
		for i := from; i < to; i++ {
			out = append(out, labels[i])
			for j := range 3072 {
				out = append(out, byte(i*j))
			}
		}
		return out
	}
	put("cifar/data_batch_1.bin", record(0, 30))
	put("cifar/data_batch_2.bin", record(30, 50))
	put("cifar/test_batch.bin", record(50, 60))
	images, classes := put("x.idx", idx(pixels, n, 2, 2)), put("y.idx", idx(labels, n))
	return map[string]dataset.Source{
		"idx":              {IDX: images, Labels: classes},
		"idx, no labels":   {IDX: images},
		"npy":              {File: write("x.npy", x), Labels: write("y.npy", y)},
		"npz":              {File: write("xy.npz", x, y), Y: "y"},
		"csv":              {File: put("x.csv", []byte(csv.String())), Label: "class"},
		"jsonl":            {File: put("x.jsonl", []byte(lines.String())), Label: "class"},
		"csv, read again":  {File: put("wide.csv", []byte(wide.String())), Label: "class"},
		"folder":           {Folder: filepath.Join(dir, "folder")},
		"cifar10":          {CIFAR10: filepath.Join(dir, "cifar")},
		"cifar10, a split": {CIFAR10: filepath.Join(dir, "cifar"), Split: "train"},
	}
}

// Rows that are cut while a file is read are those that are picked of all its
// rows, to the bit, with the same labels, classes, numbers and digests.
func TestCut(t *testing.T) {
	sets := registry.NewTable[dataset.Set]("dataset")
	open := func(t *testing.T, src dataset.Source) *dataset.Data {
		t.Helper()
		d, err := dataset.Open(src, "", sets, formats.Table())
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for name, src := range cutFiles(t) {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && strings.Contains(name, "again") {
				t.Skip("two megabytes of text, several times")
			}
			whole := open(t, src)
			cuts := []dataset.Source{{Range: []int{0, 1}}, {Range: []int{7, 31}}, {Limit: 11}, {Range: []int{5, 40}, Limit: 10}}
			if src.Split == "" && !strings.Contains(name, "cifar") {
				cuts = append(cuts, dataset.Source{Split: "calibration", SplitSeed: 3}, dataset.Source{Split: "train", Range: []int{2, 20}, Limit: 9})
			}
			for _, cut := range cuts {
				s := src
				s.Range, s.Limit = cut.Range, cut.Limit
				if cut.Split != "" {
					s.Split, s.SplitSeed = cut.Split, cut.SplitSeed
				}
				got := open(t, s)
				if got.Source != whole.Source || !slices.Equal(got.Parts, whole.Parts) || !slices.Equal(got.Classes, whole.Classes) || !slices.Equal(got.Features, whole.Features) {
					t.Errorf("%+v: the source is told as %v %v %v, want %v %v %v", cut, got.Source, got.Classes, got.Parts, whole.Source, whole.Classes, whole.Parts)
				}
				if len(got.Index) != got.X.N() || got.X.N() == 0 {
					t.Fatalf("%+v: %d rows, %d numbers of rows", cut, got.X.N(), len(got.Index))
				}
				for i, at := range got.Index {
					if !slices.Equal(got.X.Row(i), whole.X.Row(at)) {
						t.Fatalf("%+v: row %d is not row %d of the file", cut, i, at)
					}
					if (got.Labels == nil) != (whole.Labels == nil) || got.Labels != nil && got.Labels[i] != whole.Labels[at] {
						t.Fatalf("%+v: row %d has another label than row %d of the file", cut, i, at)
					}
				}
				if cap(got.X.Data) > len(got.X.Data)+1<<16 && !strings.HasPrefix(name, "csv") {
					t.Errorf("%+v: room for %d numbers, want %d", cut, cap(got.X.Data), len(got.X.Data))
				}
				if cut.Split == "" && cut.Limit == 0 && got.Index[0] != cut.Range[0] {
					t.Errorf("%+v: the first row is %d", cut, got.Index[0])
				}
			}
			for _, bad := range [][]int{{0, 61}, {60, 61}} {
				s := src
				if s.Range = bad; s.CIFAR10 != "" {
					s.Range = []int{bad[0], 1000}
				}
				if _, err := dataset.Open(s, "", sets, formats.Table()); err == nil || !strings.Contains(err.Error(), "range [") {
					t.Errorf("range %v: got %v", bad, err)
				}
			}
		})
	}
}
