package datasets

import (
	"bytes"
	"embed"
	"fmt"

	"github.com/vaeguard/vaeguard/builtin/formats"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// files are written by gen.
//
//go:embed data/*.gz
var files embed.FS

// table is an embedded table of numbers, its last column the class.
type table struct {
	name    string
	rows    int
	columns int
	classes []string
	scale   float32 // by which the numbers are divided
	image   bool    // columns are pixels: no names
}

var _ dataset.Set = table{}

var (
	digits       = table{name: "digits", rows: 1797, columns: 64, classes: numerals, scale: 16, image: true}
	breastCancer = table{name: "breast_cancer", rows: 569, columns: 30, classes: []string{"malignant", "benign"}, scale: 1}
	wine         = table{name: "wine", rows: 178, columns: 13, classes: []string{"class_0", "class_1", "class_2"}, scale: 1}
	iris         = table{name: "iris", rows: 150, columns: 4, classes: []string{"setosa", "versicolor", "virginica"}, scale: 1}
)

// Splits implements dataset.Set: there are none.
func (t table) Splits() []string { return nil }

// Header implements dataset.Set.
func (t table) Header(split string) (dataset.Header, error) {
	if split != "" {
		return dataset.Header{}, fmt.Errorf("%s has no official splits", t.name)
	}
	return dataset.Header{Rows: t.rows, Example: tensor.Shape{t.columns}, Classes: len(t.classes), Labelled: true}, nil
}

// Load implements dataset.Set.
func (t table) Load(split string) (*dataset.Data, error) {
	if split != "" {
		return nil, fmt.Errorf("%s has no official splits", t.name)
	}
	d, err := embedded(t.name+".csv.gz", "csv", "class")
	if err != nil {
		return nil, err
	}
	for i := range d.X.Data {
		d.X.Data[i] /= t.scale
	}
	d.Classes = t.classes
	if t.image {
		d.Features = nil
	}
	return d, nil
}

// embedded reads one file whole.
func embedded(name, format, label string) (*dataset.Data, error) {
	b, err := files.ReadFile("data/" + name)
	if err != nil {
		return nil, err
	}
	return dataset.Read("-", formats.Table(), dataset.StreamOptions{Format: format, Label: label, Stdin: bytes.NewReader(b)})
}

// subset is the embedded part of fashion-mnist: of each class the first 240
// of train and the first 60 of test. Its rows say that they come from there.
type subset struct {
	of   installed
	rows [2]int
}

var _ dataset.Set = subset{}

var fashion3K = subset{of: fashionMNIST, rows: [2]int{2400, 600}}

// Intensities implements host.Intensities.
func (subset) Intensities() bool { return true }

// Splits implements dataset.Set.
func (s subset) Splits() []string { return s.of.Splits() }

// Header implements dataset.Set.
func (s subset) Header(split string) (dataset.Header, error) {
	h, err := s.of.Header(split)
	h.Rows = 0
	for i, half := range s.of.halves {
		if split == "" || split == half.split {
			h.Rows += s.rows[i]
		}
	}
	return h, err
}

// Load implements dataset.Set.
func (s subset) Load(split string) (*dataset.Data, error) {
	var parts []*dataset.Data
	for _, half := range s.of.halves {
		if split != "" && split != half.split {
			continue
		}
		d, err := s.load(half)
		if err != nil {
			return nil, fmt.Errorf("fashion-mnist-3k: %w", err)
		}
		parts = append(parts, d)
	}
	switch len(parts) {
	case 1:
		return parts[0], nil
	case 2:
		return dataset.Concat(parts[0], parts[1]), nil
	}
	return nil, fmt.Errorf("fashion-mnist-3k has no split %q", split)
}

func (s subset) load(h half) (*dataset.Data, error) {
	stem := "fashion-mnist-3k." + h.split + "-"
	d, err := embedded(stem+"images.idx.gz", "idx", "")
	if err != nil {
		return nil, err
	}
	if d.Labels, err = vector(stem + "labels.npy.gz"); err != nil {
		return nil, err
	}
	if d.Index, err = vector(stem + "rows.npy.gz"); err != nil {
		return nil, err
	}
	d.Classes = s.of.classes
	d.Source = h.images.sha256
	d.Parts = []dataset.Part{{Digest: h.images.sha256, Rows: h.rows}}
	return d, nil
}

func vector(name string) ([]int, error) {
	b, err := files.ReadFile("data/" + name)
	if err != nil {
		return nil, err
	}
	a, err := dataset.ReadNPY(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	return a.Ints()
}
