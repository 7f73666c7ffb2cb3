package datasettest

import (
	"os"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// stored reads rows that are left where they are.
func (c *conformance) stored(t *testing.T) {
	src := c.source(c.Path)
	src.Stream = true
	temp := t.TempDir()
	d, err := dataset.Open(src, "", c.sets(), c.formats, dataset.OpenOptions{Temp: temp})
	if err != nil {
		t.Fatal(err)
	}
	if d.X != nil || d.Stored == nil {
		t.Fatal("the rows are in memory")
	}
	src.Stream = false
	whole, err := dataset.Open(src, "", c.sets(), c.formats)
	if err != nil {
		t.Fatal(err)
	}
	if d.Source != whole.Source || !slices.Equal(d.Parts, whole.Parts) || !slices.Equal(d.Index, whole.Index) || !slices.Equal(d.Labels, whole.Labels) || !slices.Equal(d.Classes, whole.Classes) || !slices.Equal(d.Features, whole.Features) {
		t.Errorf("told of rows in the file %v, of those in memory %v", d, whole)
	}
	if d.N() != c.X.N() || !d.Example().Equal(c.X.Example()) {
		t.Fatalf("%d rows of %v, want %d of %v", d.N(), d.Example(), c.X.N(), c.X.Example())
	}
	var order []int
	for i := range d.N() {
		order = append(order, d.N()-1-i, i)
	}
	x := tensor.Batch(len(order), d.Example())
	if err := d.Stored.Gather(x, order); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(x.Data, c.X.Gather(order).Data) {
		t.Errorf("rows %v are %v, want %v", order, x.Data, c.X.Gather(order).Data)
	}
	if err := d.Stored.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Stored.Gather(x, order); err == nil {
		t.Error("rows of a closed file can be read")
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
