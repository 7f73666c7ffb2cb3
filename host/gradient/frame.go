package gradient

import (
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
)

// frame is what is known of the inputs: where they may lie, and how large a
// small change is.
type frame struct {
	lo, hi []float32 // legal range: one number or one per feature; nil: unknown
	// spread is the width of each feature's range: of the legal one, else of
	// the training rows'. Features that never vary get the median of those
	// that do.
	spread []float32
	// scale and offset standardise an input for the surrogate: x·scale + offset.
	scale, offset []float32
}

func newFrame(info sdk.Info, x dataset.Examples) (*frame, error) {
	d := x.Example().Size()
	f := &frame{spread: make([]float32, d), scale: make([]float32, d), offset: make([]float32, d)}
	f.bound(info)
	mean, deviation := make([]float64, d), make([]float64, d)
	var lo, hi []float32
	for row, err := range dataset.Each(x) {
		if err != nil {
			return nil, err
		}
		if lo == nil {
			lo, hi = slices.Clone(row), slices.Clone(row)
		}
		for j, v := range row {
			mean[j] += float64(v)
			lo[j], hi[j] = min(lo[j], v), max(hi[j], v)
		}
	}
	for j := range mean {
		mean[j] /= float64(x.N())
	}
	for row, err := range dataset.Each(x) {
		if err != nil {
			return nil, err
		}
		for j, v := range row {
			e := float64(v) - mean[j]
			deviation[j] += e * e
		}
	}
	for j := range deviation {
		deviation[j] = math.Sqrt(deviation[j] / float64(x.N()))
		f.spread[j] = hi[j] - lo[j]
		if f.lo != nil {
			f.spread[j] = f.hi[j%len(f.hi)] - f.lo[j%len(f.lo)]
		}
	}
	if info.Layout != sdk.Flat { // pixels share their unit
		pool(mean, deviation)
		if f.lo == nil {
			widest := slices.Max(hi) - slices.Min(lo)
			for j := range f.spread {
				f.spread[j] = widest
			}
		}
	}
	fill(f.spread)
	for j := range mean { // a feature that hardly varies in training is not blown up
		s := math.Hypot(deviation[j], 0.1*float64(f.spread[j]))
		f.scale[j], f.offset[j] = float32(1/s), float32(-mean[j]/s)
	}
	return f, nil
}

// bound takes the legal range over.
func (f *frame) bound(info sdk.Info) {
	if len(info.Lo) > 0 && len(info.Hi) > 0 {
		f.lo, f.hi = info.Lo, info.Hi
	}
}

// pool gives all features the common mean and deviation.
func pool(mean, deviation []float64) {
	n := float64(len(mean))
	m, v := 0.0, 0.0
	for _, x := range mean {
		m += x / n
	}
	for j, x := range mean {
		v += (deviation[j]*deviation[j] + (x-m)*(x-m)) / n
	}
	for j := range mean {
		mean[j], deviation[j] = m, math.Sqrt(v)
	}
}

// fill replaces zeros by the median of the others, or 1.
func fill(spread []float32) {
	var known []float32
	for _, v := range spread {
		if v > 0 {
			known = append(known, v)
		}
	}
	median := float32(1)
	if len(known) > 0 {
		slices.Sort(known)
		median = known[len(known)/2]
	}
	for j, v := range spread {
		if !(v > 0) {
			spread[j] = median
		}
	}
}

// clip keeps v, which was moved from x in the range, in the range: a classifier
// may refuse what lies outside. x may lie outside already.
func (f *frame) clip(v, x float32, j int) float32 {
	if f.lo == nil {
		return v
	}
	lo, hi := f.lo[j%len(f.lo)], f.hi[j%len(f.hi)]
	return min(max(v, min(lo, x)), max(hi, x))
}
