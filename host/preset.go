package host

import (
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/signature"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Preset is a recipe by name: what preset: NAME in a spec stands for.
type Preset interface {
	// Method is the detection method that the recipe is for. A spec that names another
	// one beside the preset is at fault.
	Method() string
	// Recipe are the sections of a spec, as YAML, for rows of a kind. It must have
	// detector.data_type, and a threshold by fpr. Keys that a spec has itself win, those of
	// sections within sections too (see [spec.Extension]); a threshold by another rule than
	// fpr is taken as it is, and so are weights of vae without a section train.
	Recipe(r PresetRows) string
}

// PresetRows are the rows that a Preset is asked for.
type PresetRows struct {
	Shape tensor.Shape // of a prepared row
	Image bool         // detector.data_type is image, or it is absent and the shape has three dimensions
	Unit  bool         // of images: their numbers are from 0 to 1
	N     int          // of data.train, at least 100,000 where they are more; 0: not known
	// Calibration are the rows of data.calibration, counted as N is: a fusion of scores
	// keeps half of them for itself.
	Calibration int
	FPR         float64 // threshold.fpr as the spec has it; 0: it leaves that to the recipe
}

// The values of detector.data_type that choose between recipes.
const (
	dataImage   = "image"
	dataTabular = "tabular"
)

// extender makes a reader of the spec expand its preset, whose name it returns once
// the spec is read.
func (s *Spec) extender(o *spec.Options, c Components) *string {
	name := new(string)
	o.Extend = func(d *spec.Document, found spec.Errors) (spec.Extension, spec.Errors) {
		more, faults := s.extend(d, found, c)
		if more.YAML != "" {
			*name = s.Preset
		}
		return more, faults
	}
	return name
}

// extend is what the spec's preset adds to it, which is nothing without one.
func (s *Spec) extend(d *spec.Document, found spec.Errors, c Components) (spec.Extension, spec.Errors) {
	const at = "preset"
	if s.Preset == "" || found.Below(at) || found.Below("data") {
		return spec.Extension{}, nil
	}
	p, err := c.Presets.Lookup(s.Preset)
	if err != nil {
		return spec.Extension{}, spec.Errors{d.Errorf(at, "%v", err)}
	}
	own := s.Detector.Method.Name
	if own == "" { // its options are at fault
		own = d.Written("detector.method")
	}
	if d.Given("detector.method") && own != p.Method() {
		return spec.Extension{}, spec.Errors{d.Errorf(at, "%s guards by method %s, detector.method is %s: drop one of them", s.Preset, p.Method(), own)}
	}
	r, faults := s.presetRows(d, c)
	if faults != nil {
		return spec.Extension{}, faults
	}
	out := spec.Extension{At: at, YAML: p.Recipe(r)}
	if d.Given("threshold.percentile") || d.Given("threshold.value") {
		out.Without = append(out.Without, "threshold")
	}
	if d.Given("threshold.by") { // the promise is then of each class
		out.Without = append(out.Without, "threshold.class_fpr")
	}
	for _, own := range []string{"encoder", "decoder", "weights", "from"} {
		if d.Given("vae." + own) {
			out.Without = append(out.Without, "vae.layers")
		}
	}
	if (d.Given("vae.weights") || d.Given("vae.from")) && !d.Given("train") {
		out.Without = append(out.Without, "train")
	}
	return out, nil
}

// presetRows are what headers tell of the spec's rows.
func (s *Spec) presetRows(d *spec.Document, c Components) (PresetRows, spec.Errors) {
	r := PresetRows{}
	var door *signature.Door
	if role := s.Data.Describing(); role != "" {
		if in, _, err := s.door(d, *s.Data.Of(role), c); err == nil && len(in.Out()) > 0 {
			door, r.Shape = in, in.Out()
		}
	}
	switch s.Detector.DataType {
	case dataImage:
		r.Image = true
	case dataTabular:
	default:
		if r.Shape == nil {
			return r, spec.Errors{d.Errorf("preset", "the data does not tell whether its rows are images or a table; write detector.data_type: %s or %s", dataImage, dataTabular)}
		}
		r.Image = len(r.Shape) == 3
	}
	r.Unit = door == nil || s.intensities(d, c)
	r.N = s.count(d, c, dataset.RoleTrain, manyRows)
	r.Calibration = s.count(d, c, dataset.RoleCalibration, manyRows)
	if s.Threshold != nil && s.Threshold.FPR != nil {
		r.FPR = *s.Threshold.FPR
	}
	return r, nil
}

// manyRows are as many rows of a role as a recipe need know of.
const manyRows = 100_000

// count counts the rows of a role, up to a number where they have to be read for that;
// 0: there are none, or they cannot be counted.
func (s *Spec) count(d *spec.Document, c Components, role dataset.Role, most int) int {
	src := s.Data.Of(role)
	if src == nil {
		return 0
	}
	seen := 0
	want := dataset.Enough{Rows: func(n int) bool { seen = n; return n >= most }}
	f, err := dataset.ReadFirst(*src, d.Abs("."), c.Datasets, c.Formats, want, dataset.OpenOptions{Schema: s.schemaOf(*src)})
	if err != nil {
		return 0
	}
	return max(f.Rows, seen, 0)
}
