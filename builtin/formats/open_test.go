package formats

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
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
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// fixture is a file of testdata, written by testdata/make.py with PyArrow, or by
// hand; numpy one of host/dataset, written with NumPy.
func fixture(name string) string { return filepath.Join("testdata", name) }
func numpy(name string) string   { return filepath.Join("../../host/dataset/testdata", name) }

// npy is a .npy file with the given header text and bytes.
func npy(header string, payload int) []byte {
	b := []byte("\x93NUMPY\x01\x00")
	b = append(b, byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), make([]byte, payload)...)
}

// write makes a file in a fresh folder and returns its path.
func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(src dataset.Source) (*dataset.Data, error) {
	return dataset.Open(src, "", registry.NewTable[dataset.Set]("dataset"), Table())
}

func mustOpen(t *testing.T, src dataset.Source) *dataset.Data {
	t.Helper()
	d, err := open(src)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

const irisCSV = `length,width,species
1,2.5,setosa
3,-4,virginica
5e1,6,setosa
`

func TestOpenNPZ(t *testing.T) {
	d := mustOpen(t, dataset.Source{File: numpy("deflated.npz"), X: "images", Y: "y"})
	if !d.X.Shape.Equal(tensor.Shape{4, 2, 3}) || !slices.Equal(d.Labels, []int{0, 1, 2, 1}) {
		t.Errorf("x %v, labels %v", d.X.Shape, d.Labels)
	}
	d = mustOpen(t, dataset.Source{File: numpy("stored.npz"), Labels: numpy("names.npy")})
	if !slices.Equal(d.Classes, []string{"b", "cat", "äpfel"}) {
		t.Errorf("classes %v", d.Classes)
	}
	_, err := open(dataset.Source{File: numpy("deflated.npz")})
	if err == nil || !strings.Contains(err.Error(), "no array x; name one of images, y") {
		t.Errorf("got %v", err)
	}
	if d, err = dataset.Read(numpy("deflated.npz")+":images", Table(), dataset.StreamOptions{}); err != nil || d.X.N() != 4 {
		t.Errorf("npz:KEY: %v", err)
	}
}

func TestOpenParquet(t *testing.T) {
	d := mustOpen(t, dataset.Source{File: fixture("flat.parquet"), Label: "kind"})
	want := []float32{1, 0.5, 1, 1, 2, 1.5, 0, 2, 3, 2.5, 1, 4294967295}
	if !slices.Equal(d.X.Data, want) || !slices.Equal(d.Labels, []int{0, 1, 0}) || d.Features[3] != "u" {
		t.Errorf("x %v, labels %v, features %v", d.X.Data, d.Labels, d.Features)
	}
	d = mustOpen(t, dataset.Source{File: fixture("list.parquet"), Label: "label"})
	if !slices.Equal(d.X.Data, []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(d.Labels, []int{1, 0}) {
		t.Errorf("x %v, labels %v", d.X.Data, d.Labels)
	}
	for file, want := range map[string]string{
		"null.parquet": `row 1: column "a": no value; data.columns: {a: {missing: median}} accepts it`,
		"time.parquet": `column "a" is of type TIMESTAMP`,
		"flat.parquet": `column "kind" holds text, want numbers`,
	} {
		if _, err := open(dataset.Source{File: fixture(file)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
	}
}

// typed are the rows of the fixtures types.*, whose word is the label.
var typed = []float32{0.5, 1.25, 1.25, 1.5, 1, 1, -1.25, -0.5, -2.5, -2.5, -2, 0, 65504, 99.99, 123456789.125, 1e21, 1 << 53, 1}

func TestParquetTypes(t *testing.T) {
	d := mustOpen(t, dataset.Source{File: fixture("types.parquet"), Label: "word"})
	if !slices.Equal(d.X.Data, typed) || !slices.Equal(d.Labels, []int{0, 1, 0}) {
		t.Errorf("x %v, want %v, labels %v", d.X.Data, typed, d.Labels)
	}
	pandasTable(t, Parquet{}, fixture("pandas.parquet"))
}

// pandasTable holds that a frame of the columns a and b under the index key, with
// values missing, is read without that.
func pandasTable(t *testing.T, f dataset.Format, path string) {
	t.Helper()
	rules := map[string]dataset.ColumnRule{"a": {Missing: true}, "b": {Categories: []string{"x", "y"}, Missing: true}}
	r, err := f.Open(path, dataset.ReadOptions{Schema: &dataset.Schema{Rules: rules, Keep: []string{"key"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if n := r.(dataset.Tabled).Notices(); len(n) != 1 || !strings.Contains(n[0], `column "key" is an index`) {
		t.Errorf("notices %q", n)
	}
	for i, want := range []string{"[1.5 0] 7", "[2.5 NaN] 8", "[NaN 1] 9"} {
		row := make([]float32, 2)
		if err := r.Next(row); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(row, " ", r.(dataset.Traced).Trace().Kept[0].Number); got != want {
			t.Errorf("row %d is %s, want %s", i, got, want)
		}
	}
	r, err = f.Open(path, dataset.ReadOptions{Schema: &dataset.Schema{ID: "key", Features: []dataset.Feature{{Name: "a", Missing: true}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	if err := r.Next(make([]float32, 1)); err != nil || r.(dataset.Traced).Trace().ID != "7" {
		t.Errorf("id %+v, %v", r.(dataset.Traced).Trace(), err)
	}
}

// idx is an IDX file of bytes.
func idx(dims []int, data []byte) []byte {
	b := []byte{0, 0, 8, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, data...)
}

func zipped(t *testing.T, b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOpenIDX(t *testing.T) {
	images := idx([]int{2, 1, 2}, []byte{0, 255, 51, 102})
	labels := write(t, "l", idx([]int{2}, []byte{3, 1}))
	plain := mustOpen(t, dataset.Source{IDX: write(t, "i", images), Labels: labels})
	packed := mustOpen(t, dataset.Source{IDX: write(t, "i.gz", zipped(t, images)), Labels: labels})
	if !plain.X.Shape.Equal(tensor.Shape{2, 1, 2, 1}) || !slices.Equal(plain.X.Data, []float32{0, 1, 0.2, 0.4}) {
		t.Errorf("x = %v %v", plain.X.Shape, plain.X.Data)
	}
	if !slices.Equal(plain.Labels, []int{1, 0}) || !slices.Equal(plain.Classes, []string{"1", "3"}) {
		t.Errorf("labels %v of %v", plain.Labels, plain.Classes)
	}
	if dataset.Shared(plain, packed) != 2 {
		t.Error("the same content under another name was not recognised")
	}
	for name, b := range map[string][]byte{
		"truncated": images[:len(images)-1], "trailing bytes": append(slices.Clone(images), 0),
		"too many": idx([]int{1 << 31, 1 << 31, 1 << 31}, nil), "want images": idx([]int{2}, []byte{1, 2}),
	} {
		if _, err := open(dataset.Source{IDX: write(t, "i", b)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := open(dataset.Source{IDX: write(t, "i", images), Labels: write(t, "l", idx([]int{3}, []byte{1, 2, 3}))}); err == nil {
		t.Error("three labels for two rows passed")
	}
}

func TestOpenFolder(t *testing.T) {
	dir := t.TempDir()
	save := func(name string, m image.Image) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	red := image.NewRGBA(image.Rect(0, 0, 2, 1))
	red.Set(0, 0, color.RGBA{255, 51, 0, 255})
	red.Set(1, 0, color.RGBA{0, 0, 102, 255})
	save("dogs/b.png", red)
	save("cats/z.png", red)
	save("dogs/a.png", red)
	d := mustOpen(t, dataset.Source{Folder: dir})
	if !slices.Equal(d.Labels, []int{0, 1, 1}) || !slices.Equal(d.Classes, []string{"cats", "dogs"}) {
		t.Errorf("labels %v of %v", d.Labels, d.Classes)
	}
	if !d.X.Shape.Equal(tensor.Shape{3, 1, 2, 3}) || !slices.Equal(d.X.Row(0), []float32{1, 0.2, 0, 0, 0, 0.4}) {
		t.Errorf("x = %v %v", d.X.Shape, d.X.Row(0))
	}
	save("dogs/c.png", image.NewGray(image.Rect(0, 0, 2, 1)))
	d = mustOpen(t, dataset.Source{Folder: dir})
	if !d.X.Shape.Equal(tensor.Shape{4, 1, 2, 3}) || !slices.Equal(d.X.Row(3), make([]float32, 6)) {
		t.Errorf("a grey image among coloured ones: %v %v", d.X.Shape, d.X.Data)
	}
	outside := filepath.Join(t.TempDir(), "secret.png")
	if err := os.Rename(filepath.Join(dir, "dogs/c.png"), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "dogs/c.png")); err != nil {
		t.Skip("no symbolic links here")
	}
	if _, err := open(dataset.Source{Folder: dir}); err == nil || !strings.Contains(err.Error(), "escapes") {
		t.Errorf("a link out of the folder: got %v", err)
	}
}

func TestOpenCIFAR10(t *testing.T) {
	dir := t.TempDir()
	record := func(class byte) []byte {
		b := make([]byte, cifarRecord)
		b[0] = class
		b[1], b[1+1024], b[1+2048] = 255, 51, 102 // first pixel's planes
		return b
	}
	for name, b := range map[string][]byte{
		"data_batch_1.bin": append(record(3), record(9)...), "data_batch_2.bin": record(1), "test_batch.bin": record(7),
		"batches.meta.txt": []byte("airplane automobile bird cat deer dog frog horse ship truck\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	train := mustOpen(t, dataset.Source{CIFAR10: dir, Split: "train"})
	if !slices.Equal(train.Labels, []int{3, 9, 1}) || train.Classes[3] != "cat" {
		t.Errorf("labels %v of %v", train.Labels, train.Classes)
	}
	if !train.X.Shape.Equal(tensor.Shape{3, 32, 32, 3}) || !slices.Equal(train.X.Row(0)[:4], []float32{1, 0.2, 0.4, 0}) {
		t.Errorf("x %v, first pixel %v", train.X.Shape, train.X.Row(0)[:4])
	}
	all := mustOpen(t, dataset.Source{CIFAR10: dir})
	if all.X.N() != 4 || all.Labels[3] != 7 || dataset.Shared(all, train) != 3 {
		t.Errorf("%d rows, %d shared with train", all.X.N(), dataset.Shared(all, train))
	}
	h, err := dataset.ReadHeader(dataset.Source{CIFAR10: dir, Split: "test"}, "", registry.NewTable[dataset.Set]("dataset"), Table())
	if err != nil || h.Rows != 1 || h.Classes != 10 || !h.Labelled {
		t.Errorf("header %+v, %v", h, err)
	}
	if _, err := open(dataset.Source{CIFAR10: dir, Split: "validation"}); err == nil {
		t.Error("a split that CIFAR-10 lacks passed")
	}
}

// What a source says of preparation is a door's to do: without one it is not
// passed over.
func TestPreparedNeedsADoor(t *testing.T) {
	var b bytes.Buffer
	if err := dataset.WriteNPY(&b, dataset.Array{Shape: tensor.Shape{1, 4}, Data: []float32{0, 1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	file := write(t, "x.npy", b.Bytes())
	for _, src := range []dataset.Source{{Reshape: []int{2, 1, 2}}, {Layout: "nchw"}, {Rescale: &dataset.Rescale{}}, {Scale: "standard"}} {
		src.File = file
		if _, err := open(src); err == nil || !strings.Contains(err.Error(), "door") {
			t.Errorf("%+v: got %v", src, err)
		}
	}
}

func TestNotFinite(t *testing.T) {
	var b bytes.Buffer
	x := []float64{0, 1, 2, math.Inf(1)}
	if err := dataset.WriteNPY(&b, dataset.Array{Shape: tensor.Shape{2, 2}, Data: x}); err != nil {
		t.Fatal(err)
	}
	_, err := open(dataset.Source{File: write(t, "x.npy", b.Bytes())})
	if err == nil || !strings.Contains(err.Error(), "row 1: column 1 is +Inf") {
		t.Errorf("got %v", err)
	}
}

// Numbers are names too, those that split and range leave out included.
func TestClassesOfNumbers(t *testing.T) {
	d := mustOpen(t, dataset.Source{File: write(t, "a.csv", []byte("x,y\n1,0\n2,1\n3,2\n")), Label: "y", Range: []int{0, 2}})
	if !slices.Equal(d.Classes, []string{"0", "1", "2"}) {
		t.Errorf("classes %q, want 0, 1, 2", d.Classes)
	}
}
