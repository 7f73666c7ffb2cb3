package dataset

import (
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestUseClasses(t *testing.T) {
	train := mustOpen(t, Source{File: write(t, "a.csv", []byte("x,y\n1,ant\n2,bee\n3,cat\n")), Label: "y"})
	test := mustOpen(t, Source{File: write(t, "b.csv", []byte("x,y\n1,cat\n2,bee\n")), Label: "y"})
	if err := test.UseClasses(train.Classes); err != nil || !slices.Equal(test.Labels, []int{2, 1}) || len(test.Classes) != 3 {
		t.Errorf("%v: labels %v of %v, want [2 1] of the three", err, test.Labels, test.Classes)
	}
	if err := train.UseClasses([]string{"ant", "bee"}); err == nil || !strings.Contains(err.Error(), `row 2: class "cat"`) {
		t.Errorf("an unknown class: %v", err)
	}
}

// Numbers are names too, those that split and range leave out included.
func TestClassesOfNumbers(t *testing.T) {
	d := mustOpen(t, Source{File: write(t, "a.csv", []byte("x,y\n1,0\n2,1\n3,2\n")), Label: "y", Range: []int{0, 2}})
	if !slices.Equal(d.Classes, []string{"0", "1", "2"}) {
		t.Errorf("classes %q, want 0, 1, 2", d.Classes)
	}
}

// Each row is counted in the part that holds it, empty parts aside.
func TestSharedParts(t *testing.T) {
	a := &Data{Index: []int{0, 2, 4}, Parts: []Part{{"p", 2}, {"empty", 0}, {"q", 3}}}
	for _, c := range []struct {
		source string
		index  int
		want   int
	}{{"p", 0, 1}, {"p", 1, 0}, {"q", 0, 1}, {"q", 2, 1}, {"empty", 0, 0}} {
		if got := Shared(a, &Data{Source: c.source, Index: []int{c.index}}); got != c.want {
			t.Errorf("row %d of %s: %d shared, want %d", c.index, c.source, got, c.want)
		}
	}
}

// A row is given as soon as it is written, before the next or the end.
func TestStreamDoesNotWait(t *testing.T) {
	for format, line := range map[string]string{"jsonl": "[1,2]\n", "csv": "1,2\n", "npy": string(npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9, 2), }", 0)) + "\x01\x02"} {
		r, w := io.Pipe()
		go func() { _, _ = io.WriteString(w, line) }()
		s, err := OpenStream("-", StreamOptions{Format: format, Example: tensor.Shape{2}, Batch: 1, Stdin: r})
		if err != nil {
			t.Fatal(err)
		}
		if rows, err := s.Next(); err != nil || !slices.Equal(rows.X.Data, []float32{1, 2}) {
			t.Errorf("%s: %v, %v", format, rows, err)
		}
		_ = w.Close()
	}
}
