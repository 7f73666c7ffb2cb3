// Command gen writes the data that package datasets embeds, from the files of
// Debian's packages dataset-fashion-mnist and python3-sklearn:
//
//	go run ./builtin/datasets/gen -out builtin/datasets/data
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func main() {
	fashion := flag.String("fashion", "/usr/share/datasets/fashion-mnist", "folder of the IDX files")
	sklearn := flag.String("sklearn", "/usr/lib/python3/dist-packages/sklearn/datasets/data", "folder of the CSV files")
	out := flag.String("out", "data", "folder to write")
	flag.Parse()
	if err := run(*fashion, *sklearn, *out); err != nil {
		log.Fatal(err)
	}
}

func run(fashion, sklearn, out string) error {
	if err := subset(fashion, "train", out, "train", 240); err != nil {
		return err
	}
	if err := subset(fashion, "t10k", out, "test", 60); err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.write(sklearn, out); err != nil {
			return err
		}
	}
	return nil
}

// subset writes the first perClass images of each class, in file order, their
// labels and their row numbers.
func subset(dir, from, out, to string, perClass int) error {
	images, err := read(filepath.Join(dir, from+"-images-idx3-ubyte.gz"))
	if err != nil {
		return err
	}
	labels, _, err := dataset.ReadLabels(filepath.Join(dir, from+"-labels-idx1-ubyte.gz"), -1, formats.Table())
	if err != nil {
		return err
	}
	const header, size = 16, 28 * 28
	var pixels, classes []byte
	var rows []int
	var count [10]int
	for i, y := range labels {
		if count[y] < perClass {
			count[y]++
			pixels = append(pixels, images[header+i*size:header+(i+1)*size]...)
			classes = append(classes, byte(y))
			rows = append(rows, i)
		}
	}
	idx := []byte{0, 0, 8, 3}
	for _, n := range []int{len(rows), 28, 28} {
		idx = binary.BigEndian.AppendUint32(idx, uint32(n))
	}
	if err := pack(filepath.Join(out, "fashion-mnist-3k."+to+"-images.idx.gz"), append(idx, pixels...)); err != nil {
		return err
	}
	for name, data := range map[string]any{"labels": classes, "rows": rows} {
		var b bytes.Buffer
		if err := dataset.WriteNPY(&b, dataset.Array{Shape: tensor.Shape{len(rows)}, Data: data}); err != nil {
			return err
		}
		if err := pack(filepath.Join(out, "fashion-mnist-3k."+to+"-"+name+".npy.gz"), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// table is one CSV file of scikit-learn and the names of its columns.
type table struct {
	name, file string
	skip       int // lines that count rows and name classes
	features   string
}

var tables = []table{
	{"digits", "digits.csv.gz", 0, pixelNames()},
	{"breast_cancer", "breast_cancer.csv", 1, strings.Join([]string{part("mean %s"), part("%s error"), part("worst %s")}, ",")},
	{"wine", "wine_data.csv", 1, "alcohol,malic_acid,ash,alcalinity_of_ash,magnesium,total_phenols,flavanoids," +
		"nonflavanoid_phenols,proanthocyanins,color_intensity,hue,od280/od315_of_diluted_wines,proline"},
	{"iris", "iris.csv", 1, "sepal length (cm),sepal width (cm),petal length (cm),petal width (cm)"},
}

func pixelNames() string {
	var names []string
	for i := range 64 {
		names = append(names, fmt.Sprintf("pixel_%d_%d", i/8, i%8))
	}
	return strings.Join(names, ",")
}

func part(format string) string {
	var names []string
	for _, n := range []string{"radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity",
		"concave points", "symmetry", "fractal dimension"} {
		names = append(names, fmt.Sprintf(format, n))
	}
	return strings.Join(names, ",")
}

// write copies the table under a header of its columns' names.
func (t table) write(dir, out string) error {
	b, err := read(filepath.Join(dir, t.file))
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(b), "\r\n", "\n")
	for range t.skip {
		_, text, _ = strings.Cut(text, "\n")
	}
	return pack(filepath.Join(out, t.name+".csv.gz"), []byte(t.features+",class\n"+text))
}

// read reads a file, unpacked if it is gzip.
func read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil || !strings.HasSuffix(path, ".gz") {
		return b, err
	}
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func pack(path string, b []byte) error {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(b); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
