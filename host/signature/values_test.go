package signature_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// people of a csv: whole numbers, categories that are numbers, truth values, words, and
// of both kinds.
var valued = dataset.Section{Columns: map[string]dataset.ColumnSpec{
	"age":   {Integer: true},
	"class": {Categories: []any{1, 2, 3}},
	"step":  {Categories: []any{.1, .5, -4}},
	"paid":  {Categories: []any{true, false}},
	"sex":   {Categories: []any{"f", "m"}},
	"size":  {Categories: []any{10, "other"}},
}}

func file(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestCategoriesByValue: a category means its value in every reader, and its place only
// where all are words.
func TestCategoriesByValue(t *testing.T) {
	section := valued
	src := dataset.Source{File: file(t, "t.csv", "age,class,step,paid,sex,size\n41,1,0.1,true,f,10\n12,2,0.5,false,m,10\n7,3,-4,true,m,other\n")}
	c := builtin.Components()
	o := dataset.OpenOptions{Schema: &dataset.Schema{Rules: section.Rules()}}
	h, err := dataset.ReadHeader(src, "", c.Datasets, c.Formats, o)
	if err != nil {
		t.Fatal(err)
	}
	door, err := signature.New(section, src, h.Example, h.About)
	if err != nil {
		t.Fatal(err)
	}
	d, err := door.Learn(func(through dataset.Door) (*dataset.Data, error) {
		o.Door = through
		return dataset.Open(src, "", c.Datasets, c.Formats, o)
	})
	if err != nil {
		t.Fatal(err)
	}
	rows := tensor.From([]float32{41, 1, .1, 1, 0, 10, 12, 2, .5, 0, 1, 10}, 2, 6)
	want := d.X.Rows(0, 2)
	arrays := map[string]func(x *tensor.Tensor) (*tensor.Tensor, error){
		"npy": func(x *tensor.Tensor) (*tensor.Tensor, error) {
			d, err := read(door, array(t, x.Shape, x.Data))
			if err != nil {
				return nil, err
			}
			return d.X, nil
		},
		"program": door.Prepare,
	}
	d, err = dataset.Read(file(t, "x.jsonl", "[41, 1, 0.1, true, 0, 10]\n[12, 2, 0.5, false, \"m\", 10]\n"), c.Formats, dataset.StreamOptions{Door: door, Schema: door.Schema()})
	if err != nil || !slices.Equal(d.X.Data, want.Data) {
		t.Errorf("arrays of JSON: %v; want %v", err, want.Data)
	}
	for name, give := range arrays {
		got, err := give(rows)
		if err != nil || !slices.Equal(got.Data, want.Data) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want.Data)
		}
		for column, bad := range map[string]struct {
			at int
			v  float32
		}{"age": {0, 41.5}, "class": {1, 0}, "step": {2, 1}, "paid": {3, 2}, "sex": {4, 2}, "size": {5, 1}} {
			x := rows.Clone()
			x.Data[bad.at] = bad.v
			if _, err := give(x); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("column %q: ", column)) {
				t.Errorf("%s: %s = %v: %v", name, column, bad.v, err)
			}
		}
	}
	// A detector of a while ago: numbers are places.
	old := door.Signature
	if !old.ByValue {
		t.Error("the signature does not say that categories are values")
	}
	old.ByValue = false
	before := signature.Of(old, section, src, door.Out())
	if err := before.Restore(door.Tensors()); err != nil {
		t.Fatal(err)
	}
	got, err := before.Prepare(tensor.From([]float32{41, 0, 0, 0, 0, 0, 12, 1, 1, 1, 1, 0}, 2, 6))
	if err != nil || !slices.Equal(got.Data, want.Data) {
		t.Errorf("by place: %v, %v; want %v", got, err, want.Data)
	}
}

// TestFillsWhole: what stands in for a whole number is one.
func TestFillsWhole(t *testing.T) {
	nan := float32(math.NaN())
	for fill, want := range map[string]float32{dataset.FillMedian: 2, dataset.FillMean: 3} {
		door, err := signature.New(dataset.Section{Columns: map[string]dataset.ColumnSpec{"n": {Integer: true, Missing: fill}}}, dataset.Source{}, tensor.Shape{1},
			table(dataset.Feature{Name: "n", Kind: dataset.KindInteger, Missing: true}))
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.From([]float32{1, 2, 3, 7, 1, nan}, 6, 1)
		if fill == dataset.FillMedian {
			x = tensor.From([]float32{1, 2, 3, 2, 1, nan, 7, 3}, 8, 1)
		}
		if _, err := door.Learn(func(dataset.Door) (*dataset.Data, error) { return &dataset.Data{X: x}, nil }); err != nil {
			t.Fatal(err)
		}
		if got := door.Tensors()["columns.fill"].Data[0]; got != want {
			t.Errorf("%s: %v, want %v", fill, got, want)
		}
	}
	if err := (dataset.ColumnSpec{Integer: true, Missing: 1.5}).Validate(); err == nil || !strings.Contains(err.Error(), "no whole number") {
		t.Errorf("missing: 1.5 of an integer: %v", err)
	}
}

