package signature_test

import (
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// opening is a format whose files are what a function opens.
type opening func() dataset.Reader

func (opening) Traits() dataset.Traits { return dataset.Traits{Extensions: []string{".x"}} }

func (o opening) Open(string, dataset.ReadOptions) (dataset.Reader, error) { return o(), nil }

// people is a table with values that are missing.
type people struct {
	x  *tensor.Tensor
	at int
}

func (p *people) Example() tensor.Shape { return p.x.Example() }
func (p *people) Count() int            { return -1 }
func (p *people) Parts() []dataset.Part { return []dataset.Part{{Digest: "people", Rows: p.at}} }
func (p *people) Close() error          { return nil }

func (p *people) Next(dst []float32) error {
	if p.at == p.x.N() {
		return io.EOF
	}
	copy(dst, p.x.Row(p.at))
	p.at++
	return nil
}

// TestLearnStored: a door learns the same of rows in a file as of rows in memory,
// and gives the same rows.
func TestLearnStored(t *testing.T) {
	nan := float32(math.NaN())
	x := tensor.New(50, 3)
	for i := range x.N() {
		row := x.Row(i)
		row[0], row[1], row[2] = float32(20+i*7%31), float32(i*i%3), float32(i)/7
		if i%6 == 1 {
			row[0], row[1] = nan, nan
		}
	}
	standard := []registry.Component{step(signature.Standard{})}
	for name, c := range map[string]struct {
		section dataset.Section
		src     dataset.Source
		example tensor.Shape
		about   dataset.About
		open    opening
	}{
		"table": {dataset.Section{Columns: map[string]dataset.ColumnSpec{
			"age":    {Missing: dataset.FillMedian, Integer: true},
			"colour": {Categories: []any{"red", "green", "blue"}, Missing: dataset.FillMostFrequent},
		}, Prepare: append(standard, standard...)}, dataset.Source{Split: "train"}, tensor.Shape{3}, table(
			dataset.Feature{Name: "age", Kind: dataset.KindInteger, Missing: true},
			dataset.Feature{Name: "colour", Kind: dataset.KindCategory, Categories: []string{"red", "green", "blue"}, Missing: true},
			dataset.Feature{Name: "size", Kind: dataset.KindNumber}),
			func() dataset.Reader { return &people{x: x} }},
		"photos": {dataset.Section{Prepare: append([]registry.Component{step(crop{})}, standard...)}, dataset.Source{}, tensor.Shape{3, 3, 3}, dataset.About{Varied: true, White: 1},
			func() dataset.Reader {
				return &photos{imaged{tensor.New(1, 3, 3, 3), 1}, [][3]int{{3, 3, 3}, {3, 3, 1}, {4, 3, 3}, {3, 5, 3}}, 0}
			}},
		"as they are": {dataset.Section{}, dataset.Source{}, tensor.Shape{3}, dataset.About{}, func() dataset.Reader { return &people{x: tensor.From(slices.Repeat([]float32{.5, 1, .25}, 4), 4, 3)} }},
	} {
		t.Run(name, func(t *testing.T) {
			formats := registry.NewTable[dataset.Format]("format", registry.Entry[dataset.Format]{Name: "x", Default: c.open})
			c.src.File = filepath.Join(t.TempDir(), "rows.x")
			if err := os.WriteFile(c.src.File, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			learn := func(stream bool) (*signature.Door, *dataset.Data) {
				c.src.Stream = stream
				door, err := signature.New(c.section, c.src, c.example, c.about)
				if err != nil {
					t.Fatal(err)
				}
				d, err := door.Learn(func(through dataset.Door) (*dataset.Data, error) {
					return dataset.Open(c.src, "", registry.Table[dataset.Set]{}, formats, dataset.OpenOptions{Door: through})
				})
				if err != nil {
					t.Fatal(err)
				}
				return door, d
			}
			memory, want := learn(false)
			stored, d := learn(true)
			defer func() { _ = d.Stored.Close() }()
			if !reflect.DeepEqual(stored.Signature, memory.Signature) || !slices.Equal(stored.Out(), memory.Out()) {
				t.Errorf("signature %+v, out %v, want %+v, %v", stored.Signature, stored.Out(), memory.Signature, memory.Out())
			}
			learnt := stored.Tensors()
			if len(learnt) != len(memory.Tensors()) {
				t.Errorf("learnt %v, want %v", learnt, memory.Tensors())
			}
			for name, want := range memory.Tensors() {
				if got := learnt[name]; got == nil || !slices.EqualFunc(got.Data, want.Data, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					t.Errorf("learnt %s %v, want %v", name, got, want)
				}
			}
			rows := make([]int, d.N())
			for i := range rows {
				rows[i] = d.N() - 1 - i
			}
			got, err := dataset.Take(d.Examples(), rows)
			if err != nil || !slices.Equal(got.Data, want.X.Gather(rows).Data) {
				t.Errorf("rows %v, want %v; %v", got, want.X.Gather(rows), err)
			}
			if _, err := stored.Prepare(tensor.Batch(1, c.example)); err != nil && name == "table" {
				t.Error(err)
			}
		})
	}
}
