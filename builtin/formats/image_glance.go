package formats

import (
	"runtime"
	"sync"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/picture"
)

// glance is what a file tells without being decoded.
type glance struct {
	shape  [3]int
	digest string
	err    error
}

// Glance implements dataset.Glancer.
func (r *imageRows) Glance(visit func(row int, shape [3]int) error) error {
	const some = 512 // files between two times that visit is called
	seen := make([]glance, some)
	for lo := 0; lo < len(r.files); lo += some {
		r.glances(seen[:min(some, len(r.files)-lo)], lo)
		for i, g := range seen[:min(some, len(r.files)-lo)] {
			r.at = lo + i + 1
			if g.err != nil {
				return r.bad(g.err)
			}
			r.digest = append(r.digest, dataset.Part{Digest: g.digest, Rows: 1})
			if err := visit(lo+i, g.shape); err != nil {
				return err
			}
		}
	}
	return nil
}

// glances looks at the files from lo on, on all processors.
func (r *imageRows) glances(to []glance, lo int) {
	var work sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), aheadFiles)
	for w := range workers {
		work.Go(func() {
			for i := w; i < len(to); i += workers {
				to[i] = r.glance(lo + i)
			}
		})
	}
	work.Wait()
}

// glance looks at a file. Where its header is none, what decoding says of it counts.
func (r *imageRows) glance(i int) (g glance) {
	b, err := r.read(r.files[i], picture.MaxBytes+1)
	if err != nil {
		return glance{err: err}
	}
	g.digest = digestOf(b)
	h, w, c, err := picture.Measure(b)
	if err != nil {
		var m *picture.Image
		if m, err = picture.Decode(b); err == nil {
			h, w, c = m.H, m.W, m.C
		}
	}
	g.shape, g.err = [3]int{h, w, c}, err
	return g
}
