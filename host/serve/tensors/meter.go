package tensors

import (
	"io"
	"sync/atomic"
)

// Meter counts the bytes of a body in what all of its kind hold, as they come: what a client declares holds nothing
// yet. Release lets go of them.
type Meter struct {
	io.Reader
	Held *atomic.Int64 // bytes of all bodies that are held
	Most int64         // that these may have
	Full error         // of Read, where they would have more
	n    int64
}

// Read implements io.Reader.
func (m *Meter) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	m.n += int64(n)
	if m.Held.Add(int64(n)) > m.Most {
		return n, m.Full
	}
	return n, err
}

// Release lets go of what was read.
func (m *Meter) Release() {
	m.Held.Add(-m.n)
	m.n = 0
}
