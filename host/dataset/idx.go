package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// idxTypes are the element types of the IDX format (big-endian) by their code.
var idxTypes = map[byte]dtype{
	0x08: {'u', 1, true}, 0x09: {'i', 1, true}, 0x0b: {'i', 2, true},
	0x0c: {'i', 4, true}, 0x0d: {'f', 4, true}, 0x0e: {'f', 8, true},
}

// idxHeader reads the magic number and the lengths. The sizes are bounded by
// what c can hold.
func idxHeader(c *content) (npyHeader, error) {
	var h npyHeader
	var magic [4]byte
	if err := c.full(magic[:]); err != nil {
		return h, err
	}
	d, ok := idxTypes[magic[2]]
	if magic[0] != 0 || magic[1] != 0 || !ok || magic[3] == 0 || magic[3] > 4 {
		return h, fmt.Errorf("%s: not an IDX file of 1 to 4 dimensions", c.name)
	}
	h.dtype = d
	for range magic[3] {
		var b [4]byte
		if err := c.full(b[:]); err != nil {
			return h, err
		}
		h.shape = append(h.shape, int(binary.BigEndian.Uint32(b[:])))
	}
	if err := h.shape[1:].Valid(1, maxElements); err != nil {
		return h, fmt.Errorf("%s: %w", c.name, err)
	}
	return h, c.holds(int64(h.shape[0]), int64(h.shape[1:].Size()*d.size))
}

// idxRows streams IDX images: those of bytes as intensities in [0, 1], other
// types as they are. Images without channels (N, H, W) become H×W×1.
type idxRows struct {
	npyRows
	scale float32
}

func newIDXRows(c *content) (*idxRows, error) {
	h, err := idxHeader(c)
	if err != nil {
		return nil, err
	}
	if len(h.shape) == 1 {
		return nil, errors.New(c.name + ": labels, want images")
	}
	if len(h.shape) == 3 {
		h.shape = append(h.shape, 1)
	}
	r := &idxRows{npyRows: npyRows{content: c, h: h, n: h.shape[0]}, scale: 1}
	r.buf = make([]byte, min(h.shape[1:].Size()*h.dtype.size, 1<<16))
	if h.dtype.kind == 'u' {
		r.scale = 255
	}
	return r, nil
}

func (r *idxRows) next(dst []float32) error {
	err := r.npyRows.next(dst)
	if r.scale != 1 && err == nil {
		for i := range dst {
			dst[i] /= r.scale
		}
	}
	return err
}

// idxLabels reads a whole IDX vector of class indices.
func idxLabels(c *content) (Array, error) {
	h, err := idxHeader(c)
	if err != nil {
		return Array{}, err
	}
	if len(h.shape) != 1 || h.dtype.kind == 'f' {
		return Array{}, fmt.Errorf("%s: %d dimensions of type %c, want a vector of integers", c.name, len(h.shape), h.dtype.kind)
	}
	raw, err := c.grow(h.shape[0] * h.dtype.size)
	if err != nil {
		return Array{}, err
	}
	if err := c.end(); !isEOF(err) {
		return Array{}, err
	}
	data, err := h.dtype.decode(raw, h.shape[0])
	return Array{Shape: tensor.Shape{h.shape[0]}, Data: data}, err
}
