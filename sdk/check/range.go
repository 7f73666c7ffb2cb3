package check

import (
	"context"
	"fmt"
	"math"
)

// Checks of rows against the legal range.
const (
	rangeSlack = 1e-6 // of a range's width: rounding
	rangeUsed  = 0.02 // share of the width below which rows look like rows of another scale
)

// ranges holds the data against the legal range that the classifier declares.
// Rows that leave it by more than its width are in other units: a failure.
// Others leave it by what rows do, and are a warning: attacks widen it.
func (p *probe) ranges(context.Context) error {
	if p.data == nil || len(p.info.Lo) == 0 {
		return nil
	}
	var outside, worstRow, worstAt int
	var worst, used float64
	lo, hi, least, most := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for i, v := range p.data.Data {
		f := i % p.data.Stride()
		a, b, _ := p.bounds(f)
		lo, hi = min(lo, a), max(hi, b)
		least, most = min(least, float64(v)), max(most, float64(v))
		off := max(a-float64(v), float64(v)-b) / (b - a)
		if off > rangeSlack {
			outside++
		}
		if off > worst {
			worst, worstRow, worstAt = off, i/p.data.Stride(), f
		}
	}
	used = (most - least) / (hi - lo)
	legal := fmt.Sprintf("the legal range is %.4g to %.4g", lo, hi)
	if len(p.info.Lo) > 1 {
		legal = "each feature has a legal range"
	}
	switch {
	case outside > 0:
		severity := Warn
		if worst > 1 {
			severity = Fail
		}
		a, b, _ := p.bounds(worstAt)
		p.explain("range", severity, fmt.Sprintf("%s, but %d of %d numbers of the data lie outside", legal, outside, len(p.data.Data)),
			scaleOf(least, most, lo, hi), fmt.Sprintf("%s is %.4g in row %d of the data, want %.4g to %.4g", p.feature(worstAt), p.data.Row(worstRow)[worstAt], worstRow, a, b))
	case used < rangeUsed && most > least:
		p.explain("range", Warn, fmt.Sprintf("%s, and the data has %.4g to %.4g alone", legal, least, most), scaleOf(least, most, lo, hi), "")
	default:
		p.add("range", Pass, fmt.Sprintf("%s, the data has %.4g to %.4g", legal, least, most), "")
	}
	return nil
}

// scaleOf names the usual mistake that gives data of least to most, where lo to
// hi is legal.
func scaleOf(least, most, lo, hi float64) string {
	switch {
	case least >= 0 && most > 2 && most <= 255 && lo >= -1 && hi <= 1:
		return fmt.Sprintf("pixels of 0 to 255 for a model of %.4g to %.4g", lo, hi)
	case least >= -1 && most <= 1 && lo == 0 && hi >= 255:
		return fmt.Sprintf("pixels of %.4g to %.4g for a model of 0 to %.4g", math.Floor(least), math.Ceil(most), hi)
	case least < 0 && lo == 0 && hi == 1 && most <= 1:
		return "pixels of -1 to 1 for a model of 0 to 1"
	case least < lo && most < hi+(hi-lo) && least > -10 && most < 10:
		return "standardised rows for a model of raw ones: the scaling belongs in the model, or the range is that of the scaled rows"
	}
	return ""
}
