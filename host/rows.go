package host

import (
	"errors"
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

	temp      string       // folder for temporary files; "": that of the system
	cancelled func() error // asked while a file is gone over; nil: it goes on
	glance    bool         // images of data.train are decoded when they are due: settle looks at the rest
}

func newRows() *rows { return &rows{of: map[dataset.Role]*dataset.Data{}} }

// Rows reads the rows of a role, once, as the guard and the classifier take
// them. Rows that serve two of the roles read so far are an error unless
// data.allow_overlap. Those of data.train with stream, or too many for memory,
// are Stored: Close closes their file. Others have X, which rows that are kept as bytes
// have anew at each call.
func (e *Experiment) Rows(role dataset.Role) (*dataset.Data, error) {
	d, err := e.kept(role)
	if err != nil {
		return nil, err
	}
	return d.Expanded(), nil
}

// kept is Rows as they are kept, perhaps Packed.
func (e *Experiment) kept(role dataset.Role) (*dataset.Data, error) {
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
		if !before.Example().Equal(d.Example()) {
			return nil, e.Spec.Errorf("data."+string(role), "examples are %v, those of data.%s are %v", d.Example(), other, before.Example())
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
	src.Stream = src.Stream && role == dataset.RoleTrain
	at := "data." + string(role)
	door := e.rows.door.For(src)
	schema := schemaFor(door, src)
	var d *dataset.Data
	var err error
	if train := e.rows.of[dataset.RoleTrain]; train != nil && train.Stored != nil && train.Stored.Holds(src) {
		d, err = train.Stored.Another(src, door, e.packs(door))
	} else {
		d, err = dataset.Open(src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats, e.reading(schema, door))
	}
	if role == dataset.RoleTrain && errors.Is(err, dataset.ErrTooLarge) {
		src.Stream = true
		d, err = dataset.Open(src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats, e.reading(schema, door))
	}
	if err != nil {
		return nil, e.Spec.faultsAt(at, err)
	}
	if err := door.Agrees(at, "data."+string(e.Spec.Data.Describing())); err != nil {
		return nil, e.Spec.Errorf(at, "%v", err)
	}
	e.tell(at, d)
	if door.Classes != nil && d.Labels != nil {
		if err := d.UseClasses(door.Classes); err != nil {
			return nil, e.Spec.Errorf(at, "%v; data.classes says all classes, in order", err)
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
	return &Experiment{Spec: e.Spec, c: e.c, o: e.o, rows: from.rows, open: e.open, stored: e.stored, root: e.root, lent: e.lent}
}

// readAll reads the rows of every role that the spec has, so that overlaps
// and missing files are found before hours of training.
func (e *Experiment) readAll() error {
	for _, role := range dataset.Roles {
		if e.Spec.Data.Of(role) == nil {
			continue
		}
		if _, err := e.kept(role); err != nil {
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
func (e *Experiment) trainRows() (dataset.Examples, error) {
	d, err := e.kept(dataset.RoleTrain)
	if err != nil {
		return nil, err
	}
	return d.Examples(), nil
}

// packs reports whether rows in memory are kept as bytes where they can be: not before
// the steps have learnt, which work on numbers.
func (e *Experiment) packs(through dataset.Door) bool {
	d, ok := through.(*signature.Door)
	return ok && !d.Learns()
}

// reading are the options of dataset.Open.
func (e *Experiment) reading(schema *dataset.Schema, door dataset.Door) dataset.OpenOptions {
	const every = 512 // rows between two looks
	return dataset.OpenOptions{Schema: schema, Door: door, Temp: e.rows.temp, Glance: e.rows.glance, Pack: e.packs(door),
		Note: func(message string) { e.o.logger().Warn(message) },
		Progress: func(done, total int) error {
			if done%every != 0 && done != total {
				return nil
			}
			if total > 0 {
				e.o.progress(Progress{Stage: "read", Done: done, Total: total, Ended: done == total})
			}
			if e.rows.cancelled == nil {
				return nil
			}
			return e.rows.cancelled()
		}}
}

// Close forgets the rows that were read, and closes and removes the files of
// those that are not in memory. Rows that are asked for again are read again.
func (e *Experiment) Close() error {
	var errs []error
	for _, d := range e.rows.of {
		if d.Stored != nil {
			errs = append(errs, d.Stored.Close())
		}
	}
	clear(e.rows.of)
	return errors.Join(errs...)
}

// settle looks at the rows of data.train that nobody has read since they were glanced
// at, and finds what reading all at first would have found.
func (e *Experiment) settle() error {
	if e.rows.door == nil {
		return nil
	}
	if err := e.rows.door.Settle(); err != nil {
		return e.Spec.faultsAt("data."+string(dataset.RoleTrain), err)
	}
	return nil
}

// unsettled forgets rows that were glanced at and never looked through, for a
// training that has failed: whoever asks for them again reads all.
func (e *Experiment) unsettled() error {
	d := e.rows.of[dataset.RoleTrain]
	if d == nil || d.Stored == nil || !d.Stored.Glanced() || e.rows.door.Settled() {
		return nil
	}
	e.rows.door = nil
	return e.Close()
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
