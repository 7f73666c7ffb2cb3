package dataset

// origin is where one row came from.
type origin struct {
	digest string
	index  int
}

// origins are those of all rows, in order.
func (d *Data) origins() []origin {
	out := make([]origin, len(d.Index))
	for i, at := range d.Index {
		out[i] = origin{d.Source, at}
		for _, p := range d.Parts {
			if at < p.Rows {
				out[i] = origin{p.Digest, at}
				break
			}
			at -= p.Rows
		}
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
