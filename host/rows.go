package host

import (
	"fmt"
	"path/filepath"
	"reflect"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// rows are what was read of an experiment's data.
type rows struct {
	of   map[dataset.Role]*dataset.Data
	door *signature.Door // nil: nobody has asked for it
}

func newRows() *rows { return &rows{of: map[dataset.Role]*dataset.Data{}} }

// Rows reads the rows of a role, once, as the guard and the classifier take
// them. Rows that serve two of the roles read so far are an error unless
// data.allow_overlap.
func (e *Experiment) Rows(role dataset.Role) (*dataset.Data, error) {
	if d, ok := e.rows.of[role]; ok {
		return d, nil
	}
	if e.Spec.Data.Of(role) == nil {
		return nil, e.Spec.Errorf("data", "there is no data.%s", role)
	}
	d, err := e.read(role)
	if err != nil {
		return nil, err
	}
	for _, other := range dataset.Roles {
		before, ok := e.rows.of[other]
		if !ok {
			continue
		}
		if !before.X.Example().Equal(d.X.Example()) {
			return nil, e.Spec.Errorf("data."+string(role), "examples are %v, those of data.%s are %v", d.X.Example(), other, before.X.Example())
		}
		if e.Spec.Data.AllowOverlap {
			continue
		}
		if n := dataset.Shared(before, d); n > 0 {
			return nil, e.Spec.Errorf("data."+string(role), "%d rows are also in data.%s; data.allow_overlap: true permits it", n, other)
		}
	}
	e.rows.of[role] = d
	return d, nil
}

// read reads the rows of a role through the door, which it makes first.
func (e *Experiment) read(role dataset.Role) (*dataset.Data, error) {
	if e.rows.door == nil {
		first := e.Spec.Data.Describing()
		if first == role {
			return e.learn(role)
		}
		d, err := e.learn(first)
		if err != nil {
			return nil, err
		}
		e.rows.of[first] = d
	}
	src := *e.Spec.Data.Of(role)
	at := "data." + string(role)
	door := e.rows.door.For(src)
	schema := door.Schema()
	if src.Label != "" {
		schema.Label = src.Label
	}
	if src.ID != "" {
		schema.ID = src.ID
	}
	d, err := dataset.Open(src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats, dataset.OpenOptions{Schema: schema, Door: door})
	if err != nil {
		return nil, e.Spec.faultsAt(at, err)
	}
	if door.Classes != nil && d.Labels != nil {
		if err := d.UseClasses(door.Classes); err != nil {
			return nil, fmt.Errorf("%s: %w", at, err)
		}
	}
	return d, nil
}

// Sharing is the experiment with the rows that another one has read, if both
// have the same section data and the same folder for relative paths; else it is
// e itself. Rows are never changed once read.
func (e *Experiment) Sharing(from *Experiment) *Experiment {
	a, errA := filepath.Abs(e.Spec.Abs("."))
	b, errB := filepath.Abs(from.Spec.Abs("."))
	if errA != nil || errB != nil || a != b || !reflect.DeepEqual(e.Spec.Data, from.Spec.Data) {
		return e
	}
	return &Experiment{Spec: e.Spec, c: e.c, o: e.o, rows: from.rows, open: e.open, root: e.root}
}

// readAll reads the rows of every role that the spec has, so that overlaps
// and missing files are found before hours of training.
func (e *Experiment) readAll() error {
	for _, role := range dataset.Roles {
		if e.Spec.Data.Of(role) == nil {
			continue
		}
		if _, err := e.Rows(role); err != nil {
			return err
		}
	}
	return nil
}

// optional are the rows of a role, nil if the spec has none.
func (e *Experiment) optional(role dataset.Role) (*tensor.Tensor, error) {
	if e.Spec.Data.Of(role) == nil {
		return nil, nil
	}
	d, err := e.Rows(role)
	if err != nil {
		return nil, err
	}
	return d.X, nil
}

// trainRows are the rows of data.train.
func (e *Experiment) trainRows() (*tensor.Tensor, error) {
	d, err := e.Rows(dataset.RoleTrain)
	if err != nil {
		return nil, err
	}
	return d.X, nil
}

// inputShape finds the shape of one prepared example, and the number of classes,
// without reading rows: from the headers of the data, of any role.
func (s *Spec) inputShape(d *spec.Document, c Components) (tensor.Shape, int) {
	for _, role := range []dataset.Role{dataset.RoleTrain, dataset.RoleCalibration, dataset.RoleTest, dataset.RoleValidation} {
		src := s.Data.Of(role)
		if src == nil {
			continue
		}
		door, h, err := s.door(d, *src, c)
		if err == nil && len(door.Out()) > 0 {
			return door.Out(), h.Classes
		}
	}
	return nil, 0
}
