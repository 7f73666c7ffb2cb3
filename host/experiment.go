// Package host is the facade: from a spec to a trained, calibrated detector,
// and from a detector's folder to answers.
//
//	d, err := host.Open("runs/first", builtin.Components())
//	r, err := d.Detect(ctx, x)
package host

import (
	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options are what all of the facade's entry points share. The zero value is
// silent and uses all cores.
type Options struct {
	Threads int          // of the host's arithmetic; 0: GOMAXPROCS
	Logger  hclog.Logger // nil: none
	// Progress receives progress of long work; nil: none. It is called from one
	// goroutine at a time.
	Progress func(Progress)
}

// Progress is one report of long work.
type Progress struct {
	Stage   string // "classifier", "guard", "calibrate", "attack fgsm", …
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

// Experiment is a spec with what it names.
type Experiment struct {
	Spec *Spec

	c        Components
	o        Options
	rows     map[dataset.Role]*dataset.Data
	standard *dataset.Standard // of `scale: standard`, fitted on data.train; nil: none
	frozen   string            // folder of a trained classifier to use: see UseClassifier
}

// Load reads a spec file with overrides (path=value) and checks it, shapes
// included. name may be a ready spec of Components.Specs, with or without
// .yaml, if no such file exists. Errors are spec.Errors: all faults at once.
func Load(name string, set []string, c Components, o Options) (*Experiment, error) {
	s, err := read(name, set, c, func(s *Spec) []spec.Check { return allChecks(s, c) })
	return newExperiment(s, c, o), err
}

// LoadForLint is Load, but that a plugin which cannot be found, or whose config
// does not fit it, is among the faults.
func LoadForLint(name string, set []string, c Components, o Options) (*Experiment, error) {
	s, err := read(name, set, c, func(s *Spec) []spec.Check { return append(allChecks(s, c), pluginChecks(s, c)...) })
	return newExperiment(s, c, o), err
}

func newExperiment(s *Spec, c Components, o Options) *Experiment {
	if s == nil {
		return nil
	}
	return &Experiment{Spec: s, c: c, o: o, rows: map[dataset.Role]*dataset.Data{}}
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

// method is the kind of auto-encoder that the detector needs.
func method(s *Spec) vae.Method {
	if s.Detector.Method == "ae" || s.Detector.Method == "magnet" {
		return vae.AE
	}
	return vae.VAE
}
