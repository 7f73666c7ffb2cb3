package cli

import (
	"fmt"

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

// readLabels reads the labels of n rows. Labels written as names are numbered
// as the detector's classes are; classes may be nil.
func readLabels(path string, n int, classes []string) ([]int, error) {
	labels, names, err := dataset.ReadLabels(path, n)
	if err != nil || names == nil || classes == nil {
		return labels, err
	}
	d := dataset.Data{Labels: labels, Classes: names, Index: make([]int, len(labels))}
	for i := range d.Index {
		d.Index[i] = i
	}
	if err := d.UseClasses(classes); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d.Labels, nil
}

// floats is a tensor as an array of an .npz.
func floats(name string, t *tensor.Tensor) dataset.Array {
	return dataset.Array{Name: name, Shape: t.Shape, Data: t.Data}
}
