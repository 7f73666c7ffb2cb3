package dataset

import "sort"

// origin is where one row came from.
type origin struct {
	digest string
	index  int
}

// origins are those of all rows, in order.
func (d *Data) origins() []origin {
	out := make([]origin, len(d.Index))
	if d.Parts == nil {
		for i, at := range d.Index {
			out[i] = origin{d.Source, at}
		}
		return out
	}
	end := make([]int, len(d.Parts)) // one after the last row of each part
	n := 0
	for p, part := range d.Parts {
		n += part.Rows
		end[p] = n
	}
	for i, at := range d.Index {
		p := sort.SearchInts(end, at+1) // the first part that ends after it
		part := d.Parts[p]
		out[i] = origin{part.Digest, at - end[p] + part.Rows}
	}
	return out
}

// Shared counts the rows of b that were read from the same place as a row of
// a, whatever the files are called.
func Shared(a, b *Data) int {
	have := make(map[origin]bool, len(a.Index))
	for _, o := range a.origins() {
		have[o] = true
	}
	n := 0
	for _, o := range b.origins() {
		if have[o] {
			n++
		}
	}
	return n
}
