package dataset

import (
	"errors"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Format is how a file, or a folder, holds rows. It is immutable: methods may
// be called concurrently.
//
// The host goes by what Traits say and by the interfaces that a format has
// besides this one, never by its name: [StreamFormat], [LabelFormat]. Package
// datasettest has the conformance of formats, examples/own-format one
// from outside.
type Format interface {
	// Traits say how files of the format are recognised and which keys of a
	// Source they understand. The slices are not to be changed.
	Traits() Traits
	// Open opens the rows of the file or folder at path. It reads no further
	// than it takes to know the shape of an example and, where the file says
	// it, the number of rows: lint and ReadHeader call it too. Errors name
	// path. The caller closes the reader.
	Open(path string, o ReadOptions) (Reader, error)
}

// StreamFormat is a Format that needs nothing but the bytes in order: it can
// be read from standard input, and gzip is undone for it.
type StreamFormat interface {
	Format
	// Stream reads the rows of c, and waits for no more than the first of
	// them. The reader closes c; where there is an error the caller does.
	Stream(c *Content, o ReadOptions) (Reader, error)
}

// LabelFormat is a Format whose files can hold labels alone: what a Source's
// labels and --labels name.
type LabelFormat interface {
	Format
	// ReadLabels reads a vector of class indices or names. key names an array
	// where Traits.Arrays, else it is empty. n is the number of rows to label,
	// -1 if unknown: the caller compares.
	ReadLabels(path, key string, n int) (Array, error)
}

// HeadedLabels is a LabelFormat of text, whose first line may be a header.
type HeadedLabels interface {
	LabelFormat
	// ReadLabelsBelow is ReadLabels where header says whether there is one; nil: the
	// lines tell.
	ReadLabelsBelow(path, key string, n int, header *bool) (Array, error)
}

// Traits are what the host knows of a format. The zero value is a format of
// files that cannot be recognised and are read only where it is named.
type Traits struct {
	// Extensions are those of its files: ".csv", in lower case. ".gz" after
	// one is ignored.
	Extensions []string
	// Magic are the first bytes of its files, at most MaxMagic, one of which
	// tells those whose extension is no format's.
	Magic []string
	// Folder says that rows are in a folder and not in a file. Marks are names
	// of which such a folder has at least one; without, it is any folder that
	// no other format's marks tell.
	Folder bool
	Marks  []string
	// Default says that standard input holds this format where none is named.
	Default bool
	// Arrays says that a file holds several arrays by name: the key x names the
	// inputs and y the labels, and a path may end in :KEY.
	Arrays bool
	// Table says that columns have names, or numbers: label names one.
	Table bool
	// Objects says that rows may have names of columns as well as none: label
	// names a column, and labels may come from a file too.
	Objects bool
	// Labelled says that rows bring their labels. Those of other formats, but
	// for tables, may come from a file of labels.
	Labelled bool
	// Splits are the official ones, nil for none.
	Splits []string
}

// MaxMagic bounds the bytes by which a format is recognised.
const MaxMagic = 16

// ReadOptions say what is to be read of a file. A format ignores what its
// Traits do not promise.
type ReadOptions struct {
	// Key names the array of the inputs; empty: the format's default.
	Key string
	// Labels names an array of labels, or a file: one that is no array's name
	// is left to the caller.
	Labels string
	// Label names the column of labels; empty: the Schema's, if that has one. It
	// must be there, but for the Schema's where Features are known.
	Label string
	// Schema says what the columns of a table are for; nil: all but the label are
	// numbers.
	Schema *Schema
	// Header says whether the first line of a text table is a header; nil: the
	// names that are known tell, and where they do not it is an error.
	Header *bool
	// Split is one of Traits.Splits; empty: all rows.
	Split string
	// Example is the shape wanted; nil: as stored. It is for formats whose files
	// do not say one: a first row of another size is then a bad row. Others
	// ignore it, and the caller compares.
	Example tensor.Shape
	// NoDigest says that nobody asks for the digests of Parts, so that the content
	// need not be hashed. OpenStreamed sees to it; others may ignore it.
	NoDigest bool
}

// Reader reads the examples of one source in order. It is owned by one
// goroutine; two readers of one file are independent. It declares what
// more it knows by [RowLabels], [ArrayLabels], [Featured], [Headed],
// [Noticed], [Bounded], [RandomAccess], [Tabled], [Traced], [Imaged],
// [Varied] and [ImageAccess].
type Reader interface {
	// Example is the shape of one row as stored, images as NHWC. It does not
	// change. Its size is from 1 to MaxElements.
	Example() tensor.Shape
	// Count is the number of rows, -1 if unknown without reading.
	Count() int
	// Next fills dst, of Example's size, with the next row, all numbers finite
	// but for the NaN of a value that is missing where a Tabled lets it; io.EOF
	// ends. After a *RowError the next row can be read; other errors,
	// which name the source, are final.
	Next(dst []float32) error
	// Parts are the digests of the files read, complete once Next gave io.EOF.
	Parts() []Part
	// Close closes what the reader opened, and its Content.
	Close() error
}

// RowLabels is a Reader whose rows carry their labels.
type RowLabels interface {
	Reader
	// Label is that of the row that Next gave last; empty: rows have none.
	Label() string
	// Classes are the names in order of class index, nil if labels tell.
	Classes() []string
}

// ArrayLabels is a Reader whose file has labels as well as rows.
type ArrayLabels interface {
	Reader
	// LabelArray is a vector of labels, one per row, and its name for errors;
	// nil if none was asked for.
	LabelArray() (a *Array, name string)
}

// Featured is a Reader whose columns have names.
type Featured interface {
	Reader
	// Features are the names of the numbers of an example, or nil.
	Features() []string
}

// Headed is a Reader that knows its header better than Example, Count and
// Classes say it.
type Headed interface {
	Reader
	// Header describes the rows before any is read.
	Header() Header
}

// Noticed is a Reader that has left something out, or read it in a way that not
// everyone expects, and says so.
type Noticed interface {
	Reader
	// Notices are what a user should hear, a sentence each, known once the reader
	// is open; nil if there is nothing. They do not name the source.
	Notices() []string
}

// Bounded is a Reader that may have checked its Count against the size of the
// file: memory for all rows is then allocated at once, and not as they come.
type Bounded interface {
	Reader
	// Bounded reports whether it has checked.
	Bounded() bool
}

// OpenStreamed opens the file at path as f reads a stream: Open of formats that
// stream.
func OpenStreamed(f StreamFormat, path string, o ReadOptions) (Reader, error) {
	c, err := OpenContent(path)
	if err != nil {
		return nil, err
	}
	return stream(f, c, o)
}

// stream closes c where it cannot be read.
func stream(f StreamFormat, c *Content, o ReadOptions) (Reader, error) {
	if o.NoDigest {
		c.undigested()
	}
	r, err := f.Stream(c, o)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return r, nil
}
