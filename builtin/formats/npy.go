package formats

import (
	"github.com/vaeguard/vaeguard/host/dataset"
)

// NPY is one NumPy array, whose first dimension counts the rows.
type NPY struct{}

var (
	_ dataset.StreamFormat = NPY{}
	_ dataset.LabelFormat  = NPY{}
)

// Traits implements dataset.Format.
func (NPY) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".npy"}, Magic: []string{"\x93NUM"}}
}

// Open implements dataset.Format.
func (f NPY) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	return dataset.OpenStreamed(f, path, o)
}

// Stream implements dataset.StreamFormat.
func (NPY) Stream(c *dataset.Content, o dataset.ReadOptions) (dataset.Reader, error) {
	r, err := dataset.NewNPY(c)
	if err != nil {
		return nil, err
	}
	r.Allow(o.Schema)
	return r, nil
}

// ReadLabels implements dataset.LabelFormat: numbers, or text.
func (NPY) ReadLabels(path, _ string, _ int) (dataset.Array, error) { return dataset.ReadNPYFile(path) }
