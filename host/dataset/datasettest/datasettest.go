// Package datasettest has the conformance of file formats: what host/dataset
// relies on of any [dataset.Format].
package datasettest

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Sample is a small file, or folder, of a format with at least three rows, or
// the one that its files have.
type Sample struct {
	// Path is the file or folder. It has an extension of the format if there
	// is one, is not gzipped, and is not changed.
	Path string
	// Source are the keys to read it with, except where it is: label, x, ….
	Source dataset.Source
	// X and Labels are what it holds, (N, example…) and N class indices; nil
	// Labels: it has none.
	X      *tensor.Tensor
	Labels []int
	// Single says that files of the format have one row.
	Single bool
}

// Run checks what holds for every format, here the one called name in a table:
//
//   - the file is recognised among all formats of the table: by its extension
//     or its folder, and by its first bytes alone if there are such;
//   - Open gives the sample's rows and labels, ReadHeader agrees with it, and
//     lint accepts the source;
//   - rows, batches and, where the format streams, standard input (plain and
//     gzipped, however slowly it comes) agree bit for bit, digests included;
//   - rows are finite and counted, and the end stays the end;
//   - a truncated file is an error that names it. Without a count of rows it
//     may be a shorter file instead, whose rows but the last are the sample's;
//   - two readers of one file do not disturb each other;
//   - rows that are passed over, also more than there are, leave the others as they
//     are (Skipper, Divided);
//   - rows that stay in the file, or in a temporary one, have the same bits in any
//     order.
func Run(t *testing.T, formats registry.Table[dataset.Format], name string, s Sample) {
	t.Helper()
	f, err := formats.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	least := 3
	if s.Single {
		least = 1
	}
	if s.X == nil || s.X.N() < least {
		t.Fatalf("the sample has less than %d rows", least)
	}
	c := &conformance{formats: formats, name: name, f: f, Sample: s}
	t.Run("recognised", c.recognised)
	t.Run("rows", c.rows)
	t.Run("header", c.header)
	t.Run("exhaust", func(t *testing.T) { Exhaust(t, c.open(t, s.Path)) })
	t.Run("stream", c.stream)
	t.Run("truncated", c.truncated)
	t.Run("independent", c.independent)
	t.Run("stored", c.stored)
	t.Run("skipped", c.skipped)
}

type conformance struct {
	Sample
	formats registry.Table[dataset.Format]
	name    string
	f       dataset.Format
}

// source is the sample's at another path.
func (c *conformance) source(path string) dataset.Source {
	src := c.Source
	src.File = path
	return src
}

// options are those of f.Open.
func (c *conformance) options() dataset.ReadOptions {
	o := dataset.ReadOptions{Key: c.Source.X, Labels: c.Source.Labels, Label: c.Source.Label}
	if o.Labels == "" {
		o.Labels = c.Source.Y
	}
	return o
}

