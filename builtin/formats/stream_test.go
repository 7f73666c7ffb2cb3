package formats

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// drain reads a stream to its end.
func drain(t *testing.T, s *dataset.Stream) (x [][]float32, index []int, bad []string, last error) {
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
	s, err := dataset.OpenStream("-", Table(), dataset.StreamOptions{Example: tensor.Shape{2, 2}, Batch: 2, Stdin: strings.NewReader(text)})
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
	s, err := dataset.OpenStream(write(t, "t.csv", []byte(csv)), Table(), dataset.StreamOptions{Example: tensor.Shape{2}, Label: "y"})
	if err != nil {
		t.Fatal(err)
	}
	x, index, bad, err := drain(t, s)
	if err != nil || !reflect.DeepEqual(x, [][]float32{{1, 2}, {3, 4}}) || !slices.Equal(index, []int{0, 2}) || len(bad) != 1 {
		t.Errorf("csv: %v %v %v %v", x, index, bad, err)
	}
	file, err := os.ReadFile(numpy("f4.npy"))
	if err != nil {
		t.Fatal(err)
	}
	s, err = dataset.OpenStream("-", Table(), dataset.StreamOptions{Format: "npy", Example: tensor.Shape{2, 3, 1}, Batch: 3, Stdin: bytes.NewReader(file[:len(file)-1])})
	if err != nil {
		t.Fatal(err)
	}
	x, _, _, err = drain(t, s)
	if len(x) != 3 || err == nil || !strings.Contains(err.Error(), "truncated in row 3") {
		t.Errorf("truncated npy: %d rows, %v", len(x), err)
	}
	_, err = dataset.OpenStream(numpy("f4.npy"), Table(), dataset.StreamOptions{Example: tensor.Shape{3, 3}})
	if err == nil || !strings.Contains(err.Error(), "examples are 2×3, want 3×3") {
		t.Errorf("got %v", err)
	}
	for _, f := range []string{numpy("stored.npz"), numpy("deflated.npz") + ":images", fixture("list.parquet")} {
		s, err := dataset.OpenStream(f, Table(), dataset.StreamOptions{Label: "label"})
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		if x, _, _, err := drain(t, s); err != nil || len(x) < 2 {
			t.Errorf("%s: %d rows, %v", f, len(x), err)
		}
	}
}

// A file without rows claims nothing, whatever its examples' shape.
func TestNoRows(t *testing.T) {
	empty := npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1073741824), }", 0)
	path := write(t, "x.npy", empty)
	if _, err := open(dataset.Source{File: path}); err == nil || !strings.Contains(err.Error(), "no rows") {
		t.Errorf("got %v", err)
	}
	s, err := dataset.OpenStream(path, Table(), dataset.StreamOptions{})
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
		s, err := dataset.OpenStream("-", Table(), dataset.StreamOptions{Example: tensor.Shape{30}, Stdin: bytes.NewReader(text)})
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

// A row is given as soon as it is written, before the next or the end.
func TestStreamDoesNotWait(t *testing.T) {
	for format, line := range map[string]string{"jsonl": "[1,2]\n", "csv": "a,b\n1,2\n", "npy": string(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 2), }", 0)) + "\x01\x02"} {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, line) }()
		s, err := dataset.OpenStream("-", Table(), dataset.StreamOptions{Format: format, Example: tensor.Shape{2}, Batch: 1, Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := s.Next(); err != nil || !slices.Equal(rows.X.Data, []float32{1, 2}) {
			t.Errorf("%s: %v, %v", format, rows, err)
		}
		_ = w.Close()
	}
}
