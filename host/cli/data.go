package cli

import (
	"fmt"
	"strings"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// readRows reads what --data names, whole. example is the shape wanted, nil:
// as stored.
func (a *app) readRows(path string, example tensor.Shape) (*tensor.Tensor, error) {
	d, err := dataset.Read(path, a.c.Formats, dataset.StreamOptions{Example: example, Stdin: a.stdin})
	if err != nil {
		return nil, err
	}
	return d.X, nil
}

// readLabels reads the labels of n rows. Labels written as names are numbered
// as the detector's classes are; classes may be nil.
func (a *app) readLabels(path string, n int, classes []string) ([]int, error) {
	labels, names, err := dataset.ReadLabels(path, n, a.c.Formats)
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

// rowsHelp says what files of rows --data takes.
func rowsHelp(formats registry.Table[dataset.Format]) string {
	var words []string
	for _, e := range formats.Entries() {
		t := e.Default.Traits()
		if len(t.Extensions) == 0 {
			words = append(words, e.Name)
		}
		for _, ext := range t.Extensions {
			if t.Arrays {
				ext += "[:KEY]"
			}
			words = append(words, ext)
		}
	}
	return strings.Join(words, ", ") + " (see list format)"
}

// inputFormatHelp says what --input-format takes.
func inputFormatHelp(formats registry.Table[dataset.Format]) string {
	help := "format of the rows, by name, where the file does not tell it; for standard input: " + strings.Join(dataset.Streamed(formats), ", ")
	if name := dataset.DefaultFormat(formats); name != "" {
		help += " (default " + name + ")"
	}
	return help
}