func (c *conformance) open(t *testing.T, path string) dataset.Reader {
	t.Helper()
	r, err := c.f.Open(path, c.options())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// same holds that d is what the sample says.
func (c *conformance) same(t *testing.T, d *dataset.Data, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !d.X.Shape.Equal(c.X.Shape) || !slices.Equal(d.X.Data, c.X.Data) {
		t.Errorf("rows %v %v, want %v %v", d.X.Shape, d.X.Data, c.X.Shape, c.X.Data)
	}
	if !slices.Equal(d.Labels, c.Labels) {
		t.Errorf("labels %v, want %v", d.Labels, c.Labels)
	}
}

func (c *conformance) recognised(t *testing.T) {
	src := c.source(c.Path)
	d, err := dataset.Open(src, "", c.sets(), c.formats)
	c.same(t, d, err)
	if err := src.Check("", c.formats, true); err != nil {
		t.Errorf("lint: %v", err)
	}
	traits := c.f.Traits()
	if len(traits.Magic) == 0 {
		if len(traits.Extensions) == 0 && !traits.Folder {
			t.Error("neither extension nor first bytes nor folder: nothing tells its files")
		}
		return
	}
	bare := filepath.Join(t.TempDir(), "rows")
	if err := os.WriteFile(bare, c.bytes(t), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err = dataset.Open(c.source(bare), "", c.sets(), c.formats)
	c.same(t, d, err)
}

// sets is a table of no sets.
func (c *conformance) sets() registry.Table[dataset.Set] {
	return registry.NewTable[dataset.Set]("dataset")
}

func (c *conformance) bytes(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (c *conformance) rows(t *testing.T) {
	r := c.open(t, c.Path)
	d, err := dataset.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if c.Source.Labels != "" && d.Labels == nil {
		d.Labels = c.Labels // from a file beside
	}
	c.same(t, d, nil)
	if len(d.Source) != 64 {
		t.Errorf("digest %q, want a sha256 in hexadecimal", d.Source)
	}
	rows := 0
	for _, p := range r.Parts() {
		rows += p.Rows
	}
	if rows != c.X.N() {
		t.Errorf("the parts have %d rows, want %d", rows, c.X.N())
	}
	if d.Features != nil && len(d.Features) != d.X.Stride() {
		t.Errorf("%d features of %d numbers", len(d.Features), d.X.Stride())
	}
}

func (c *conformance) header(t *testing.T) {
	src := c.source(c.Path)
	h, err := dataset.ReadHeader(src, "", c.sets(), c.formats)
	if err != nil {
		t.Fatal(err)
	}
	if h.Rows >= 0 && h.Rows != c.X.N() {
		t.Errorf("header of %d rows, there are %d", h.Rows, c.X.N())
	}
	if !h.Example.Equal(c.X.Example()) {
		t.Errorf("header of examples %v, they are %v", h.Example, c.X.Example())
	}
	if h.Labelled != (c.Labels != nil) {
		t.Errorf("header says labelled %v, want %v", h.Labelled, c.Labels != nil)
	}
	if c.Labels != nil && h.Classes > 0 && slices.Max(c.Labels) >= h.Classes {
		t.Errorf("header of %d classes, there is a label %d", h.Classes, slices.Max(c.Labels))
	}
}

// Exhaust reads r to the end and holds what every reader promises, whatever
// its bytes are: finite numbers but for values that a table lets be missing, bad
// rows counted like good ones, an end that stays one. Examples beyond a million numbers are left alone.
func Exhaust(t testing.TB, r dataset.Reader) {
	t.Helper()
	size := r.Example().Size()
	if size < 1 || size > dataset.MaxElements {
		t.Fatalf("example %v", r.Example())
	}
	if size > 1<<20 {
		return
	}
	var features []dataset.Feature // of a table
	if tabled, ok := r.(dataset.Tabled); ok {
		if features = tabled.Schema().Features; len(features) != size {
			t.Fatalf("%d features of %d numbers", len(features), size)
		}
	}
	dst := make([]float32, size)
	for n := 0; ; n++ {
		err := r.Next(dst)
		bad, isRow := asRow(err)
		switch {
		case err == nil:
			for i, v := range dst {
				if v-v != 0 && !(v != v && features != nil && features[i].Missing) {
					t.Fatalf("row %d has %v", n, v)
				}
			}
			continue
		case isRow:
			if bad.Row != n {
				t.Fatalf("bad row %d is called %d", n, bad.Row)
			}
			continue
		case isEOF(err):
			if c := r.Count(); c >= 0 && c != n {
				t.Fatalf("%d rows, %d counted", n, c)
			}
			if err := r.Next(dst); !isEOF(err) {
				t.Fatalf("after the end: %v", err)
			}
		}
		return
	}
}

func (c *conformance) stream(t *testing.T) {
	path := c.Path
	if c.f.Traits().Arrays && c.Source.X != "" {
		path += ":" + c.Source.X
	}
	whole, err := dataset.Read(path, c.formats, dataset.StreamOptions{Label: c.Source.Label})
	if err != nil {
		t.Fatal(err)
	}
	s, err := dataset.OpenStream(path, c.formats, dataset.StreamOptions{Format: c.name, Batch: 2, Label: c.Source.Label})
	if err != nil {
		t.Fatal(err)
	}
	var data []float32
	for {
		rows, err := s.Next()
		if isEOF(err) {
			break
		}
		if err != nil || len(rows.Bad) > 0 {
			t.Fatal(err, rows.Bad)
		}
		data = append(data, rows.X.Data...)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if !slices.Equal(data, c.X.Data) {
		t.Errorf("in batches %v, want %v", data, c.X.Data)
	}
	if _, ok := c.f.(dataset.StreamFormat); !ok {
		return
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(c.bytes(t)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, in := range []io.Reader{bytes.NewReader(c.bytes(t)), iotest.OneByteReader(bytes.NewReader(c.bytes(t))), &packed} {
		d, err := dataset.Read("-", c.formats, dataset.StreamOptions{Format: c.name, Label: c.Source.Label, Stdin: in})
		if err != nil {
			t.Fatal(err)
		}
		if !d.X.Shape.Equal(whole.X.Shape) || !slices.Equal(d.X.Data, whole.X.Data) || !slices.Equal(d.Labels, whole.Labels) || d.Source != whole.Source {
			t.Errorf("from standard input %v %v, labels %v, digest %s; want %v %v, %v, %s",
				d.X.Shape, d.X.Data, d.Labels, d.Source, whole.X.Shape, whole.X.Data, whole.Labels, whole.Source)
		}
	}
}

func (c *conformance) independent(t *testing.T) {
	first := c.open(t, c.Path)
	size := first.Example().Size()
	row := make([]float32, size)
	if err := first.Next(row); err != nil {
		t.Fatal(err)
	}
	got := slices.Clone(row)
	second, err := c.f.Open(c.Path, c.options())
	if err != nil {
		t.Fatal(err)
	}
	other, err := dataset.ReadAll(second)
	if err != nil || !slices.Equal(other.X.Data, c.X.Data) {
		t.Errorf("the second reader: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	for {
		err := first.Next(row)
		if isEOF(err) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row...)
	}
	if !slices.Equal(got, c.X.Data) {
		t.Errorf("the first reader beside the second: %v, want %v", got, c.X.Data)
	}
}

// named holds that an error names a path.
func named(t *testing.T, what, path string, err error) {
	t.Helper()
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%s: the error does not name the file: %v", what, err)
	}
}
