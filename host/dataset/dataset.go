// Package dataset reads examples and labels from named sets and files.
package dataset

import "github.com/vaeguard/vaeguard/sdk/tensor"

// Data are the rows of one role. Images are NHWC.
type Data struct {
	X       *tensor.Tensor // (N, example…)
	Labels  []int          // class indices, nil if the source has none
	Classes []string       // names, or nil
	// Features are the names of tabular columns, or nil.
	Features []string
	// Source and Index say where each row came from: the sha256 (hex) of the
	// uncompressed content it was read from, and its number there. Two roles
	// overlap if they share a pair.
	Source string
	Index  []int
}

// Header is what lint needs without reading rows.
type Header struct {
	Rows     int          // after split, range and limit; -1 if unknown without reading
	Example  tensor.Shape // NHWC
	Classes  int          // 0 if unknown
	Labelled bool
}