// stored is array for numbers of 16 bits too.
func stored(t *testing.T, shape tensor.Shape, data any) string {
	t.Helper()
	words, ok := data.([]uint16)
	if !ok {
		return array(t, shape, data)
	}
	dims := ""
	for _, n := range shape {
		dims += fmt.Sprint(n, ", ")
	}
	head := fmt.Sprintf("{'descr': '<u2', 'fortran_order': False, 'shape': (%s), }", dims)
	head += strings.Repeat(" ", 63-(10+len(head))%64) + "\n"
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(head)), byte(len(head)>>8))
	b = append(b, head...)
	for _, v := range words {
		b = append(b, byte(v), byte(v>>8))
	}
	return file(t, "x.npy", string(b))
}

// TestWhiteOfArrays: what zeros and ones are is not read out of their type, and numbers of
// 16 bits that are bytes are not made darker.
func TestWhiteOfArrays(t *testing.T) {
	type rows struct {
		shape tensor.Shape
		data  any
	}
	pixels := func(n int, of func(i int) int) (f []float32, b []uint8, w []uint16) {
		for i := range n {
			v := of(i)
			f, b, w = append(f, float32(v)), append(b, uint8(v)), append(w, uint16(v))
		}
		return f, b, w
	}
	onehot := tensor.Shape{5, 6, 4}
	hf, hb, hw := pixels(120, func(i int) int { return map[bool]int{true: 1}[i%4 == i/4%4] })
	grey := tensor.Shape{5, 4, 4, 1}
	gf, gb, gw := pixels(80, func(i int) int { return i * 3 % 256 })
	unit := make([]float32, len(gf))
	for i, v := range gf {
		unit[i] = v / 255
	}
	_, zb, _ := pixels(80, func(i int) int { return i % 2 })
	for name, c := range map[string]struct {
		train, given rows
		want         []float32 // nil: an error that says want
		err          string
	}{
		"one-hot of floats as bytes": {rows{onehot, hf}, rows{onehot, hb}, hf, ""},
		"one-hot of bytes as floats": {rows{onehot, hb}, rows{onehot, hf}, hf, ""},
		"one-hot of floats as words": {rows{onehot, hf}, rows{onehot, hw}, hf, ""},
		"zeros and ones as bytes":    {rows{grey, hf[:80]}, rows{grey, hb[:80]}, hf[:80], ""},
		"images as bytes":            {rows{grey, unit}, rows{grey, gb}, unit, ""},
		"dark bytes for fractions":   {rows{grey, unit}, rows{grey, zb}, nil, "numbers of 8 bits up to 1"},
		"bytes as words":             {rows{grey, gb}, rows{grey, gw}, nil, "numbers of 16 bits up to"},
		"bytes as floats":            {rows{grey, gb}, rows{grey, gf}, gf, ""},
		"fractions as words":         {rows{grey, unit}, rows{grey, gw}, nil, "numbers of 16 bits up to"},
	} {
		t.Run(name, func(t *testing.T) {
			door, _ := learn(t, dataset.Section{}, dataset.Source{File: stored(t, c.train.shape, c.train.data)})
			d, err := read(door, stored(t, c.given.shape, c.given.data))
			switch {
			case c.want == nil && (err == nil || !strings.Contains(err.Error(), c.err)):
				t.Errorf("%v, want %q", err, c.err)
			case c.want != nil && (err != nil || !slices.Equal(d.X.Data, c.want)):
				t.Errorf("%v; white %v", err, door.White)
			}
		})
	}
	// The library's rows are those of a file of float32.
	door, _ := learn(t, dataset.Section{}, dataset.Source{File: array(t, grey, unit)})
	if _, err := door.Prepare(tensor.From(gf, grey...)); err == nil || !strings.Contains(err.Error(), "row 0: whole numbers up to") {
		t.Errorf("whole numbers of a program: %v", err)
	}
}
