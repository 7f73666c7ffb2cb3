// Package host is the facade: from a spec to a trained, calibrated detector,
// and from a detector's folder to answers.
//
//	d, err := host.Open("runs/first", builtin.Components())
//	r, err := d.Detect(ctx, x)
package host

import (
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options are what all of the facade's entry points share. The zero value
// reports nothing and uses all cores.
type Options struct {
	Threads int          // of the host's arithmetic; 0: GOMAXPROCS
	Logger  hclog.Logger // nil: none
	// Progress receives progress of long work; nil: none. It is called from one
	// goroutine at a time.
	Progress func(Progress)
}

// StageDetector is the stage of Progress that trains the detector's opinion.
const StageDetector = "detector"

// Progress is one report of long work.
type Progress struct {
	Stage   string // "classifier", StageDetector, "calibrate", "attack fgsm", …
	Done    int    // steps done of Total
	Total   int
	Epoch   int // 0 where there are none
	Epochs  int
	Ended   bool // of the epoch, or of the stage if there are no epochs
	Metrics map[string]float64
}

func (o Options) logger() hclog.Logger {
	if o.Logger == nil {
		return hclog.NewNullLogger()
	}
	return o.Logger
}

func (o Options) progress(p Progress) {
	if o.Progress != nil {
		o.Progress(p)
	}
}

// Experiment is a spec with what it names. It is a value: nothing changes its
// spec, and what it reads it only remembers.
type Experiment struct {
	Spec *Spec

	c      Components
	o      Options
	rows   *rows
	open   *OpenOptions     // of the detector that it is the spec of; nil: the spec is the caller's own
	stored *stored          // the detector, if open is not nil
	root   string           // what the detector's pack was extracted to, or ""
	now    func() time.Time // of what Price measures; nil: time.Now
	lent   sdk.Classifier   // a model of this program in the place of the spec's classifier; nil: none
}

// Load reads a spec file with overrides (path=value) and checks it, shapes
// included. name may be a ready spec of Components.Specs, with or without
// .yaml, if no such file exists. Errors are spec.Errors: all faults at once.
func Load(name string, set []string, c Components, o Options) (*Experiment, error) {
	s, err := read(name, set, c, func(s *Spec) []spec.Check { return allChecks(s, c, false) })
	if err != nil {
		return nil, err
	}
	return newExperiment(s, c, o), nil
}

// LoadAt is Load of a file whose relative paths start from the folder base.
func LoadAt(name, base string, set []string, c Components, o Options) (*Experiment, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	s := &Spec{}
	so := spec.Options{Tables: c.Tables(), Set: set, Checks: allChecks(s, c, false)}
	expanded := s.extender(&so, c)
	if s.Document, err = spec.Parse(filepath.Join(base, filepath.Base(name)), text, s, so); err != nil {
		return nil, err
	}
	s.Expanded = *expanded
	return newExperiment(s, c, o), nil
}

// LoadForLint is Load that also reports a plugin which cannot be found, or
// whose config does not fit it, and test rows without labels, which Run needs.
func LoadForLint(name string, set []string, c Components, o Options) (*Experiment, error) {
	s, err := read(name, set, c, func(s *Spec) []spec.Check { return append(allChecks(s, c, true), lintChecks(s, c)...) })
	if err != nil {
		return nil, err
	}
	return newExperiment(s, c, o), nil
}

func newExperiment(s *Spec, c Components, o Options) *Experiment {
	return &Experiment{Spec: s, c: c, o: o, rows: newRows()}
}

// With is the experiment with another spec: a copy that change has changed. It
// shares the rows that were read, and so change must leave the section data
// alone. Slices and pointers of the spec are to be replaced, not written to.
func (e *Experiment) With(change func(*Spec)) *Experiment {
	s := *e.Spec
	change(&s)
	return &Experiment{Spec: &s, c: e.c, o: e.o, rows: e.rows, open: e.open, stored: e.stored, root: e.root, lent: e.lent}
}

// Describe lists the layers of the spec's opinion, if it has any. Without
// data at hand the shape of an example is that of the decoder's end.
func (e *Experiment) Describe() ([]nn.LayerInfo, error) {
	e, err := e.borrowed()
	if err != nil {
		return nil, err
	}
	in, classes := e.Spec.inputShape(e.Spec.Document, e.c)
	return e.Spec.describe(in, classes)
}

// DescribeSaved is Describe for the inputs and classes of a saved detector,
// which the experiment is the spec of.
func (e *Experiment) DescribeSaved(saved *artifact.Detector) ([]nn.LayerInfo, error) {
	return e.Spec.describe(saved.Meta.InputShape, saved.Meta.Classifier.Classes)
}

// describe lists layers for examples of a shape; nil and 0 if it is not known.
func (s *Spec) describe(in tensor.Shape, classes int) ([]nn.LayerInfo, error) {
	_, coded := s.Detector.Chosen().(detect.Coded)
	if in == nil && coded && s.VAE != nil && !s.VAE.Auto() {
		var err error
		if in, err = s.decoderShape(); err != nil {
			return nil, err
		}
	}
	opinion, err := s.opinion(s.Document, detect.Parts{Input: in, Classes: classes})
	if err != nil && in == nil { // whatever a method says of no shape
		return nil, s.Errorf("data", "the shape of the data is not known")
	}
	if err != nil {
		return nil, err
	}
	d, ok := opinion.(detect.Described)
	if !ok {
		return nil, nil
	}
	if in == nil || opinion.Form().Logits && classes == 0 {
		return nil, s.Errorf("data", "the shape of the data is not known")
	}
	return d.Describe(), nil
}

// decoderShape is the shape that the decoder ends in, which must be the input's.
func (s *Spec) decoderShape() (tensor.Shape, error) {
	if s.VAE.LatentDim == 0 { // the encoder's width, which goes by the input's
		return nil, s.Errorf("data", "the shape of the data is not known")
	}
	seq, err := nn.Build(s.VAE.Decoder, tensor.Shape{s.VAE.LatentDim}, nn.FreshRand(s.Seed))
	if err != nil {
		return nil, placeError(s.Document, "vae", &vae.PartError{Part: "vae.decoder", Err: err})
	}
	return seq.Out(), nil
}

// Estimate counts the cost of training the given layers. Rows that no header counts
// are read for that.
func (e *Experiment) Estimate(layers []nn.LayerInfo) train.Estimate {
	t := e.Spec.Train
	if t == nil {
		return train.Estimate{}
	}
	streamed := e.Spec.streams(e.Spec.Document, e.c)
	size, n, validation := int64(e.InputShape().Size()), 0, 0
	// Numbers of four bytes: of rows as they are kept, as numbers while the classifier is
	// trained, while the detector is, and while a role is at work after that.
	var kept, classifier, detector, role4 int64
	for _, role := range dataset.Roles {
		rows := e.Spec.count(e.Spec.Document, e.c, role, math.MaxInt)
		numbers, bytes := int64(rows)*size, e.Spec.bytes(role, e.c)
		if role == dataset.RoleTrain && streamed {
			n = rows
			continue
		}
		if bytes {
			kept += numbers / 4
		} else {
			kept, numbers = kept+numbers, 0
		}
		switch role {
		case dataset.RoleTrain:
			n = rows
			classifier += numbers
		case dataset.RoleValidation:
			validation = rows
			classifier += numbers
			detector += numbers
		default:
			role4 = max(role4, numbers)
		}
	}
	out := t.Estimate(layers, n, validation, kept+max(detector, role4))
	if e.Spec.Classifier.Model.Train != nil {
		out.MemoryMiB = max(out.MemoryMiB, t.Estimate(nil, n, validation, kept+classifier).MemoryMiB)
	}
	out.Streamed = streamed
	return out
}

// bytes reports whether rows of a role are likely kept as bytes: images, unless a step
// learns from rows.
func (s *Spec) bytes(role dataset.Role, c Components) bool {
	src := s.Data.Of(role)
	if src == nil {
		return false
	}
	door, h, err := s.door(s.Document, *src, c)
	if err != nil || door.Learns() {
		return false
	}
	return h.About.White != 0 || src.Dataset != "" && len(h.Example) == 3
}

// InputShape is the shape of a row as guard and classifier take it, as the headers
// of the data tell it; nil: they do not.
func (e *Experiment) InputShape() tensor.Shape {
	in, _ := e.Spec.inputShape(e.Spec.Document, e.c)
	return in
}
