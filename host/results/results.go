// Package results writes what a detector says of rows: one file per format,
// one table of formats. Every result carries the row's index, and where they
// exist its id, its file, the names of its classes and the columns that the
// user asked to keep.
package results

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
)

// Writer writes results row by row, in the order of the input. It does not
// close what it writes to. Errors are final.
type Writer interface {
	// Batch writes the results of the rows first, first+1, …. Traces has one
	// entry a row, or is nil where nothing is known; it may be reused after the
	// call, r may not.
	Batch(first int, r *detect.Result, traces []dataset.Trace) error
	// Bad writes that one row could not be scored.
	Bad(index int, trace dataset.Trace, err error) error
	// Close finishes the document.
	Close() error
}

// Grouping is a Writer that may write rows together.
type Grouping interface {
	Writer
	// EndBatch writes, and flushes, the rows since the last call, also if there
	// are none. It is for Options.Grouped.
	EndBatch() error
}

// Meta is what results say of the detector: "meta" of json and npz,
// alibi-detect's keys extended, and the metadata vaeguard of parquet and arrow.
type Meta struct {
	Name         string   `json:"name"`
	DetectorType string   `json:"detector_type"`
	DataType     string   `json:"data_type"`
	Online       bool     `json:"online"`
	Version      string   `json:"version"`
	Threshold    *float64 `json:"threshold"`         // null: there is none yet
	Detector     string   `json:"detector"`          // its digest
	Classes      []string `json:"classes,omitempty"` // names in the order of the classes; nil: they have none
	Keep         []string `json:"keep,omitempty"`    // names of the columns of a Trace's Kept
}

// Options say what results have. Formats whose columns are fixed before the
// first row go by them.
type Options struct {
	Meta
	// ID says that rows have ids, though the first may have none.
	ID bool
	// Kinds are those of the columns of Keep that are known beforehand, as
	// dataset.Stream's Kept has them; nil: none.
	Kinds []dataset.CellKind
	// Grouped says that Grouping's EndBatch tells which rows make a record batch
	// of arrow.
	Grouped bool
	// Include are the parts that results have besides the verdict.
	Include detect.Include
}

// Format is how results are written.
type Format struct {
	Name string
	// Doc is one sentence.
	Doc string
	// Parts says that a result may hold lists of numbers: Options.Include.
	Parts bool

	open func(io.Writer, Options) Writer
	keep func(names []string) error // whether columns may have these names; nil: all
}

// formats is the table of formats.
var formats = []Format{
	{"json", "one document of columns, as alibi-detect has it", true, newJSON, nil},
	{"jsonl", "one JSON object a line, written as rows come", true, newJSONL, nil},
	{"csv", "a header, then one line a row, written as rows come", false, newCSV, nil},
	{"npz", "NumPy arrays, one a column", true, newNPZ, checkArrayNames},
	{"parquet", "a Parquet file of typed, nullable columns", true, newParquet, nil},
	{"arrow", "an Arrow IPC stream of typed, nullable columns, written as rows come", true, newArrow, nil},
}

// Default is the name of the format where none is given. A live stream wants
// one that answers row by row.
func Default(live bool) string {
	if live {
		return "jsonl"
	}
	return "json"
}

// Formats are the known ones, in order of their listing.
func Formats() []Format { return slices.Clone(formats) }

// Names are the names of the formats that hold what is asked: all of them, or
// those with Parts.
func Names(parts bool) []string {
	var names []string
	for _, f := range formats {
		if f.Parts || !parts {
			names = append(names, f.Name)
		}
	}
	return names
}

// Lookup finds a format by name.
func Lookup(name string) (Format, error) {
	for _, f := range formats {
		if f.Name == name {
			return f, nil
		}
	}
	return Format{}, fmt.Errorf("unknown format %q; known: %s", name, strings.Join(Names(false), ", "))
}

// New is a writer of the format. What the format has no room for is an error:
// parts, or names of kept columns.
func (f Format) New(w io.Writer, o Options) (Writer, error) {
	if err := f.Check(o); err != nil {
		return nil, err
	}
	return f.open(w, o), nil
}

// Check reports whether the format can hold what o says.
func (f Format) Check(o Options) error {
	lists := o.Include
	lists.CertifiedRadius = false // a number
	if !f.Parts && lists != (detect.Include{}) {
		return fmt.Errorf("%s has one value per column; use %s", f.Name, strings.Join(Names(true), ", "))
	}
	seen := map[string]bool{}
	for _, name := range o.Keep {
		switch {
		case name == "":
			return fmt.Errorf("a kept column has no name")
		case seen[name]:
			return fmt.Errorf("column %q is kept twice", name)
		case slices.Contains(taken, name) || o.ID && name == "id":
			return fmt.Errorf("column %q cannot be kept: results have a column of that name", name)
		}
		seen[name] = true
	}
	if f.keep != nil {
		return f.keep(o.Keep)
	}
	return nil
}

// taken are the names of what every result has, or may have on request. id and
// file are free where rows have none.
var taken = []string{"index", "file", "is_adversarial", "instance_score", "p_value", "predicted", "predicted_label",
	"reconstructed", "reconstructed_label", "corrected", "corrected_label", "probabilities", "probabilities_reconstructed",
	"reconstruction", "latent", "certified_radius", "error", "meta"}
