package host

import (
	"context"
	"path/filepath"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// save writes the detector to dir. classifierDir holds the files of a
// classifier that was trained here, or is "".
func (d *Detector) save(ctx context.Context, dir, classifierDir string, g *guard) error {
	info, err := d.Classifier.Info(ctx)
	if err != nil {
		return err
	}
	e := d.Experiment
	contents := artifact.Contents{Noise: g.noise, Heads: g.heads}
	if g.normalizer != nil {
		mean, std := g.normalizer.Float32()
		contents.Normalize = &artifact.Affine{Mean: mean, Std: std}
	}
	if a := e.rows.standard; a != nil {
		contents.Scale = &artifact.Affine{Mean: a.Mean, Std: a.Std}
	}
	meta := artifact.Meta{
		Name: e.Spec.Title(), Method: e.Spec.Detector.Method.Name, Seeds: map[string]uint64{"spec": e.Spec.Seed},
		InputShape: info.InputShape, Classifier: artifact.ClassifierOf(info), Gradient: d.gradientReport(),
		LatentDim: g.opinion.Form().Code, Data: map[string]string{},
	}
	if d.Gradient != nil {
		contents.Gradient = d.Gradient.Saved()
	}
	if g.noise != nil {
		meta.Samples = g.noise.N()
	}
	if meta.Base, err = filepath.Abs(e.Spec.Abs(".")); err != nil {
		return err
	}
	if rows := e.rows.of[dataset.RoleTrain]; rows != nil && len(meta.Classifier.Labels) == 0 {
		meta.Classifier.Labels = rows.Classes
	}
	for role, rows := range e.rows.of {
		meta.Data[string(role)] = rows.Source
	}
	saved := &artifact.Detector{Spec: e.Spec.Resolved(), Tensors: artifact.Tensors(g.opinion.Params(), contents),
		State: d.State(), ClassifierDir: classifierDir, Meta: meta}
	if err := artifact.Save(dir, saved, false); err != nil {
		return err
	}
	d.Saved, err = artifact.Load(dir)
	return err
}

// Recalibrate sets a new threshold from rows x, which are nil for a given
// value, and saves it: in place, or as a new detector in out.
func (d *Detector) Recalibrate(ctx context.Context, x *tensor.Tensor, rule detect.Rule, out string) error {
	if x != nil {
		x = d.Scale(x)
	}
	if _, err := d.Calibrate(ctx, x, rule); err != nil {
		return err
	}
	if out == "" {
		if err := artifact.Recalibrate(d.Saved.Dir, d.State(), nil); err != nil {
			return err
		}
		out = d.Saved.Dir
	} else {
		changed := *d.Saved
		changed.State = d.State()
		if err := artifact.Save(out, &changed, false); err != nil {
			return err
		}
	}
	saved, err := artifact.Load(out)
	if err != nil {
		return err
	}
	d.Saved = saved
	return nil
}
