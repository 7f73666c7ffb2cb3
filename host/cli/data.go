package cli

import (
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// readRows reads what --data names, whole. example is the shape wanted, nil:
// as stored.
func (a *app) readRows(path string, example tensor.Shape) (*tensor.Tensor, error) {
	d, err := dataset.Read(path, dataset.StreamOptions{Example: example, Stdin: a.stdin})
	if err != nil {
		return nil, err
	}
	return d.X, nil
}

// floats is a tensor as an array of an .npz.
func floats(name string, t *tensor.Tensor) dataset.Array {
	return dataset.Array{Name: name, Shape: t.Shape, Data: t.Data}
}
