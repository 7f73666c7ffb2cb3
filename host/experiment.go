// Package host is the facade: from a spec to a trained, calibrated detector,
// and from a detector's folder to answers.
//
//	d, err := host.Open("runs/first", builtin.Components())
//	r, err := d.Detect(ctx, x)
package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options are what all of the facade's entry points share. The zero value is
// silent and uses all cores.
type Options struct {
	Threads int          // of the host's arithmetic; 0: GOMAXPROCS
	Logger  hclog.Logger // nil: none
	// Progress hears of long work; nil: nobody. It is called from one
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
	Spec *spec.Spec

	c        Components
	o        Options
	rows     map[Role]*dataset.Data
	standard *dataset.Standard // of `scale: standard`, fitted on data.train; nil: none
	frozen   string            // folder of a trained classifier to use: see UseClassifier
}

// Role is what rows are for.
type Role string

// The roles of contract-spec's section data.
const (
	RoleTrain       Role = "train"
	RoleValidation  Role = "validation"
	RoleCalibration Role = "calibration"
	RoleTest        Role = "test"
)

// Roles lists them in order of use.
var Roles = [...]Role{RoleTrain, RoleValidation, RoleCalibration, RoleTest}

// Load reads a spec file with overrides (path=value) and checks it, shapes
// included. name may be a ready spec of Components.Specs, with or without
// .yaml, if no such file exists. Errors are spec.Errors: all faults at once.
func Load(name string, set []string, c Components, o Options) (*Experiment, error) {
	return load(name, set, &Experiment{c: c, o: o, rows: map[Role]*dataset.Data{}})
}

// LoadToLint is Load, but that a plugin which cannot be found, or whose config
// does not fit it, is among the faults.
func LoadToLint(name string, set []string, c Components, o Options) (*Experiment, error) {
	e := &Experiment{c: c, o: o, rows: map[Role]*dataset.Data{}}
	return load(name, set, e, func(s *spec.Spec) []spec.Error { return e.pluginFaults(s) })
}

func load(name string, set []string, e *Experiment, classifier ...func(*spec.Spec) []spec.Error) (*Experiment, error) {
	c := e.c
	so := spec.Options{Tables: c.Tables(), Set: set, CheckClassifier: classifier, Check: []func(*spec.Spec) []spec.Error{e.checkShapes, e.checkCalibration}}
	var err error
	info, stat := os.Stat(name)
	if (stat != nil || info.IsDir()) && c.Specs != nil && filepath.Base(name) == name {
		file := strings.TrimSuffix(name, ".yaml") + ".yaml"
		data, readErr := fs.ReadFile(c.Specs, file)
		if readErr != nil && stat == nil {
			return nil, fmt.Errorf("%s is a folder; want a spec", name)
		}
		if readErr != nil {
			return nil, fmt.Errorf("open %s: no such spec; there is no ready one of that name either: see vaeguard list spec", name)
		}
		e.Spec, err = spec.Parse(file, data, so)
	} else {
		e.Spec, err = spec.Load(name, so)
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// source is the data source of a role, nil if the spec has none.
func (e *Experiment) source(role Role) *spec.DataSource {
	d := e.Spec.Data
	switch role {
	case RoleTrain:
		return d.Train
	case RoleValidation:
		return d.Validation
	case RoleCalibration:
		return d.Calibration
	}
	return d.Test
}

// Shapes finds the shape of one example without reading rows: from the
// headers of the data, of any role.
func (e *Experiment) inputShape(s *spec.Spec) (tensor.Shape, int) {
	for _, src := range []*spec.DataSource{s.Data.Train, s.Data.Calibration, s.Data.Test, s.Data.Validation} {
		if src == nil {
			continue
		}
		h, err := dataset.ReadHeader(*src, s.Abs("."), e.c.Datasets)
		if err == nil && len(h.Example) > 0 {
			return h.Example, h.Classes
		}
	}
	return nil, 0
}

// checkShapes is lint's shape inference: it builds the auto-encoder for the
// shape of the data and says where it does not fit.
func (e *Experiment) checkShapes(s *spec.Spec) []spec.Error {
	if s.VAE == nil || len(s.VAE.Decoder) == 0 {
		return nil
	}
	in, _ := e.inputShape(s)
	if in == nil {
		return nil // the data is not at hand: train finds out
	}
	e.Spec = s
	_, err := vae.Build(e.modelOptions(in), s.Seed)
	if err == nil {
		return nil
	}
	return []spec.Error{placeError(s, err)}
}

func makers(cs []registry.Component) []nn.Maker { return registry.List[nn.Maker](cs) }

// method is the kind of auto-encoder that the detector needs.
func method(s *spec.Spec) vae.Method {
	if s.Detector.Method == "ae" || s.Detector.Method == "magnet" {
		return vae.AE
	}
	return vae.VAE
}

// placeError gives an error of building layers its place in the file.
func placeError(s *spec.Spec, err error) spec.Error {
	path := "vae"
	var part *vae.PartError
	if errors.As(err, &part) {
		path, err = part.Part, part.Err
	}
	var layer *nn.LayerError
	if errors.As(err, &layer) {
		for i, index := range layer.Path {
			if i > 0 {
				path += ".residual.layers"
			}
			path += fmt.Sprintf("[%d]", index)
		}
		err = layer.Err
	}
	return s.Errorf(path, "%v", err)
}
