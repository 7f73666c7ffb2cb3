package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Door is the way in for raw rows, fitted on data.train: what files, requests
// and callers have goes through it, and nothing else prepares rows. A spec
// without data.train goes by the first role that it has.
func (e *Experiment) Door() (*signature.Door, error) {
	if e.rows.door != nil {
		return e.rows.door, nil
	}
	role := e.Spec.Data.Describing()
	if role == "" {
		return nil, e.Spec.Errorf("data", "is missing: there are no rows that could say what a row is")
	}
	if _, err := e.learn(role); err != nil {
		return nil, err
	}
	return e.rows.door, nil
}

// learn makes the door from the rows of a role, which it reads.
func (e *Experiment) learn(role dataset.Role) (*dataset.Data, error) {
	src := *e.Spec.Data.Of(role)
	src.Stream = src.Stream && role == dataset.RoleTrain
	at := "data." + string(role)
	door, d, err := e.learnFrom(src)
	if role == dataset.RoleTrain && errors.Is(err, dataset.ErrTooLarge) {
		e.o.logger().Warn(at + " is too large for memory: its rows are read from the file whenever they are due")
		src.Stream = true
		door, d, err = e.learnFrom(src)
	}
	if err != nil {
		return nil, e.Spec.faultsAt(at, err)
	}
	e.tell(at, d)
	if names := e.Spec.Data.ClassNames(); names != nil && d.Labels != nil {
		if err := d.UseClasses(names); err != nil {
			return nil, e.Spec.Errorf("data.classes", "%s: %v", role, err)
		}
	}
	door.Classes = d.Classes
	e.rows.door = door
	return d, nil
}

// tell logs what there is to say of how rows were read.
func (e *Experiment) tell(from string, d *dataset.Data) {
	for _, n := range d.Notices {
		e.o.logger().Warn(n, "rows", from)
	}
}

// learnFrom makes the door from the rows of a source.
func (e *Experiment) learnFrom(src dataset.Source) (*signature.Door, *dataset.Data, error) {
	door, _, err := e.Spec.door(e.Spec.Document, src, e.c)
	if err != nil {
		return nil, nil, err
	}
	schema := door.Schema()
	schema.Classes = e.Spec.Data.ClassNames()
	learns := door.Learns()
	d, err := door.Learn(func(through dataset.Door) (*dataset.Data, error) {
		o := e.reading(schema, through)
		o.Pack = !learns
		return dataset.Open(src, e.Spec.Abs("."), e.c.Datasets, e.c.Formats, o)
	})
	return door, d, err
}

// door is the spec's door for rows of a source, before it has learnt, with the
// header of the source.
func (s *Spec) door(d *spec.Document, src dataset.Source, c Components) (*signature.Door, dataset.Header, error) {
	schema := s.schemaOf(src)
	h, err := dataset.ReadHeader(src, d.Abs("."), c.Datasets, c.Formats, dataset.OpenOptions{Schema: schema})
	if err != nil {
		return nil, h, err
	}
	if src.Dataset != "" && len(h.Example) == 1 { // of the columns of a named set only its rows tell
		raw := src
		raw.Layout, raw.Reshape, raw.Rescale, raw.Scale = "", nil, nil, ""
		rows, err := dataset.Open(raw, d.Abs("."), c.Datasets, c.Formats)
		if err != nil {
			return nil, h, err
		}
		h.About.Table = tableOf(rows, s.Data)
	}
	door, err := signature.New(s.Data, src, h.Example, h.About)
	return door, h, err
}

// schemaOf is what the spec says of the columns of a source, before one is known.
func (s *Spec) schemaOf(src dataset.Source) *dataset.Schema {
	return &dataset.Schema{Label: src.Label, ID: src.ID, Rules: s.Data.Rules(), Classes: s.Data.ClassNames()}
}

// schemaFor is what readers of a source are told that is not the one the door learnt
// from: what it says of its label and id holds.
func schemaFor(door *signature.Door, src dataset.Source) *dataset.Schema {
	schema := door.Schema()
	if src.Label != "" {
		schema.Label, schema.AskedLabel = src.Label, true
	}
	if src.ID != "" {
		schema.ID, schema.AskedID = src.ID, true
	}
	return schema
}

// tableOf are the columns of a named set that is a table; nil if it is none.
func tableOf(d *dataset.Data, section dataset.Section) *dataset.Schema {
	if d.Features == nil {
		return nil
	}
	out := &dataset.Schema{}
	rules := section.Rules()
	for _, name := range d.Features {
		f := dataset.Feature{Name: name, Kind: dataset.KindNumber, Missing: rules[name].Missing}
		switch {
		case rules[name].Categories != nil:
			f.Kind, f.Categories = dataset.KindCategory, rules[name].Categories
		case rules[name].Integer:
			f.Kind = dataset.KindInteger
		}
		out.Features = append(out.Features, f)
	}
	return out
}

// faultsAt gives an error of reading rows its place: faults of the section data
// that of their keys, others that of a role.
func (s *Spec) faultsAt(role string, err error) error {
	var faults registry.FieldErrors
	if errors.As(err, &faults) {
		return s.Faults("data", faults)
	}
	return fmt.Errorf("%s: %w", role, err)
}

