// Package signature says what a row is, and prepares it: the one door between
// raw rows, which files and requests hold, and the rows that the guard and the
// classifier take. A detector keeps its signature and what the steps learnt, so
// that a row means the same to every reader.
package signature

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Signature says what a raw row is. It is what meta.json of a detector holds
// under that name.
type Signature struct {
	// Kind is KindTable, KindImage or KindArray.
	Kind Kind `json:"kind"`
	// Shape is that of a raw row: the number of features of a table; of images
	// (height, width, channels) or as an array stores them, with a 0 for what may
	// differ from row to row. Empty for detectors of a while ago.
	Shape tensor.Shape `json:"shape,omitempty"`
	// Features are those of a table, in order; their names are empty where the
	// files have none. nil for what is no table.
	Features []dataset.Feature `json:"features,omitempty"`
	// ByValue says that in arrays of numbers a category is its value, where some category
	// of the feature is a number, and not its place among them: so in all but detectors of
	// a while ago.
	ByValue bool `json:"by_value,omitempty"`
	// White is the raw value of full intensity of images, 0 if it is not known.
	White float64 `json:"white,omitempty"`
	// Raw and Prepared are what the numbers of data.train ranged over before and
	// after the door; nil: not known.
	Raw      *Range `json:"raw,omitempty"`
	Prepared *Range `json:"prepared,omitempty"`
	// Label and ID are columns of a table that are no features.
	Label string `json:"label,omitempty"`
	ID    string `json:"id,omitempty"`
	// Classes are the names of the classes, in order.
	Classes []string `json:"classes,omitempty"`
}

// Range is what numbers range over.
type Range struct {
	Low   float32 `json:"low"`
	High  float32 `json:"high"`
	Whole bool    `json:"whole,omitempty"` // all of them whole numbers
}

// span is the width of the range.
func (r Range) span() float64 { return float64(r.High) - float64(r.Low) }

// Kind is what rows are.
type Kind string

// The kinds of rows.
const (
	KindTable Kind = "table" // columns, with names where files have them
	KindImage Kind = "image" // height × width × channels
	KindArray Kind = "array" // numbers in some other shape
)

// Named reports whether the features have names.
func (s Signature) Named() bool { return len(s.Features) > 0 && s.Features[0].Name != "" }

// Schema is what readers of tables are told: that columns go by name.
func (s Signature) Schema() *dataset.Schema {
	out := &dataset.Schema{Label: s.Label, ID: s.ID, Classes: s.Classes}
	if s.Kind == KindTable {
		out.Features = s.Features
	}
	return out
}

// domains are what the numbers of rows may be that no table's reader has held to the
// features; nil: any.
func (s Signature) domains() *dataset.Domains {
	features := s.Features
	if !s.ByValue && slices.ContainsFunc(features, dataset.Feature.ByValue) {
		features = slices.Clone(features)
		for i, f := range features {
			if f.ByValue() { // a code
				features[i] = dataset.Feature{Name: f.Name, Kind: dataset.KindNumber}
			}
		}
	}
	return dataset.NewDomains(features)
}

// maxFeatures bounds the features of a signature that is read.
const maxFeatures = 1 << 20

// Check finds what no signature can say: one that was read is not believed.
func (s Signature) Check() error {
	if s.Kind != KindTable && s.Kind != KindImage && s.Kind != KindArray {
		return fmt.Errorf("signature: kind %.40q, want table, image or array", string(s.Kind))
	}
	for _, n := range s.Shape {
		if n < 0 || n > dataset.MaxElements {
			return fmt.Errorf("signature: shape %v", s.Shape)
		}
	}
	if len(s.Shape) > 32 || !free(s.Shape) && len(s.Shape) > 0 && s.Shape.Valid(1, dataset.MaxElements) != nil {
		return fmt.Errorf("signature: shape %v", s.Shape)
	}
	if len(s.Features) > maxFeatures {
		return fmt.Errorf("signature: %d features, want at most %d", len(s.Features), maxFeatures)
	}
	if s.Features != nil && (len(s.Shape) != 1 || s.Shape[0] != len(s.Features)) {
		return fmt.Errorf("signature: %d features for rows of %v", len(s.Features), s.Shape)
	}
	if s.White < 0 || s.White != s.White || s.White > 1<<32 {
		return errors.New("signature: white is no intensity")
	}
	seen := make(map[string]bool, len(s.Features))
	for i, f := range s.Features {
		switch {
		case (f.Name == "") != (s.Features[0].Name == ""):
			return fmt.Errorf("signature: feature %d has no name, others have", i)
		case f.Name != "" && seen[f.Name]:
			return fmt.Errorf("signature: feature %q is there twice", f.Name)
		case f.Kind == dataset.KindCategory && len(f.Categories) < 2:
			return fmt.Errorf("signature: feature %q has %d categories", f.Name, len(f.Categories))
		case f.Kind != dataset.KindCategory && f.Categories != nil, f.Kind != dataset.KindCategory && f.Kind != dataset.KindNumber && f.Kind != dataset.KindInteger:
			return fmt.Errorf("signature: feature %q is of kind %.40q", f.Name, string(f.Kind))
		}
		seen[f.Name] = true
	}
	return nil
}

// fits reports whether rows stored as s are raw rows of shape want: equal, flat,
// or without a single channel.
func fits(s, want tensor.Shape) bool {
	if len(s) == len(want) {
		for i, n := range want {
			if n != 0 && n != s[i] {
				return false
			}
		}
		return true
	}
	if free(want) {
		return false
	}
	if len(s) == 1 {
		return s[0] == want.Size()
	}
	last := len(want) - 1
	return last == len(s) && want[last] == 1 && s.Equal(want[:last])
}

// describe is the signature of rows that a reader, or a header, tells of, without
// what only rows tell.
func describe(example tensor.Shape, about dataset.About, src dataset.Source) Signature {
	s := Signature{Shape: example.Clone(), Label: src.Label, ID: src.ID}
	switch {
	case about.Table != nil:
		s.Kind, s.Features = KindTable, slices.Clone(about.Table.Features)
		s.Label, s.ID = about.Table.Label, about.Table.ID
	case len(example) == 3 || len(example) == 2:
		s.Kind, s.White = KindImage, about.White
	default:
		s.Kind = KindArray
	}
	return s
}

// numbered are the features of rows of d numbers without names, which
// data.columns calls by their places.
func numbered(d int) []dataset.Feature {
	out := make([]dataset.Feature, d)
	for i := range out {
		out[i] = dataset.Feature{Name: strconv.Itoa(i), Kind: dataset.KindNumber}
	}
	return out
}
