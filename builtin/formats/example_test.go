package formats_test

import (
	"fmt"
	"image"
	"image/png"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
)

// What ships: the formats and the extensions that tell them.
func ExampleTable() {
	for _, e := range formats.Table().Entries() {
		fmt.Println(e.Name, e.Default.Traits().Extensions)
	}
	// Output:
	// npy [.npy]
	// npz [.npz]
	// csv [.csv .tsv]
	// parquet [.parquet]
	// arrow [.arrow .arrows .feather]
	// jsonl [.jsonl .ndjson .json]
	// idx []
	// image_file [.png .jpg .jpeg .webp .gif .bmp .tif .tiff]
	// folder []
	// cifar10 []
}

// A table with names above its columns, one of which holds labels.
func ExampleCSV() {
	text := "length,width,kind\n5.1,3.5,setosa\n7,3.25,virginica\n4.75,3,setosa\n"
	d, err := dataset.Read("-", formats.Table(), dataset.StreamOptions{Format: "csv", Label: "kind", Stdin: strings.NewReader(text)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.Features, d.X.Shape)
	fmt.Println(d.Classes, d.Labels)
	// Output:
	// [length width] 3×2
	// [setosa virginica] [0 1 0]
}

// A cell that is no number is named by row and column.
func ExampleCSV_error() {
	_, err := dataset.Read("-", formats.Table(), dataset.StreamOptions{Format: "csv", Stdin: strings.NewReader("a,b\n1,2\n3,x\n")})
	fmt.Println(err)
	// Output: -: row 1: line 3: column "b": "x" is not a number; data.columns: {b: {categories: [...]}} says which words it has, {b: {ignore: true}} leaves it out, id: b names rows by it
}

// Rows go by the names of their columns, whatever the order of the file.
func ExampleCSV_schema() {
	flowers := []dataset.Feature{{Name: "length", Kind: dataset.KindNumber}, {Name: "width", Kind: dataset.KindNumber}}
	path := filepath.Join(os.TempDir(), "vaeguard-example.csv")
	if err := os.WriteFile(path, []byte("width,note,length\n3.5,wild,5.1\n"), 0o600); err != nil {
		log.Fatal(err)
	}
	defer os.Remove(path)
	r, err := formats.CSV{}.Open(path, dataset.ReadOptions{Schema: &dataset.Schema{Features: flowers}})
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	row := make([]float32, r.Example().Size())
	if err := r.Next(row); err != nil {
		log.Fatal(err)
	}
	fmt.Println(row, r.(dataset.Tabled).Notices())
	// Output: [5.1 3.5] [columns that are no features are left out: note]
}

// A row a line, of the shape that is wanted: what a pipe hands to detect.
func ExampleJSONL() {
	text := "[[1, 2], [3, 4]]\n[[5, 6], [7, 8]]\n"
	d, err := dataset.Read("-", formats.Table(), dataset.StreamOptions{Stdin: strings.NewReader(text)})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.X.Shape, d.X.Data)
	// Output: 2×2×2 [1 2 3 4 5 6 7 8]
}

// A folder of images, a subfolder a class.
func ExampleFolder() {
	dir, err := os.MkdirTemp("", "images")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	for _, name := range []string{"cat/1.png", "cat/2.png", "dog/1.png"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			log.Fatal(err)
		}
		f, err := os.Create(path)
		if err != nil {
			log.Fatal(err)
		}
		if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 4, 3))); err != nil {
			log.Fatal(err)
		}
		if err := f.Close(); err != nil {
			log.Fatal(err)
		}
	}
	d, err := dataset.Read(dir, formats.Table(), dataset.StreamOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(d.X.Shape, d.Classes, d.Labels)
	// Output: 3×3×4×1 [cat dog] [0 0 1]
}