// savedDoor is the door of a saved detector. One of format version 1 has no
// signature: its columns go by position.
func savedDoor(s *Spec, saved *artifact.Detector) (*signature.Door, error) {
	role := s.Data.Describing()
	var src dataset.Source
	if role != "" {
		src = *s.Data.Of(role)
	}
	var sig signature.Signature
	if saved.Meta.Signature != nil {
		if sig = *saved.Meta.Signature; sig.Kind == "" {
			return nil, errors.New("signature: the kind of rows is missing")
		}
		if err := sig.Check(); err != nil {
			return nil, err
		}
	}
	door := signature.Of(sig, s.Data, src, saved.Meta.InputShape)
	if door.Classes == nil {
		door.Classes = saved.Meta.Classifier.Labels
	}
	return door, door.Restore(saved.Prepare())
}

// ReadOptions say how rows are read that are given to a detector or a spec.
type ReadOptions struct {
	Format   string    // name of the format; "": what the file is
	Header   *bool     // whether a table of text has one; nil: known names tell
	Label    string    // column of the labels; "": the signature's
	Labels   string    // file or array of labels; "": what the rows bring
	Keep     []string  // columns to hand through
	Batches  bool      // mark the ends of a source's batches, by dataset.ErrBatchEnd
	Prepared bool      // the rows are as the guard takes them already
	Stdin    io.Reader // what the path "-" reads; nil: os.Stdin
}

// stream are the options of the dataset's readers.
func (o ReadOptions) stream(door *signature.Door) dataset.StreamOptions {
	schema := door.Schema()
	if o.Label != "" {
		schema.Label, schema.AskedLabel = o.Label, true
	}
	s := dataset.StreamOptions{Format: o.Format, Header: o.Header, Schema: schema, Keep: o.Keep, Batches: o.Batches, Door: door, Stdin: o.Stdin, Batch: 1}
	if o.Prepared {
		s.Door = signature.Prepared{Door: door}
		schema.Features, schema.Arrays = door.PreparedFeatures(), true
	}
	return s
}

// Stream opens raw rows (a file, a folder, an array of a file, or - for standard
// input) to be read one by one as the guard takes them. The caller closes it.
func (e *Experiment) Stream(path string, o ReadOptions) (*dataset.Stream, error) {
	door, err := e.Door()
	if err != nil {
		return nil, err
	}
	return dataset.OpenStream(path, e.c.Formats, o.stream(door))
}

// Read reads raw rows whole, as Stream would, with the labels that they bring or
// that o.Labels names, numbered as the classes of the spec are.
func (e *Experiment) Read(path string, o ReadOptions) (*dataset.Data, error) {
	door, err := e.Door()
	if err != nil {
		return nil, err
	}
	d, err := dataset.Read(path, e.c.Formats, o.stream(door))
	if err != nil {
		return nil, err
	}
	e.tell(path, d)
	if o.Labels != "" {
		if d.Labels, d.Classes, err = dataset.ReadLabels(o.Labels, d.X.N(), e.c.Formats); err != nil {
			return nil, err
		}
	}
	if door.Classes != nil && d.Labels != nil {
		if err := d.UseClasses(door.Classes); err != nil {
			return nil, fmt.Errorf("%s: %w", cmp.Or(o.Labels, path), err)
		}
	}
	return d, nil
}

// Prepare is x, raw rows (N, example…) as files hold them, as the guard takes
// them: what Read would give.
func (e *Experiment) Prepare(x *tensor.Tensor) (*dataset.Data, error) {
	door, err := e.Door()
	if err != nil {
		return nil, err
	}
	if x, err = door.Prepare(x); err != nil {
		return nil, err
	}
	return &dataset.Data{X: x, Index: indices(x.N()), Features: door.Columns()}, nil
}

// ReadRows reads raw rows as a detector, a run or a spec has them, without
// starting a classifier: what plugin check and plugin predict are given.
func ReadRows(path, as string, c Components, o ReadOptions) (*dataset.Data, error) {
	if _, err := artifact.Resolve(as); err != nil && !pack.Is(as) {
		e, err := Load(as, nil, c, Options{})
		if err != nil {
			return nil, err
		}
		return e.Read(path, o)
	}
	s, err := Inspect(as, c)
	if err != nil {
		return nil, err
	}
	return s.Experiment.Read(path, o)
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// Stream is that of the detector's experiment.
func (d *Detector) Stream(path string, o ReadOptions) (*dataset.Stream, error) {
	return d.Experiment.Stream(path, o)
}

// Read is that of the detector's experiment.
func (d *Detector) Read(path string, o ReadOptions) (*dataset.Data, error) {
	return d.Experiment.Read(path, o)
}

// Prepare is that of the detector's experiment.
func (d *Detector) Prepare(x *tensor.Tensor) (*dataset.Data, error) { return d.Experiment.Prepare(x) }

// DetectRows is DetectInclude for rows that Read or Prepare gave.
func (d *Detector) DetectRows(ctx context.Context, rows *dataset.Data, include detect.Include) (*detect.Result, error) {
	return d.Detector.Detect(ctx, rows.X, include)
}

// DetectGiven is DetectRows where the classifier's answer p on the rows is known:
// see detect.Detector. nil: it is asked.
func (d *Detector) DetectGiven(ctx context.Context, rows *dataset.Data, p *tensor.Tensor, o detect.GivenOptions) (*detect.Result, error) {
	return d.Detector.DetectGiven(ctx, rows.X, p, o)
}

// Signature says what a raw row of the detector is.
func (d *Detector) Signature() signature.Signature {
	door, err := d.Experiment.Door()
	if err != nil { // of one that was never saved and has no data
		return signature.Signature{Kind: signature.KindArray, Shape: d.InputShape()}
	}
	return door.Signature
}
