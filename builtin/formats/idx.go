package formats

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// IDX is the format of MNIST's files: big-endian numbers after a header. Bytes
// are read as intensities in [0, 1], other types as they are. Images without
// channels (N, H, W) become H×W×1.
type IDX struct{}

var (
	_ dataset.StreamFormat = IDX{}
	_ dataset.LabelFormat  = IDX{}
)

// Traits implements dataset.Format.
func (IDX) Traits() dataset.Traits { return dataset.Traits{Magic: []string{"\x00\x00"}} }

// Open implements dataset.Format.
func (f IDX) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (IDX) Stream(c *dataset.Content, _ dataset.ReadOptions) (dataset.Reader, error) {
	d, shape, err := idxHeader(c)
	if err != nil {
		return nil, err
	}
	switch len(shape) {
	case 1:
		return nil, errors.New(c.Name + ": labels, want images")
	case 3:
		shape = append(shape, 1)
	}
	r, err := dataset.NewNumbers(c, d, shape)
	switch {
	case err != nil:
		return nil, err
	case d.Kind == 'u':
		return intensities{r}, nil
	}
	return r, nil
}

// ReadLabels implements dataset.LabelFormat: a vector of class indices.
func (IDX) ReadLabels(path, _ string, _ int) (a dataset.Array, err error) {
	c, err := dataset.OpenContent(path)
	if err != nil {
		return dataset.Array{}, err
	}
	a, err = idxLabels(c)
	return a, errors.Join(err, c.Close())
}

func idxLabels(c *dataset.Content) (dataset.Array, error) {
	d, shape, err := idxHeader(c)
	if err != nil {
		return dataset.Array{}, err
	}
	if len(shape) != 1 || d.Kind == 'f' {
		return dataset.Array{}, fmt.Errorf("%s: %d dimensions of type %c, want a vector of integers", c.Name, len(shape), d.Kind)
	}
	return c.ReadArray(d, shape)
}

// idxType is the element type of an IDX code.
func idxType(code byte) (d dataset.Dtype, ok bool) {
	d.Big = true
	switch code {
	case 0x08:
		d.Kind, d.Size = 'u', 1
	case 0x09:
		d.Kind, d.Size = 'i', 1
	case 0x0b:
		d.Kind, d.Size = 'i', 2
	case 0x0c:
		d.Kind, d.Size = 'i', 4
	case 0x0d:
		d.Kind, d.Size = 'f', 4
	case 0x0e:
		d.Kind, d.Size = 'f', 8
	}
	return d, d.Size > 0
}

// idxHeader reads the magic number and the lengths, which the reader of the
// numbers holds against the size of the file.
func idxHeader(c *dataset.Content) (d dataset.Dtype, shape tensor.Shape, err error) {
	var magic [4]byte
	if err := c.Fill(magic[:]); err != nil {
		return d, nil, err
	}
	d, ok := idxType(magic[2])
	if magic[0] != 0 || magic[1] != 0 || !ok || magic[3] == 0 || magic[3] > 4 {
		return d, nil, fmt.Errorf("%s: not an IDX file of 1 to 4 dimensions", c.Name)
	}
	for range magic[3] {
		var b [4]byte
		if err := c.Fill(b[:]); err != nil {
			return d, nil, err
		}
		shape = append(shape, int(binary.BigEndian.Uint32(b[:])))
	}
	return d, shape, nil
}

// intensities are bytes in [0, 1].
type intensities struct{ *dataset.Numbers }

// White implements dataset.Imaged.
func (intensities) White() float64 { return 1 }

// Interleaved implements dataset.Interleaved.
func (intensities) Interleaved() {}

// Next implements dataset.Reader.
func (r intensities) Next(dst []float32) error {
	err := r.Numbers.Next(dst)
	if err == nil {
		for i := range dst {
			dst[i] /= 255
		}
	}
	return err
}

// At implements dataset.RandomAccess.
func (r intensities) At(dst []float32, i int) error {
	err := r.Numbers.At(dst, i)
	if err == nil {
		for i := range dst {
			dst[i] /= 255
		}
	}
	return err
}
