package dataset

import "errors"

// Cell is one value of a table, as its file has it.
type Cell struct {
	Kind   CellKind
	Number float64 // of a CellNumber
	Text   string  // of a CellText; of a number or truth value that was written out the text as it stands, else ""
}

// CellKind tells what a cell holds.
type CellKind uint8

// The kinds of cells. Text files hold text alone; CellText then may well be a
// number written out, which is for whoever knows the column to say.
const (
	CellMissing CellKind = iota // no value: empty, null
	CellNumber
	CellText
	// Kinds of columns alone, whose cells are CellNumber: whole numbers of 64 bits.
	CellInteger
	CellUnsigned
)

// Column is one column of a file's table.
type Column struct {
	Name string // "" if it has none
	// Kind is CellText for text alone, CellNumber for numbers alone, and
	// CellMissing where the cells tell: text files.
	Kind   CellKind
	Whole  CellKind // CellInteger or CellUnsigned of whole numbers of 64 bits, by its type; else 0
	Size   int      // of a column of lists: their length; 0: single values
	Shape  []int    // of a column of lists: the shape that they are in C order; nil: flat
	Bytes  bool     // its numbers are bytes, 0 to 255, and not what happens to be so small
	Index  bool     // is an index by the file's own word, such as pandas' metadata
	Reject string   // why its values can be neither number nor text: "is of type MAP"; its cells are then missing. Empty: they can
}

// Records reads a table record by record, whatever its columns mean: what
// formats of tables implement. NewTable makes rows of it.
type Records interface {
	// Columns are those of the file, in its order. Header says whether their
	// names come from the file.
	Columns() []Column
	Header() bool
	// Record is the next record, one cell a column (the entries of lists each);
	// valid until the next call. Another number of cells is the row's fault, which
	// NewTable tells. io.EOF ends. After a *RowError the next record can be read;
	// other errors, which name the source, are final.
	Record() ([]Cell, error)
	// Count, Parts and Close are those of a Reader.
	Count() int
	Parts() []Part
	Close() error
}

// NumberRecords are Records that can give a record of nothing but numbers at once,
// without its cells.
type NumberRecords interface {
	Records
	// Numbers fills dst, one number a cell, with the next record. false says that it
	// is left to Record, and has not been read. Errors are final.
	Numbers(dst []float32) (ok bool, err error)
}

// Lined is Records of a text file.
type Lined interface {
	Records
	// Line is that on which the last record began, from 1.
	Line() int
}

// Noticing is Records of a file that was not read quite as it stands.
type Noticing interface {
	Records
	// Notices are what a user should hear of that, as far as records were read.
	Notices() []string
}

// ErrBatchEnd is what a Batched reader gives after the last row of each batch.
// The next row can be read.
var ErrBatchEnd = errors.New("the batch ends")

// Batched is a Reader of a source whose rows come in batches.
type Batched interface {
	Reader
	// MarkBatches makes Next, and Record of Records that have the method, give
	// ErrBatchEnd after the last row of each batch, also of one without rows. It
	// reports whether there are batches to mark.
	MarkBatches() bool
}

// FeatureKind is what the values of a feature are.
type FeatureKind string

// The kinds of features.
const (
	KindNumber   FeatureKind = "number"
	KindInteger  FeatureKind = "integer"  // whole numbers
	KindCategory FeatureKind = "category" // one of a list of names, coded by position
)

// Feature is one column of the rows that a table gives.
type Feature struct {
	Name       string      `json:"name"`
	Kind       FeatureKind `json:"kind"`
	Categories []string    `json:"categories,omitempty"` // of a category, in the order of their codes
	Missing    bool        `json:"missing,omitempty"`    // may have no value: the row then has NaN there
}

// ColumnRule is what the section data says of one column.
type ColumnRule struct {
	Integer    bool
	Categories []string
	Missing    bool // a value may be absent
	Ignore     bool // is no feature
}

// Schema says what the columns of a table are for.
type Schema struct {
	// Label is the column of labels, ID the one that names a row; empty: none. In a
	// file without names they are numbers of columns, from 0. Where Features are
	// known a file may lack them.
	Label string
	ID    string
	// AskedLabel and AskedID say that a user named the label, or the id, of this very file: one that
	// lacks the column is then an error.
	AskedLabel, AskedID bool
	// Features are those of every row, in order, matched by name whatever the
	// order of the file, by position where the file has no names; nil: each column
	// of the file that is nothing else, in its order.
	Features []Feature
	// Arrays says that rows may be arrays nevertheless, by position: a column of lists
	// called x, which is no feature.
	Arrays bool
	// Classes are names of classes, as far as they are known: a label that would stand
	// for none otherwise, such as NA, is one of these.
	Classes []string
	// Rules are those of columns by name, by number where the file has no names;
	// for where Features are not known yet.
	Rules map[string]ColumnRule
	// Keep are columns to hand through, by name.
	Keep []string
}

// Tabled is a Reader of a table. Its notices tell of columns left out, and why.
type Tabled interface {
	Noticed
	// Schema is what the columns are for, Features never nil.
	Schema() Schema
}

// Trace tells where the row came from that a Reader gave last, or that was
// bad.
type Trace struct {
	ID   string // of the schema's column ID
	File string // of a folder: the path below it, with slashes; of an image alone its name
	Kept []Cell // of the schema's Keep
}

// Traced is a Reader whose rows can be traced.
type Traced interface {
	Reader
	// Trace is that of the last row; Kept is valid until the next.
	Trace() Trace
}

// Imaged is a Reader of images, or of arrays that may be.
type Imaged interface {
	Reader
	// White is the value of full intensity, 0 if it is not known: 1 of formats
	// that give intensities, 255 of bytes.
	White() float64
}

// Interleaved is a Reader of images that are always height × width × channels,
// whatever layout arrays have.
type Interleaved interface {
	Imaged
	// Interleaved is there to be asked for.
	Interleaved()
}

// Varied is a Reader of image files, always height × width × channels, that
// need not have the size and the channels of
// Example. Next then takes those that have, and is a *RowError for others.
type Varied interface {
	Imaged
	// NextImage is the next image, (height, width, channels) with 1 or 3 channels;
	// valid until the next call. Errors are those of Next.
	NextImage() (data []float32, shape [3]int, err error)
}

// ImageAccess is a Varied whose images can be read in any order once Next or
// NextImage has given io.EOF, until it is closed: training then decodes them
// whenever they are due.
type ImageAccess interface {
	Varied
	RandomAccess
	// ImageAt is image i as NextImage gave it; valid until the next call.
	ImageAt(i int) (data []float32, shape [3]int, err error)
	// Ahead tells which images are asked for next, in order, so that they can be
	// decoded meanwhile. Others may be asked for nevertheless.
	Ahead(rows []int)
}
