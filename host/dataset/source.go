package dataset

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// opened is a source of rows and where their labels are, if anywhere.
type opened struct {
	Reader
	rows     Entered // those of Reader, through a door if there is one
	y        *Array  // labels beside the rows
	yName    string  // of the file that y was read from
	official bool    // the format has splits of its own
	pack     bool    // rows in memory are bytes where that loses nothing
}

func newOpened(r Reader) *opened {
	o := &opened{Reader: r, rows: r}
	if with, ok := r.(ArrayLabels); ok {
		o.y, o.yName = with.LabelArray()
	}
	return o
}

// enter sends the rows through a door; nil: none.
func (o *opened) enter(d Door) (err error) {
	if d != nil {
		o.rows, err = d.Enter(o.Reader)
	}
	return err
}

// enter sends rows that are in memory through a door.
func (d *Data) enter(door Door) error {
	from := &memory{data: d}
	rows, err := door.Enter(from)
	if err != nil {
		return err
	}
	x := tensor.Batch(d.X.N(), rows.Example())
	for i := range x.N() {
		if err := rows.Next(x.Row(i)); err != nil {
			return err
		}
	}
	d.X = x
	return nil
}

// memory reads rows that are in memory.
type memory struct {
	data *Data
	at   int
}

func (m *memory) Example() tensor.Shape { return m.data.X.Example() }
func (m *memory) Count() int            { return m.data.X.N() }
func (m *memory) Parts() []Part         { return m.data.files() }
func (m *memory) Close() error          { return nil }

func (m *memory) Next(dst []float32) error {
	if m.at == m.data.X.N() {
		return io.EOF
	}
	copy(dst, m.data.X.Row(m.at))
	m.at++
	return nil
}

// openSource opens the rows of a source that is not a named set.
func openSource(src Source, baseDir string, formats registry.Table[Format], schema *Schema) (*opened, error) {
	if src.Labels == "" {
		src.Labels = src.Y
	} else if src.Y != "" {
		return nil, errors.New("want either labels or y")
	}
	file, key := src.file(formats)
	if src.X != "" {
		key = src.X
	}
	f, err := src.format(baseDir, formats)
	if err != nil {
		return nil, err
	}
	if schema == nil {
		schema = &Schema{Label: src.Label, ID: src.ID}
	}
	o := ReadOptions{Key: key, Labels: src.Labels, Label: schema.Label, Schema: schema, Header: src.Header}
	official := f.Traits().Splits != nil
	if official {
		o.Split = src.Split
	}
	r, err := f.Open(below(baseDir, file), o)
	if err != nil {
		return nil, err
	}
	out := newOpened(r)
	out.official = official
	if src.Labels == "" || out.y != nil {
		return out, nil
	}
	at := below(baseDir, src.Labels)
	labels, classes, err := readLabels(at, out.Count(), src.Header, formats)
	if err == nil {
		err = schema.labelled(at, labels, classes)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close())
	}
	out.setLabels(at, labels, classes)
	return out, nil
}

// labelled refuses labels of a file that stand for none.
func (s *Schema) labelled(path string, labels []int, classes []string) error {
	for i, y := range labels {
		if classes != nil && s.isNone(classes[y]) {
			return fmt.Errorf("%s: row %d: %.40q: no label; data.classes lists it if it is a class", path, i, classes[y])
		}
	}
	return nil
}

// isNone reports whether a text stands for no label.
func (s *Schema) isNone(text string) bool {
	return IsMissing(text) && !slices.Contains(s.Classes, strings.TrimSpace(text))
}

// below is a path of a source, relative ones below baseDir.
func below(baseDir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(baseDir, path)
}

// file is the file or folder of a source that is not a named set, and the array
// that its path names.
func (s *Source) file(formats registry.Table[Format]) (file, key string) {
	if s.File != "" {
		return splitKey(s.File, formats)
	}
	_, file = s.Where()
	return file, ""
}

// format is that of a source that is not a named set: what the key says, which
// is the name of one, or else what the file is.
func (s *Source) format(baseDir string, formats registry.Table[Format]) (Format, error) {
	if s.File == "" {
		key, _ := s.Where()
		return formats.Lookup(key)
	}
	file, _ := s.file(formats)
	return recognise(below(baseDir, file), formats)
}

// setLabels keeps labels already read as an array again: text if they had
// names.
func (o *opened) setLabels(name string, labels []int, classes []string) {
	o.yName = name
	if classes == nil {
		data := make([]int64, len(labels))
		for i, y := range labels {
			data[i] = int64(y)
		}
		o.y = &Array{Shape: []int{len(labels)}, Data: data}
		return
	}
	data := make([]string, len(labels))
	for i, y := range labels {
		data[i] = classes[y]
	}
	o.y = &Array{Shape: []int{len(labels)}, Data: data}
}
