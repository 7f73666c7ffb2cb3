package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// dataFlags say which rows a verb works on and how they are read.
type dataFlags struct {
	data, labels, label, format, header string
	prepared                            bool
}

// add declares the flags. data says what --data is for; labels says what
// --labels is for, "" leaves it out.
func (f *dataFlags) add(fs *pflag.FlagSet, formats registry.Table[dataset.Format], data, labels string) {
	fs.StringVar(&f.data, "data", "", data+": "+rowsHelp(formats)+", or - for standard input")
	if labels != "" {
		fs.StringVar(&f.labels, "labels", "", labels)
	}
	fs.StringVar(&f.label, "label", "", "column of --data that holds labels (default: the detector's)")
	fs.StringVar(&f.format, "input-format", "", inputFormatHelp(formats))
	fs.StringVar(&f.header, "header", "", "true or false: whether the first line of a table of text is a header, where its names do not tell")
	fs.BoolVar(&f.prepared, "prepared", false, "the rows of --data are as the guard takes them: they are not prepared again")
}

// options are the flags as the host wants them.
func (f *dataFlags) options(a *app) (host.ReadOptions, error) {
	o := host.ReadOptions{Format: f.format, Label: f.label, Labels: f.labels, Prepared: f.prepared, Stdin: a.stdin}
	switch f.header {
	case "":
	case "true", "false":
		is := f.header == "true"
		o.Header = &is
	default:
		return o, usagef("--header %q: want true or false", f.header)
	}
	return o, nil
}

// notices tells what a reader of rows has to say.
func (a *app) notices(lines []string) {
	for _, l := range lines {
		_, _ = fmt.Fprintln(a.progress(), "notice: "+printable(l))
	}
}

// readAs reads rows as a spec or a detector prepares them; as is "" for rows in
// the classifier's own units.
func (a *app) readAs(path, as string) (*tensor.Tensor, error) {
	if as == "" {
		return a.readRows(path, nil)
	}
	d, err := host.ReadRows(path, as, a.c, host.ReadOptions{Stdin: a.stdin})
	if err != nil {
		return nil, err
	}
	return d.X, nil
}

// readRows reads rows that nothing prepares: those of a classifier alone, in its
// own units. example is the shape wanted, nil: as stored.
func (a *app) readRows(path string, example tensor.Shape) (*tensor.Tensor, error) {
	d, err := dataset.Read(path, a.c.Formats, dataset.StreamOptions{Example: example, Stdin: a.stdin})
	if err != nil {
		return nil, err
	}
	return d.X, nil
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
