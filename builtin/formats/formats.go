// Package formats are the file formats that ship in the box: one file each.
// What they share, and what your own format can use, is in host/dataset.
//
// To add one, write a dataset.Format in a file of its own and name it in Table.
package formats

import (
	"errors"
	"io"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table lists the formats by name. The first that a file's extension, first
// bytes or marks tell is the file's.
func Table() registry.Table[dataset.Format] {
	return registry.NewTable[dataset.Format]("format",
		registry.Entry[dataset.Format]{Name: "npy", Default: NPY{},
			Doc: "one NumPy array (.npy), the first dimension counts the rows; plain or gzip, from a file or standard input\n\nLabels come from a file: {file: x.npy, labels: y.npy}."},
		registry.Entry[dataset.Format]{Name: "npz", Default: NPZ{},
			Doc: "several NumPy arrays by name (.npz); x or FILE.npz:KEY names the inputs, y or labels the labels\n\nWithout a name the inputs are the array x, or the only one, and the labels of a file of labels are the array y, or the only one: {file: rows.npz, y: y}, {file: rows.npz, x: images, labels: y.npy}."},
		registry.Entry[dataset.Format]{Name: "csv", Default: CSV{},
			Doc: "text in rows and columns (.csv, .tsv), separated by tab, comma, semicolon or spaces; label names the column of labels\n\nColumns go by name, in any order. The first line is a header where names that are known stand in it, or more words than there are columns of words; what neither tells is an error, and header: true or false says it. Without a header label is the column's number, from 0: {file: rows.csv, label: \"4\", header: false}. Plain or gzip, from a file or standard input."},
		registry.Entry[dataset.Format]{Name: "parquet", Default: Parquet{},
			Doc: "a table of Apache Parquet (.parquet): one number per column, or columns of lists; label names the column of labels\n\nColumns go by name, in any order, and their types say what they hold: numbers of any width, decimals, truth values, text; nulls are no value: {file: rows.parquet, label: species}. For a detector of images or arrays a column x of lists, or of binary values of a byte a number, is the row."},
		registry.Entry[dataset.Format]{Name: "arrow", Default: Arrow{},
			Doc: "a table in Apache Arrow's IPC format, file or stream (.arrow, .arrows, .feather of version 2): one number per column, or columns of lists; label names the column of labels\n\nColumns go by name, in any order, and their types say what they hold: numbers of any width, decimals, truth values, text, dictionaries; nulls are no value: {file: rows.arrow, label: species}. For a detector of images or arrays a column x of lists, tensors, or binary values of a byte a number, is the row. Plain or gzip, from a file or standard input."},
		registry.Entry[dataset.Format]{Name: "jsonl", Default: JSONL{},
			Doc: "JSON (.jsonl, .ndjson, .json): one object or one array of numbers per line, or all of them in one array; the default on standard input\n\nKeys of objects are names of columns, in any order, null is no value, and label names the column of labels: {file: x.jsonl, label: species}. Arrays are flat or nested, and go by position; their labels may come from a file: {file: x.jsonl, labels: y.npy}. Plain or gzip."},
		registry.Entry[dataset.Format]{Name: "idx", Default: IDX{},
			Doc: "IDX, the format of MNIST, recognised by its first bytes: bytes become intensities in [0, 1]; labels come from a second file\n\nPlain or gzip, from a file or standard input: {idx: train-images.gz, labels: train-labels.gz}."},
		registry.Entry[dataset.Format]{Name: "image_file", Default: Image{},
			Doc: "one image in a file (.png, .jpg, .jpeg, .webp, .gif, .bmp, .tif, .tiff), which is one row; intensities in [0, 1], 1 or 3 channels\n\n{file: x.png}. Alpha is laid on white, a JPEG turned as its Exif says; of an animation it is the first frame. Pixels are those that Pillow gives."},
		registry.Entry[dataset.Format]{Name: "folder", Default: Folder{},
			Doc: "a folder of images (PNG, JPEG, WebP, GIF, BMP, TIFF), one subfolder per class; intensities in [0, 1], 1 or 3 channels\n\n{folder: images}. Subfolders that have images, at any depth, are the classes; images beside them are passed over, and without them there are no labels. Other files are passed over. Rows have the size of the first image, and three channels if one of the first 256 is coloured: grey ones then have three equal."},
		registry.Entry[dataset.Format]{Name: "cifar10", Default: CIFAR10{},
			Doc: "a folder of CIFAR-10's binary batches, splits train and test; 32×32×3 in [0, 1]\n\n{cifar10: cifar-10-batches-bin, split: train}, from data_batch_1.bin, …, test_batch.bin; class names from batches.meta.txt if it is there."},
	)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
