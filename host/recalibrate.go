package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/artifact/pack"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/health"
	"github.com/vaeguard/vaeguard/host/launch"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Recalibrate sets a new threshold from the scores of rows, as Read or Prepare
// give them, nil for a given value, and saves it: in place, or as a new detector in out. A pack is never
// changed in place: its out is another pack, X.vg or a folder X/.
func (d *Detector) Recalibrate(ctx context.Context, rows *dataset.Data, rule detect.Rule, out string) error {
	packed := d.stored != nil && d.stored.pack != nil
	if is, _ := pack.Named(out); packed && !is {
		return fmt.Errorf("%s is a pack, which does not change in place: have it written to another with --out X.vg, or a folder with --out X/", d.Saved.Dir)
	}
	var x *tensor.Tensor
	var labels []int
	if rows != nil {
		x, labels = rows.X, rows.Labels
	}
	_, seen, err := d.CalibrateDetect(ctx, x, labels, rule, healthParts)
	if err != nil {
		return err
	}
	var judged *health.Report
	if seen != nil && rule.Percentile == nil { // whose rows may be a mixture
		if judged, err = d.health(ctx, seen, rows, dataset.RoleCalibration, d.Classifier.Answered()); err != nil {
			return err
		}
	}
	if packed {
		return d.repack(out, judged)
	}
	if out == "" {
		if err := artifact.Recalibrate(d.Saved.Dir, d.State(), nil, judged); err != nil {
			return err
		}
		out = d.Saved.Dir
	} else {
		changed := *d.Saved
		changed.State, changed.Meta.Health = d.State(), judged
		changed.Meta.Base = relativeBase(out, d.Experiment.Spec.Abs("."))
		if err := artifact.Save(out, &changed, false); err != nil {
			return err
		}
	}
	saved, err := artifact.Load(out)
	if err != nil {
		return err
	}
	d.Saved = saved
	d.Experiment.rememberBase(saved, out)
	return nil
}

// Copy writes the detector into another folder, as it is: with its threshold and the
// rule of that. Relative paths of its spec lead where they led. A pack is copied as a
// file; this is an error.
func (s *Stored) Copy(out string) error {
	if s.Pack != nil {
		return fmt.Errorf("%s is a pack: copy it as it is", s.Saved.Dir)
	}
	changed := *s.Saved
	changed.Meta.Base = relativeBase(out, s.Experiment.Spec.Abs("."))
	if err := artifact.Save(out, &changed, false); err != nil {
		return err
	}
	saved, err := artifact.Load(out)
	if err != nil {
		return err
	}
	s.Saved = saved
	s.Experiment.rememberBase(saved, out)
	return nil
}

// repack writes the pack that the detector was opened from, with its state as
// it is now. A report is of the threshold before, and stays behind.
func (d *Detector) repack(out string, h *health.Report) error {
	work, remove, err := launch.TempDir()
	if err != nil {
		return err
	}
	defer remove()
	changed := *d.Saved
	changed.State, changed.Meta.Health = d.State(), h
	dir := filepath.Join(work, packedDetector)
	if err := artifact.Save(dir, &changed, false); err != nil {
		return err
	}
	saved, sources, err := detectorSources(dir)
	if err != nil {
		return err
	}
	s := d.stored
	for _, f := range s.pack.Files {
		if !strings.HasPrefix(f.Name, packedDetector+"/") && f.Name != "report.json" && f.Name != "scores.json" && f.Name != launch.LockName {
			file := filepath.Join(s.root, filepath.FromSlash(f.Name))
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			sources = append(sources, pack.Source{Name: f.Name, Path: file, Program: info.Mode()&0o111 != 0})
		}
	}
	_, folder := pack.Named(out)
	if _, err := pack.Write(out, folder, pack.Manifest{Places: s.pack.Places, Needs: s.pack.Needs}, sources); err != nil {
		return err
	}
	saved.Dir = out
	d.Saved = saved
	return nil
}
