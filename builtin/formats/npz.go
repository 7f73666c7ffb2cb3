package formats

import (
	"encoding/json"
	"errors"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// NPZ is several NumPy arrays by name: x holds the inputs where no key is
// named, or the only array; y the labels of a file of labels.
type NPZ struct{}

var _ dataset.LabelFormat = NPZ{}

// Traits implements dataset.Format.
func (NPZ) Traits() dataset.Traits {
	return dataset.Traits{Extensions: []string{".npz"}, Magic: []string{"PK"}, Arrays: true}
}

// Open implements dataset.Format.
func (NPZ) Open(path string, o dataset.ReadOptions) (dataset.Reader, error) {
	z, err := dataset.OpenNPZ(path)
	if err != nil {
		return nil, err
	}
	r, err := newNPZRows(z, path, o)
	if err != nil {
		return nil, errors.Join(err, z.Close())
	}
	return r, nil
}

// ReadLabels implements dataset.LabelFormat.
func (NPZ) ReadLabels(path, key string, _ int) (a dataset.Array, err error) {
	z, err := dataset.OpenNPZ(path)
	if err != nil {
		return dataset.Array{}, err
	}
	defer func() { err = errors.Join(err, z.Close()) }()
	if key == "" && z.Has("y") {
		key = "y"
	}
	if key, err = z.Only(key); err != nil {
		return dataset.Array{}, err
	}
	return z.Array(key)
}

// npzRows are the rows of one array, perhaps with labels from another.
type npzRows struct {
	*dataset.Numbers
	file  *dataset.NPZ
	y     *dataset.Array
	yName string

	prepared bool
}

// Prepared implements signature.Spaced: rows that an attack wrote as the guard
// takes them, where they could not be brought back to raw ones.
func (r *npzRows) Prepared() bool { return r.prepared }

// guardSpace reports whether the file's meta says that its rows are prepared.
// Files of attacks of a while ago say nothing of a space, and theirs are.
func guardSpace(z *dataset.NPZ) bool {
	if !z.Has("meta") {
		return false
	}
	a, err := z.Array("meta")
	if err != nil {
		return false
	}
	var text string
	switch v := a.Data.(type) {
	case string:
		text = v
	case []string:
		if len(v) == 1 {
			text = v[0]
		}
	}
	var meta struct {
		Attack string `json:"attack"`
		Space  string `json:"space"`
	}
	if json.Unmarshal([]byte(text), &meta) != nil {
		return false
	}
	return meta.Space == "guard" || meta.Space == "" && meta.Attack != ""
}

var _ dataset.ArrayLabels = (*npzRows)(nil)

func newNPZRows(z *dataset.NPZ, path string, o dataset.ReadOptions) (*npzRows, error) {
	key, err := z.Only(o.Key)
	if err != nil {
		return nil, err
	}
	c, err := z.Open(key)
	if err != nil {
		return nil, err
	}
	x, err := dataset.NewNPY(c)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	x.Allow(o.Schema)
	r := &npzRows{Numbers: x, file: z, prepared: guardSpace(z)}
	if z.Has(o.Labels) {
		y, err := z.Array(o.Labels)
		if err != nil {
			return nil, errors.Join(err, c.Close())
		}
		r.y, r.yName = &y, path+":"+o.Labels
	}
	return r, nil
}

// LabelArray implements dataset.ArrayLabels.
func (r *npzRows) LabelArray() (*dataset.Array, string) { return r.y, r.yName }

// Close implements dataset.Reader.
func (r *npzRows) Close() error { return errors.Join(r.Numbers.Close(), r.file.Close()) }
