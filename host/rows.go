package host

import (
	"fmt"
	"path/filepath"
	"reflect"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// rows are what was read of an experiment's data.
type rows struct {
	of       map[dataset.Role]*dataset.Data
	standard *dataset.Standard // of `scale: standard`, fitted on data.train; nil: none
}

func newRows() *rows { return &rows{of: map[dataset.Role]*dataset.Data{}} }

// Rows reads the rows of a role, once. Rows that serve two of the roles read
// so far are an error unless data.allow_overlap.
func (e *Experiment) Rows(role dataset.Role) (*dataset.Data, error) {
	if d, ok := e.rows.of[role]; ok {
		return d, nil
	}
	src := e.Spec.Data.Of(role)
	if src == nil {
		return nil, e.Spec.Errorf("data", "there is no data.%s", role)
	}
	d, err := dataset.Open(*src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats)
	if err != nil {
		return nil, fmt.Errorf("data.%s: %w", role, err)
	}
	if src.Standard() {
		if err := e.standardize(role, d); err != nil {
			return nil, err
		}
	}
	if t := e.rows.of[dataset.RoleTrain]; t != nil && t.Classes != nil && d.Labels != nil {
		if err := d.UseClasses(t.Classes); err != nil {
			return nil, fmt.Errorf("data.%s: %w", role, err)
		}
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

// standardize scales d with the mean and deviation of data.train.
func (e *Experiment) standardize(role dataset.Role, d *dataset.Data) error {
	if e.rows.standard == nil {
		fit := d
		if role != dataset.RoleTrain {
			src := e.Spec.Data.Train
			if src == nil {
				return e.Spec.Errorf("data."+string(role)+".scale", "standard needs data.train to fit on")
			}
			raw, err := dataset.Open(*src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats)
			if err != nil {
				return fmt.Errorf("data.train: %w", err)
			}
			fit = raw
		}
		fitted := dataset.Standardize(fit)
		e.rows.standard = &fitted
	}
	e.rows.standard.Apply(d.X)
	return nil
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
	return &Experiment{Spec: e.Spec, c: e.c, o: e.o, rows: from.rows}
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

// inputShape finds the shape of one example, and the number of classes, without
// reading rows: from the headers of the data, of any role.
func (s *Spec) inputShape(d *spec.Document, c Components) (tensor.Shape, int) {
	for _, role := range []dataset.Role{dataset.RoleTrain, dataset.RoleCalibration, dataset.RoleTest, dataset.RoleValidation} {
		src := s.Data.Of(role)
		if src == nil {
			continue
		}
		h, err := dataset.ReadHeader(*src, d.Abs("."), c.Datasets, c.Formats)
		if err == nil && len(h.Example) > 0 {
			return h.Example, h.Classes
		}
	}
	return nil, 0
}
