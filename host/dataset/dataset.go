// Package dataset reads examples and labels from named sets and files: whole
// for training and evaluation (Open), or row by row in constant memory for
// detection (OpenStream). How files hold rows is up to the formats that are
// handed in (Format); what formats share is here: Content, Numbers, NPZ, ReadAll.
//
// Every reader bounds what a file claims by what it can hold before it claims
// memory, and refuses truncation, trailing bytes and numbers that are not
// finite, by row and column.
package dataset

import (
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Data are the rows of one role. Images are NHWC.
type Data struct {
	X       *tensor.Tensor // (N, example…); nil where the rows are Stored or Packed
	Stored  *Stored        // rows that stay in a file; nil: they do not
	Packed  *Packed        // rows that take a byte a number (OpenOptions.Pack); nil: they do not
	Labels  []int          // class indices, nil if the source has none
	Classes []string       // names, or nil
	// Features are the names of tabular columns, or nil.
	Features []string
	// Source and Index say where each row came from: the sha256 (hex) of the
	// uncompressed content it was read from, and its number there. Two roles
	// overlap if they share a pair.
	Source string
	Index  []int
	// Notices are what a user should hear of how the rows were read.
	Notices []string
	// Parts are the files of a source that has several, in order: Index then
	// counts through them, and Source is the digest of their digests. nil
	// means one file.
	Parts []Part
}

// N is the number of rows.
func (d *Data) N() int {
	if d.Stored != nil {
		return d.Stored.N()
	}
	if d.Packed != nil {
		return d.Packed.N()
	}
	return d.X.N()
}

// Example is the shape of one row. It must not be changed.
func (d *Data) Example() tensor.Shape {
	if d.Stored != nil {
		return d.Stored.Example()
	}
	if d.Packed != nil {
		return d.Packed.Example()
	}
	return d.X.Example()
}

// Examples are the rows, wherever they are.
func (d *Data) Examples() Examples {
	if d.Stored != nil {
		return d.Stored
	}
	if d.Packed != nil {
		return d.Packed
	}
	return InMemory(d.X)
}

// Part is one file of a source in several files.
type Part struct {
	Digest string // sha256 (hex) of the uncompressed content
	Rows   int
}

// Header is what lint needs without reading rows.
type Header struct {
	Rows     int          // after split, range and limit; -1 if unknown without reading
	Example  tensor.Shape // NHWC
	Classes  int          // 0 if unknown
	Labelled bool
	About    About // what more the rows of a file tell; the zero value for named sets
}

// About is what a signature is made of besides the shape of an example.
type About struct {
	Table   *Schema  // of a table, with its Features; nil: of no table
	Varied  bool     // images may have their own sizes
	White   float64  // value of full intensity, 0 if unknown
	Notices []string // what a user should hear

	Prepared bool // rows are as a guard takes them, by the file's own word
}

// AboutReader is what a reader tells without reading rows.
func AboutReader(r Reader) About {
	var a About
	if t, ok := r.(Tabled); ok {
		s := t.Schema()
		a.Table = &s
	}
	if n, ok := r.(Noticed); ok {
		a.Notices = n.Notices()
	}
	_, a.Varied = r.(Varied)
	if w, ok := r.(Imaged); ok {
		a.White = w.White()
	}
	if p, ok := r.(interface{ Prepared() bool }); ok {
		a.Prepared = p.Prepared()
	}
	return a
}

// Set is a named set. It is immutable: methods may be called concurrently.
type Set interface {
	// Splits are the official ones, such as train and test, in the order in
	// which they make the whole set; nil for a set without.
	Splits() []string
	// Header describes an official split, or the whole set for "".
	Header(split string) (Header, error)
	// Load reads an official split, or the whole set for "". The caller owns
	// the result. A set that is not installed is an error that says how to
	// install it.
	Load(split string) (*Data, error)
}

// MaxElements bounds the numbers of one set: 4 GiB of float32.
const MaxElements = 1 << 30

// RowError is one row that cannot be used, though the rows after it can.
type RowError struct {
	Source string // file name, or - for standard input
	Row    int    // from 0, in the source's order
	Err    error  // what is wrong with it
}

// Error writes source: row n: cause.
func (e *RowError) Error() string {
	return fmt.Sprintf("%s: row %d: %v", e.Source, e.Row, e.Err)
}

// Unwrap is the cause.
func (e *RowError) Unwrap() error { return e.Err }

// take returns the rows of d at the given positions.
func (d *Data) take(rows []int) *Data {
	out := d.only(rows)
	if d.Stored != nil {
		out.Stored = d.Stored.take(rows)
	} else {
		out.X = d.X.Gather(rows)
	}
	return out
}

// only is take of what d says of the rows, without them.
func (d *Data) only(rows []int) *Data {
	out := *d
	out.X, out.Stored, out.Packed = nil, nil, nil
	out.Index = make([]int, len(rows))
	for i, r := range rows {
		out.Index[i] = d.Index[r]
	}
	if d.Labels != nil {
		out.Labels = make([]int, len(rows))
		for i, r := range rows {
			out.Labels[i] = d.Labels[r]
		}
	}
	return &out
}

// Slice is the rows a ≤ i < b of d, in memory, sharing their numbers.
func (d *Data) Slice(a, b int) *Data {
	out := *d
	out.X = d.X.Rows(a, b)
	if d.Index != nil {
		out.Index = d.Index[a:b]
	}
	if d.Labels != nil {
		out.Labels = d.Labels[a:b]
	}
	return &out
}

// NumClasses is the number of classes: that of the names if there are any,
// else one more than the largest label, 0 without labels.
func (d *Data) NumClasses() int {
	if d.Classes != nil {
		return len(d.Classes)
	}
	n := 0
	for _, y := range d.Labels {
		n = max(n, y+1)
	}
	return n
}

// Concat is the rows of a, then those of b, in memory, of equal examples: Index counts
// on through the parts of both. Names are a's.
func Concat(a, b *Data) *Data {
	if !a.X.Example().Equal(b.X.Example()) || (a.Labels == nil) != (b.Labels == nil) {
		panic("dataset: concatenation of different kinds of data")
	}
	out := &Data{Classes: a.Classes, Features: a.Features}
	n := a.X.N() + b.X.N()
	out.X = tensor.Batch(n, a.X.Example())
	copy(out.X.Data[copy(out.X.Data, a.X.Data):], b.X.Data)
	if a.Labels != nil {
		out.Labels = slices.Concat(a.Labels, b.Labels)
	}
	parts := slices.Concat(a.files(), b.files())
	out.setParts(parts)
	behind := 0
	for _, p := range a.files() {
		behind += p.Rows
	}
	out.Index = slices.Clone(a.Index)
	for _, i := range b.Index {
		out.Index = append(out.Index, behind+i)
	}
	return out
}

// files is Parts, where one file counts as one part.
func (d *Data) files() []Part {
	if d.Parts != nil {
		return d.Parts
	}
	rows := 0
	for _, i := range d.Index {
		rows = max(rows, i+1)
	}
	return []Part{{Digest: d.Source, Rows: rows}}
}
