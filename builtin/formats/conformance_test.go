package formats

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/dataset/datasettest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// samples makes small files of each format: the suite cannot guess their bytes.
var samples = map[string]func(t *testing.T) []datasettest.Sample{
	"npy": func(t *testing.T) []datasettest.Sample {
		x, y := images(4), []int{2, 0, 1, 1}
		path := write(t, "x.npy", npyBytes(t, dataset.Array{Shape: x.Shape, Data: x.Data}))
		labels := write(t, "y.npy", npyBytes(t, dataset.Array{Shape: tensor.Shape{4}, Data: y}))
		return []datasettest.Sample{{Path: path, X: x}, {Path: path, Source: dataset.Source{Labels: labels}, X: x, Labels: y}}
	},
	"npz": func(t *testing.T) []datasettest.Sample {
		x, y := images(4), []int{2, 0, 1, 1}
		var b bytes.Buffer
		if err := dataset.WriteNPZ(&b, []dataset.Array{{Name: "x", Shape: x.Shape, Data: x.Data}, {Name: "other", Shape: tensor.Shape{4, 3}, Data: x.Data[:12]}, {Name: "y", Shape: tensor.Shape{4}, Data: y}}); err != nil {
			t.Fatal(err)
		}
		path := write(t, "rows.npz", b.Bytes())
		return []datasettest.Sample{
			{Path: path, X: x}, {Path: path, Source: dataset.Source{Y: "y"}, X: x, Labels: y},
			{Path: path, Source: dataset.Source{X: "other", Labels: "y"}, X: tensor.From(x.Data[:12], 4, 3), Labels: y},
		}
	},
	"csv": func(t *testing.T) []datasettest.Sample {
		x := tensor.From([]float32{1, 2.5, 3, -4, 50, 6}, 3, 2)
		return []datasettest.Sample{
			{Path: write(t, "plain.csv", []byte("a,b\n1,2.5\n3,-4\n5e1,6\n")), X: x},
			{Path: write(t, "iris.csv", []byte(irisCSV)), Source: dataset.Source{Label: "species"}, X: x, Labels: []int{0, 1, 0}},
			{Path: write(t, "iris.tsv", bytes.ReplaceAll([]byte(irisCSV), []byte(","), []byte("\t"))), Source: dataset.Source{Label: "species"}, X: x, Labels: []int{0, 1, 0}},
		}
	},
	"parquet": func(*testing.T) []datasettest.Sample {
		return []datasettest.Sample{{
			Path: fixture("flat.parquet"), Source: dataset.Source{Label: "kind"},
			X: tensor.From([]float32{1, 0.5, 1, 1, 2, 1.5, 0, 2, 3, 2.5, 1, 4294967295}, 3, 4), Labels: []int{0, 1, 0},
		}}
	},
	"arrow": func(*testing.T) []datasettest.Sample {
		var all []float32
		for i := range 3 {
			all = append(append(all, typed[6*i:6*i+6]...), float32(2*i+1), float32(2*i+2)) // and the list
		}
		x := tensor.From(all, 3, 8)
		var out []datasettest.Sample
		for _, name := range []string{"types.arrow", "types.arrows", "lz4.feather"} {
			out = append(out, datasettest.Sample{Path: fixture(name), Source: dataset.Source{Label: "word"}, X: x, Labels: []int{0, 1, 0}})
		}
		return out
	},
	"jsonl": func(t *testing.T) []datasettest.Sample {
		text := []byte("[[1,2],[3,4]]\n\n[5,6,7,8]\n[[-1,2e1],[0.5,0]]\n")
		x := tensor.From([]float32{1, 2, 3, 4, 5, 6, 7, 8, -1, 20, 0.5, 0}, 3, 2, 2)
		out := []datasettest.Sample{{Path: write(t, "x.jsonl", text), X: x}, {Path: write(t, "x.ndjson", text), X: x}}
		labels := write(t, "y.csv", []byte("1\n0\n1\n"))
		flat := tensor.From(x.Data, 3, 4)
		return append(out,
			datasettest.Sample{Path: write(t, "x2.ndjson", text), Source: dataset.Source{Labels: labels}, X: x, Labels: []int{1, 0, 1}},
			datasettest.Sample{Path: write(t, "x.json", []byte("[[1,2,3,4],\n [5,6,7,8],[-1,2e1,\n0.5,0]]\n")), X: flat},
			datasettest.Sample{
				Path:   write(t, "objects.jsonl", []byte(`{"a":1,"y":"p","b":2.5}`+"\n"+`{"b":4,"a":3,"y":"q"}`+"\n"+`{"a":true,"y":"p","b":-1}`+"\n")),
				Source: dataset.Source{Label: "y"}, X: tensor.From([]float32{1, 2.5, 3, 4, 1, -1}, 3, 2), Labels: []int{0, 1, 0},
			},
			datasettest.Sample{
				Path:   write(t, "objects.json", []byte("[\n  {\"a\": [1, 2],\n   \"y\": 1},\n  {\"a\": [3, 4], \"y\": 0}, {\"a\": [5, 6], \"y\": 1}\n]\n")),
				Source: dataset.Source{Label: "y"}, X: tensor.From([]float32{1, 2, 3, 4, 5, 6}, 3, 2), Labels: []int{1, 0, 1},
			})
	},
	"idx": func(t *testing.T) []datasettest.Sample {
		x := tensor.From([]float32{0, 1, 0.2, 0.4, 1, 0}, 3, 1, 2, 1)
		labels := write(t, "train-labels-idx1-ubyte", idx([]int{3}, []byte{1, 0, 1}))
		path := write(t, "train-images-idx3-ubyte", idx([]int{3, 1, 2}, []byte{0, 255, 51, 102, 255, 0}))
		shorts := binary.BigEndian.AppendUint32([]byte{0, 0, 0x0b, 2}, 3)
		shorts = append(binary.BigEndian.AppendUint32(shorts, 2), 0, 1, 0xff, 0xff, 0, 2, 0, 3, 1, 0, 0, 0)
		return []datasettest.Sample{
			{Path: path, X: x}, {Path: path, Source: dataset.Source{Labels: labels}, X: x, Labels: []int{1, 0, 1}},
			{Path: write(t, "shorts", shorts), X: tensor.From([]float32{1, -1, 2, 3, 256, 0}, 3, 2)},
		}
	},
	"image_file": func(t *testing.T) []datasettest.Sample {
		m := image.NewRGBA(image.Rect(0, 0, 2, 1))
		m.Set(0, 0, color.RGBA{255, 51, 0, 255})
		m.Set(1, 0, color.RGBA{0, 0, 102, 255})
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		x := tensor.From([]float32{1, 0.2, 0, 0, 0, 0.4}, 1, 1, 2, 3)
		labels := write(t, "y.csv", []byte("0\n"))
		return []datasettest.Sample{
			{Path: write(t, "x.png", b.Bytes()), X: x, Single: true}, {Path: write(t, "X.PNG", b.Bytes()), X: x, Single: true},
			{Path: write(t, "x.png", b.Bytes()), Source: dataset.Source{Labels: labels}, X: x, Labels: []int{0}, Single: true},
		}
	},
	"folder": func(t *testing.T) []datasettest.Sample {
		flat, classes := t.TempDir(), t.TempDir()
		var data []float32
		for i, class := range []string{"cats", "dogs", "dogs"} {
			m := image.NewGray(image.Rect(0, 0, 2, 2))
			for p := range 4 {
				m.SetGray(p%2, p/2, color.Gray{Y: uint8(51 * (i + p%3))})
				data = append(data, float32(257*51*(i+p%3))/65535)
			}
			var b bytes.Buffer
			if err := png.Encode(&b, m); err != nil {
				t.Fatal(err)
			}
			putAt(t, filepath.Join(flat, fmt.Sprintf("%d.png", i)), b.Bytes())
			putAt(t, filepath.Join(classes, class, fmt.Sprintf("%d.png", i)), b.Bytes())
		}
		x := tensor.From(data, 3, 2, 2, 1)
		return []datasettest.Sample{{Path: classes, X: x, Labels: []int{0, 1, 1}}, {Path: flat, X: x}}
	},
	"cifar10": func(t *testing.T) []datasettest.Sample {
		dir := t.TempDir()
		x := tensor.New(3, 32, 32, 3)
		var batches [][]byte
		for i, class := range []byte{3, 9, 0} {
			b := make([]byte, cifarRecord)
			b[0] = class
			b[1], b[1+1024], b[1+2048] = 255, 51, byte(i) // first pixel's planes
			copy(x.Row(i), []float32{1, 0.2, float32(i) / 255})
			batches = append(batches, b)
		}
		putAt(t, filepath.Join(dir, "data_batch_1.bin"), append(batches[0], batches[1]...))
		putAt(t, filepath.Join(dir, "test_batch.bin"), batches[2])
		return []datasettest.Sample{{Path: dir, X: x, Labels: []int{3, 9, 0}}}
	},
}

func TestConformance(t *testing.T) {
	datasettest.Table(t, Table())
	for _, name := range Table().Names() {
		t.Run(name, func(t *testing.T) {
			if samples[name] == nil {
				t.Fatalf("no samples of format %s", name)
			}
			for _, s := range samples[name](t) {
				t.Run(filepath.Base(s.Path), func(t *testing.T) { datasettest.Run(t, Table(), name, s) })
			}
		})
	}
}

// images are n images of 2×3×1 with fractions and negative numbers.
func images(n int) *tensor.Tensor {
	x := tensor.New(n, 2, 3, 1)
	for i := range x.Data {
		x.Data[i] = float32(i-7) / 3
	}
	return x
}

func npyBytes(t *testing.T, a dataset.Array) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, a); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func putAt(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
