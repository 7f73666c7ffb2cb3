package dataset_test

import (
	"bytes"
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// f32 is a format of one's own: a line with the width of a row, then float32s
// in little-endian order. What formats share does the rest.
type f32 struct{}

// Traits implements dataset.Format.
func (f32) Traits() dataset.Traits { return dataset.Traits{Extensions: []string{".f32"}} }

// Open implements dataset.Format.
func (f f32) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (f32) Stream(c *dataset.Content, _ dataset.ReadOptions) (dataset.Reader, error) {
	var rows, width int
	line, err := c.ReadSlice('\n') // bounded by the buffer
	if err != nil {
		return nil, fmt.Errorf("%s: no first line: %w", c.Name, err)
	}
	if _, err := fmt.Sscan(string(line), &rows, &width); err != nil {
		return nil, fmt.Errorf("%s: first line: %w", c.Name, err)
	}
	return dataset.NewNumbers(c, dataset.Dtype{Kind: 'f', Size: 4}, tensor.Shape{rows, width})
}

// formats is a table with that format alone. Programs extend the one that
// ships: builtin.Components().Formats.With(…).
func formats() registry.Table[dataset.Format] {
	return registry.NewTable("format", registry.Entry[dataset.Format]{Name: "f32", Default: f32{}, Doc: "float32s behind a line (.f32)"})
}

// threeRows is a file with the rows (0, 1), (0.5, 2) and (−2, 0).
var threeRows = []byte("3 2\n" + "\x00\x00\x00\x00\x00\x00\x80\x3f" + "\x00\x00\x00\x3f\x00\x00\x00\x40" + "\x00\x00\x00\xc0\x00\x00\x00\x00")

// Read reads a file whole. "-" is standard input, in a format that is named.
func ExampleRead() {
	d, err := dataset.Read("-", formats(), dataset.StreamOptions{Format: "f32", Stdin: bytes.NewReader(threeRows)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.X.Shape, d.X.Data)
	// Output: 3×2 [0 1 0.5 2 -2 0]
}
