package host

import (
	"fmt"
	"path/filepath"
	"reflect"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// Rows reads the rows of a role, once. Rows that serve two of the roles read
// so far are an error unless data.allow_overlap.
func (e *Experiment) Rows(role dataset.Role) (*dataset.Data, error) {
	if d, ok := e.rows[role]; ok {
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
	if t := e.rows[dataset.RoleTrain]; t != nil && t.Classes != nil && d.Labels != nil {
		if err := d.UseClasses(t.Classes); err != nil {
			return nil, fmt.Errorf("data.%s: %w", role, err)
		}
	}
	for _, other := range dataset.Roles {
		before, ok := e.rows[other]
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
	e.rows[role] = d
	return d, nil
}

// standardize scales d with the mean and deviation of data.train.
func (e *Experiment) standardize(role dataset.Role, d *dataset.Data) error {
	if e.standard == nil {
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
		e.standard = &fitted
	}
	e.standard.Apply(d.X)
	return nil
}

// ShareRows takes over the rows that another experiment has read, if both
// have the same section data and the same folder for relative paths. Rows are
// never changed once read.
func (e *Experiment) ShareRows(from *Experiment) {
	a, errA := filepath.Abs(e.Spec.Abs("."))
	b, errB := filepath.Abs(from.Spec.Abs("."))
	if errA != nil || errB != nil || a != b || !reflect.DeepEqual(e.Spec.Data, from.Spec.Data) {
		return
	}
	for role, rows := range from.rows {
		e.rows[role] = rows
	}
	e.standard = from.standard
}
