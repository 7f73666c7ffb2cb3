package host

import (
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/spec"
)

// checkCalibration finds before any training that there are too few
// calibration rows for the false-alarm rate that is asked for, if the headers
// of the data tell how many there are.
func (e *Experiment) checkCalibration(s *spec.Spec) []spec.Error {
	if s.Threshold == nil || s.Threshold.FPR == nil || s.Data.Calibration == nil {
		return nil
	}
	h, err := dataset.ReadHeader(*s.Data.Calibration, s.Abs("."), e.c.Datasets)
	if err != nil || h.Rows < 0 {
		return nil // train finds out
	}
	if s.Threshold.Confidence != nil {
		_, err = detect.PACRank(h.Rows, *s.Threshold.FPR, 1-*s.Threshold.Confidence)
	} else {
		_, err = detect.ConformalRank(h.Rows, *s.Threshold.FPR)
	}
	if err != nil {
		return []spec.Error{s.Errorf("threshold", "%v", err)}
	}
	return nil
}
