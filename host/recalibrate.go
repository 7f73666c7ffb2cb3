package host

import (
	"context"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

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
