package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// write makes a file in a fresh folder and returns its path.
func write(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(src spec.DataSource) (*Data, error) {
	return Open(src, "", registry.NewTable[Source]("dataset"))
}

func mustOpen(t *testing.T, src spec.DataSource) *Data {
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

func TestOpenCSV(t *testing.T) {
	d := mustOpen(t, spec.DataSource{File: write(t, "t.csv", []byte(irisCSV)), Label: "species"})
	if want := []float32{1, 2.5, 3, -4, 50, 6}; !slices.Equal(d.X.Data, want) || !d.X.Shape.Equal(tensor.Shape{3, 2}) {
		t.Errorf("x = %v %v, want %v", d.X.Shape, d.X.Data, want)
	}
	if !slices.Equal(d.Labels, []int{0, 1, 0}) || !slices.Equal(d.Classes, []string{"setosa", "virginica"}) {
		t.Errorf("labels %v of %v", d.Labels, d.Classes)
	}
	if !slices.Equal(d.Features, []string{"length", "width"}) {
		t.Errorf("features %v", d.Features)
	}
	d = mustOpen(t, spec.DataSource{File: write(t, "t.csv", []byte("\uFEFF1;2;0\n3;4;1\n")), Label: "2"})
	if want := []float32{1, 2, 3, 4}; !slices.Equal(d.X.Data, want) || !slices.Equal(d.Labels, []int{0, 1}) || !slices.Equal(d.Classes, []string{"0", "1"}) {
		t.Errorf("without header: x %v, labels %v", d.X.Data, d.Labels)
	}
}

func TestCSVRefused(t *testing.T) {
	for _, c := range []struct{ name, text, label, want string }{
		{"mixed", "a,b\n1,2\n3,low\n", "", `row 1: line 3: column "b": "low" is not a number`},
		{"nan", "a,b\n1,NaN\n", "", `row 0: line 2: column "b": "NaN": want finite`},
		{"overflow", "a\n1e39\n", "", `column "a": "1e39": want finite`},
		{"empty cell", "a,b\n1,\n", "", `column "b": no value`},
		{"short row", "a,b\n1\n", "", "1 columns, want 2"},
		{"no such column", "a,b\n1,2\n", "c", `no column "c"; it has a, b`},
		{"no header", "1,2\n", "c", "has no header"},
		{"quotes", "a,b\n\"1,2\n", "", "row 0"},
		{"empty", "", "", "empty"},
		{"header only", "a,b\n", "", "no rows"},
		{"fractional label", "a,y\n1,0.5\n", "y", `label "0.5", want class indices from 0 or names`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := open(spec.DataSource{File: write(t, "t.csv", []byte(c.text)), Label: c.label})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestOpenNPZ(t *testing.T) {
	d := mustOpen(t, spec.DataSource{File: fixture("deflated.npz"), X: "images", Y: "y"})
	if !d.X.Shape.Equal(tensor.Shape{4, 2, 3}) || !slices.Equal(d.Labels, []int{0, 1, 2, 1}) {
		t.Errorf("x %v, labels %v", d.X.Shape, d.Labels)
	}
	d = mustOpen(t, spec.DataSource{File: fixture("stored.npz"), Labels: fixture("names.npy")})
	if !slices.Equal(d.Classes, []string{"b", "cat", "äpfel"}) {
		t.Errorf("classes %v", d.Classes)
	}
	_, err := open(spec.DataSource{File: fixture("deflated.npz")})
	if err == nil || !strings.Contains(err.Error(), "no array x; name one of images, y") {
		t.Errorf("got %v", err)
	}
	if d, err = Read(fixture("deflated.npz")+":images", StreamOptions{}); err != nil || d.X.N() != 4 {
		t.Errorf("npz:KEY: %v", err)
	}
}

func TestOpenParquet(t *testing.T) {
	d := mustOpen(t, spec.DataSource{File: fixture("flat.parquet"), Label: "kind"})
	want := []float32{1, 0.5, 1, 1, 2, 1.5, 0, 2, 3, 2.5, 1, 4294967295}
	if !slices.Equal(d.X.Data, want) || !slices.Equal(d.Labels, []int{0, 1, 0}) || d.Features[3] != "u" {
		t.Errorf("x %v, labels %v, features %v", d.X.Data, d.Labels, d.Features)
	}
	d = mustOpen(t, spec.DataSource{File: fixture("list.parquet"), Label: "label", Reshape: []int{3, 1}})
	if !slices.Equal(d.X.Data, []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(d.Labels, []int{1, 0}) {
		t.Errorf("x %v, labels %v", d.X.Data, d.Labels)
	}
	for file, want := range map[string]string{
		"null.parquet": `row 1: column "a" has no value`,
		"time.parquet": `column "a" is of type TIMESTAMP`,
		"flat.parquet": `column "kind" holds text, want numbers`,
	} {
		if _, err := open(spec.DataSource{File: fixture(file)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", file, err, want)
		}
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
	plain := mustOpen(t, spec.DataSource{IDX: write(t, "i", images), Labels: labels})
	packed := mustOpen(t, spec.DataSource{IDX: write(t, "i.gz", zipped(t, images)), Labels: labels})
	if !plain.X.Shape.Equal(tensor.Shape{2, 1, 2, 1}) || !slices.Equal(plain.X.Data, []float32{0, 1, 0.2, 0.4}) {
		t.Errorf("x = %v %v", plain.X.Shape, plain.X.Data)
	}
	if !slices.Equal(plain.Labels, []int{3, 1}) {
		t.Errorf("labels %v", plain.Labels)
	}
	if Shared(plain, packed) != 2 {
		t.Error("the same content under another name was not recognised")
	}
	for name, b := range map[string][]byte{
		"truncated": images[:len(images)-1], "trailing bytes": append(slices.Clone(images), 0),
		"too many": idx([]int{1 << 31, 1 << 31, 1 << 31}, nil), "want images": idx([]int{2}, []byte{1, 2}),
	} {
		if _, err := open(spec.DataSource{IDX: write(t, "i", b)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := open(spec.DataSource{IDX: write(t, "i", images), Labels: write(t, "l", idx([]int{3}, []byte{1, 2, 3}))}); err == nil {
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
	d := mustOpen(t, spec.DataSource{Folder: dir})
	if !slices.Equal(d.Labels, []int{0, 1, 1}) || !slices.Equal(d.Classes, []string{"cats", "dogs"}) {
		t.Errorf("labels %v of %v", d.Labels, d.Classes)
	}
	if !d.X.Shape.Equal(tensor.Shape{3, 1, 2, 3}) || !slices.Equal(d.X.Row(0), []float32{1, 0.2, 0, 0, 0, 0.4}) {
		t.Errorf("x = %v %v", d.X.Shape, d.X.Row(0))
	}
	save("dogs/c.png", image.NewGray(image.Rect(0, 0, 2, 1)))
	if _, err := open(spec.DataSource{Folder: dir}); err == nil || !strings.Contains(err.Error(), "dogs/c.png: 1×2×1, the first image is 1×2×3") {
		t.Errorf("got %v", err)
	}
	outside := filepath.Join(t.TempDir(), "secret.png")
	if err := os.Rename(filepath.Join(dir, "dogs/c.png"), outside); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "dogs/c.png")); err != nil {
		t.Skip("no symbolic links here")
	}
	if _, err := open(spec.DataSource{Folder: dir}); err == nil || !strings.Contains(err.Error(), "escapes") {
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
	train := mustOpen(t, spec.DataSource{CIFAR10: dir, Split: "train"})
	if !slices.Equal(train.Labels, []int{3, 9, 1}) || train.Classes[3] != "cat" {
		t.Errorf("labels %v of %v", train.Labels, train.Classes)
	}
	if !train.X.Shape.Equal(tensor.Shape{3, 32, 32, 3}) || !slices.Equal(train.X.Row(0)[:4], []float32{1, 0.2, 0.4, 0}) {
		t.Errorf("x %v, first pixel %v", train.X.Shape, train.X.Row(0)[:4])
	}
	all := mustOpen(t, spec.DataSource{CIFAR10: dir})
	if all.X.N() != 4 || all.Labels[3] != 7 || Shared(all, train) != 3 {
		t.Errorf("%d rows, %d shared with train", all.X.N(), Shared(all, train))
	}
	h, err := ReadHeader(spec.DataSource{CIFAR10: dir, Split: "test"}, "", registry.NewTable[Source]("dataset"))
	if err != nil || h.Rows != 1 || h.Classes != 10 || !h.Labelled {
		t.Errorf("header %+v, %v", h, err)
	}
	if _, err := open(spec.DataSource{CIFAR10: dir, Split: "validation"}); err == nil {
		t.Error("a split that CIFAR-10 lacks passed")
	}
}

func TestShape(t *testing.T) {
	// One example of 2 channels × 1 × 2: planes 0 1 and 2 3.
	var b bytes.Buffer
	if err := WriteNPY(&b, Array{Shape: tensor.Shape{1, 4}, Data: []float32{0, 1, 2, 3}}); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, spec.DataSource{
		File: write(t, "x.npy", b.Bytes()), Reshape: []int{2, 1, 2}, Layout: "nchw",
		Rescale: &spec.Rescale{Scale: 2, Offset: 1},
	})
	if want := []float32{1, 5, 3, 7}; !slices.Equal(d.X.Data, want) || !d.X.Shape.Equal(tensor.Shape{1, 1, 2, 2}) {
		t.Errorf("x = %v %v, want %v", d.X.Shape, d.X.Data, want)
	}
	if _, err := open(spec.DataSource{File: write(t, "x.npy", b.Bytes()), Reshape: []int{5}}); err == nil {
		t.Error("an impossible reshape passed")
	}
}

func TestNotFinite(t *testing.T) {
	var b bytes.Buffer
	x := []float64{0, 1, 2, math.Inf(1)}
	if err := WriteNPY(&b, Array{Shape: tensor.Shape{2, 2}, Data: x}); err != nil {
		t.Fatal(err)
	}
	_, err := open(spec.DataSource{File: write(t, "x.npy", b.Bytes())})
	if err == nil || !strings.Contains(err.Error(), "row 1: column 1 is +Inf") {
		t.Errorf("got %v", err)
	}
}

func TestPartition(t *testing.T) {
	labels := make([]int, 200)
	for i := range labels {
		labels[i] = i % 2 * (i % 4) // 0 half, 1 and 3 a quarter each
	}
	seen := map[int]bool{}
	for i, part := range partNames {
		rows, err := partition(200, labels, part, 0)
		if err != nil {
			t.Fatal(err)
		}
		size, err := partSize(200, part)
		if err != nil || size != len(rows) || size != 2*partShares[i] {
			t.Errorf("%s has %d rows, header says %d", part, len(rows), size)
		}
		zeros := 0
		for _, r := range rows {
			if seen[r] {
				t.Errorf("row %d is in two parts", r)
			}
			seen[r] = true
			if labels[r] == 0 {
				zeros++
			}
		}
		if d := 2*zeros - len(rows); d < -2 || d > 2 {
			t.Errorf("%s: %d of %d rows of a class that has half", part, zeros, len(rows))
		}
		again, _ := partition(200, labels, part, 0)
		other, _ := partition(200, labels, part, 1)
		if !slices.Equal(rows, again) || slices.Equal(rows, other) {
			t.Errorf("%s: the seed does not fix the rows", part)
		}
	}
}

func TestBalanced(t *testing.T) {
	labels := []int{0, 0, 0, 0, 1, 1, 1, 2}
	rows := []int{0, 1, 2, 3, 4, 5, 6, 7}
	for n, want := range map[int][]int{3: {0, 4, 7}, 6: {0, 1, 2, 4, 5, 7}, 9: rows} {
		if got := balanced(rows, labels, n); !slices.Equal(got, want) {
			t.Errorf("balanced %d = %v, want %v", n, got, want)
		}
	}
}

func TestStandardize(t *testing.T) {
	d := &Data{X: tensor.From([]float32{1, 5, 3, 5}, 2, 2)}
	s := Standardize(d)
	if !slices.Equal(s.Mean, []float32{2, 5}) || !slices.Equal(s.Std, []float32{1, 1}) {
		t.Errorf("mean %v, std %v", s.Mean, s.Std)
	}
	s.Apply(d.X)
	if !slices.Equal(d.X.Data, []float32{-1, 0, 1, 0}) {
		t.Errorf("standardised %v", d.X.Data)
	}
}

func TestBatches(t *testing.T) {
	var all []int
	for _, b := range Batches(10, 4, 7, 2) {
		all = append(all, b...)
	}
	if !slices.Equal(all, Order(10, 7, 2)) || slices.Equal(all, Order(10, 7, 3)) || slices.Equal(all, Order(10, 8, 2)) {
		t.Error("seed and epoch do not fix the order")
	}
	slices.Sort(all)
	if !slices.Equal(all, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
		t.Errorf("an epoch visits %v", all)
	}
}

// drain reads a stream to its end.
func drain(t *testing.T, s *Stream) (x [][]float32, index []int, bad []string, last error) {
	t.Helper()
	for {
		r, err := s.Next()
		if err != nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return x, index, bad, err
		}
		for i := range r.Index {
			x = append(x, slices.Clone(r.X.Row(i)))
		}
		index = append(index, r.Index...)
		for _, b := range r.Bad {
			bad = append(bad, fmt.Sprint(b.Row, " ", b.Err))
		}
	}
}

func TestStreamJSON(t *testing.T) {
	text := "[[1,2],[3,4]]\n\n[1,2,3,4]\n[1,2,3]\n[[1,2],[3,null]]\n [ [ 5 , 6 ] ,[7,8e0]] \n[[1,2],[3,1e99]]\n[[[1]]]\n[[9,9],[9,9]]"
	s, err := OpenStream("-", StreamOptions{Example: tensor.Shape{2, 2}, Batch: 2, Stdin: strings.NewReader(text)})
	if err != nil {
		t.Fatal(err)
	}
	x, index, bad, err := drain(t, s)
	if err != nil {
		t.Fatal(err)
	}
	if want := [][]float32{{1, 2, 3, 4}, {1, 2, 3, 4}, {5, 6, 7, 8}, {9, 9, 9, 9}}; !reflect.DeepEqual(x, want) {
		t.Errorf("rows %v, want %v", x, want)
	}
	if !slices.Equal(index, []int{0, 1, 4, 7}) {
		t.Errorf("index %v", index)
	}
	want := []string{
		"2 line 4: want 4 entries, got 3 at column 3", `3 line 5: column 3: "null" is not a number`,
		`5 line 7: column 3: "1e99": want finite numbers of float32`,
		"6 line 8: arrays nested 3 deep, want 4 numbers, flat or as 2×2",
	}
	if !slices.Equal(bad, want) {
		t.Errorf("bad rows %q, want %q", bad, want)
	}
}

func TestStreamFormats(t *testing.T) {
	csv := "a,b,y\n1,2,p\nx,2,q\n3,4,p\n"
	s, err := OpenStream(write(t, "t.csv", []byte(csv)), StreamOptions{Example: tensor.Shape{2}, Label: "y"})
	if err != nil {
		t.Fatal(err)
	}
	x, index, bad, err := drain(t, s)
	if err != nil || !reflect.DeepEqual(x, [][]float32{{1, 2}, {3, 4}}) || !slices.Equal(index, []int{0, 2}) || len(bad) != 1 {
		t.Errorf("csv: %v %v %v %v", x, index, bad, err)
	}
	file, err := os.ReadFile(fixture("f4.npy"))
	if err != nil {
		t.Fatal(err)
	}
	s, err = OpenStream("-", StreamOptions{Format: "npy", Example: tensor.Shape{2, 3, 1}, Batch: 3, Stdin: bytes.NewReader(file[:len(file)-1])})
	if err != nil {
		t.Fatal(err)
	}
	x, _, _, err = drain(t, s)
	if len(x) != 3 || err == nil || !strings.Contains(err.Error(), "truncated in row 3") {
		t.Errorf("truncated npy: %d rows, %v", len(x), err)
	}
	_, err = OpenStream(fixture("f4.npy"), StreamOptions{Example: tensor.Shape{3, 3}})
	if err == nil || !strings.Contains(err.Error(), "examples are 2×3, want 3×3") {
		t.Errorf("got %v", err)
	}
	for _, f := range []string{"stored.npz", "deflated.npz:images", "list.parquet"} {
		s, err := OpenStream(fixture(f), StreamOptions{Label: "label"})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if x, _, _, err := drain(t, s); err != nil || len(x) < 2 {
			t.Errorf("%s: %d rows, %v", f, len(x), err)
		}
	}
}

func TestRelabel(t *testing.T) {
	d := &Data{Labels: []int{0, 1, 0}, Classes: []string{"b", "c"}}
	if err := d.Relabel([]string{"a", "b", "c"}); err != nil || !slices.Equal(d.Labels, []int{1, 2, 1}) {
		t.Errorf("labels %v, %v", d.Labels, err)
	}
	if err := d.Relabel([]string{"a", "b"}); err == nil || !strings.Contains(err.Error(), `class "c" is unknown; known: a, b`) {
		t.Errorf("got %v", err)
	}
	d = &Data{Labels: []int{0, 2}}
	if err := d.Relabel([]string{"a", "b"}); err == nil || !strings.Contains(err.Error(), "row 1: label 2") {
		t.Errorf("got %v", err)
	}
}

// A file without rows claims nothing, whatever its examples' shape.
func TestNoRows(t *testing.T) {
	empty := npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1073741824), }", 0)
	path := write(t, "x.npy", empty)
	if _, err := open(spec.DataSource{File: path}); err == nil || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("got %v", err)
	}
	s, err := OpenStream(path, StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if x, _, _, err := drain(t, s); len(x) != 0 || err != nil {
		t.Errorf("%d rows, %v", len(x), err)
	}
}

func BenchmarkStreamJSON(b *testing.B) {
	line := []byte("[" + strings.Repeat("0.123456,", 29) + "0.5]\n")
	text := bytes.Repeat(line, 1000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := OpenStream("-", StreamOptions{Example: tensor.Shape{30}, Stdin: bytes.NewReader(text)})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for {
			r, err := s.Next()
			if err != nil {
				break
			}
			n += len(r.Index)
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}
