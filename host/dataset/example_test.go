package dataset_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A file that claims more than it holds is refused before memory is claimed.
func ExampleRead_truncated() {
	_, err := dataset.Read("-", formats(), dataset.StreamOptions{Format: "f32", Stdin: bytes.NewReader(threeRows[:20])})
	fmt.Println(err)
	// Output: -: truncated in row 2
}

// Rows come in batches, in memory that does not grow with the file. A row that
// cannot be used is left out and named.
func ExampleOpenStream() {
	bad := bytes.Clone(threeRows)
	copy(bad[12:], "\x00\x00\xc0\x7f") // NaN
	s, err := dataset.OpenStream("-", formats(), dataset.StreamOptions{Format: "f32", Batch: 2, Stdin: bytes.NewReader(bad)})
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	for {
		rows, err := s.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("rows", rows.Index, rows.X.Data)
		for _, fault := range rows.Bad {
			fmt.Println("left out:", fault)
		}
	}
	// Output:
	// rows [0] [0 1]
	// left out: -: row 1: column 0 is NaN, want finite numbers of float32
	// rows [2] [-2 0]
}

// Open reads what the section data of a spec says: here a range of a file's
// rows, raw. Package signature prepares them.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "rows")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "x.f32"), threeRows, 0o600); err != nil {
		log.Fatal(err)
	}
	src := dataset.Source{File: "x.f32", Range: []int{1, 3}}
	d, err := dataset.Open(src, dir, registry.NewTable[dataset.Set]("dataset"), formats())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.X.Data, "of rows", d.Index)
	// Output: [0.5 2 -2 0] of rows [1 2]
}

// Keys that do not go together are found without reading anything.
func ExampleSource_Validate() {
	src := dataset.Source{File: "x.f32", Folder: "images", Range: []int{5, 2}}
	fmt.Println(src.Validate())
	// Output: file, folder exclude each other; want one of them
}

// An array to NumPy and back.
func ExampleWriteNPY() {
	var file bytes.Buffer
	if err := dataset.WriteNPY(&file, dataset.Array{Shape: tensor.Shape{2, 2}, Data: []float32{1, 2, 3, 4}}); err != nil {
		log.Fatal(err)
	}
	a, err := dataset.ReadNPY(&file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(a.Shape, a.Data)
	// Output: 2×2 [1 2 3 4]
}

// Several arrays by name, as numpy.load reads them.
func ExampleWriteNPZFile() {
	dir, err := os.MkdirTemp("", "npz")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "rows.npz")
	err = dataset.WriteNPZFile(path, []dataset.Array{
		{Name: "x", Shape: tensor.Shape{3, 1}, Data: []float32{.5, 1, 1.5}},
		{Name: "y", Shape: tensor.Shape{3}, Data: []int{0, 1, 1}},
	})
	if err != nil {
		log.Fatal(err)
	}
	z, err := dataset.OpenNPZ(path)
	if err != nil {
		log.Fatal(err)
	}
	defer z.Close()
	y, err := z.Array("y")
	if err != nil {
		log.Fatal(err)
	}
	labels, err := y.Ints()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(z.Keys(), labels)
	// Output: [x y] [0 1 1]
}

// Two files may number the same classes differently: names decide.
func ExampleData_UseClasses() {
	d := &dataset.Data{Labels: []int{0, 1, 1}, Index: []int{0, 1, 2}, Classes: []string{"cat", "dog"}}
	if err := d.UseClasses([]string{"bird", "dog", "cat"}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Labels)
	fmt.Println(d.UseClasses([]string{"bird", "fish"}))
	// Output:
	// [2 1 1]
	// row 0: class "cat" is not among the 2 classes ["bird" "fish"]
}

// The batches of an epoch, fixed by seed and epoch: what a resumed training
// goes on with.
func ExampleBatches() {
	seen := make([]bool, 10)
	for _, rows := range dataset.Batches(10, 4, 7, 1) {
		fmt.Println(len(rows), "rows")
		for _, i := range rows {
			seen[i] = true
		}
	}
	fmt.Println(seen)
	// Output:
	// 4 rows
	// 4 rows
	// 2 rows
	// [true true true true true true true true true true]
}
