package signature

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// factor is what a reader's intensities are multiplied with to be in the
// signature's units; 1 where nothing is known.
func (d *Door) factor(r dataset.Reader) factor {
	i, ok := r.(dataset.Imaged)
	if !ok || d.White == 0 || i.White() == 0 {
		return factor{1, 1}
	}
	return factor{d.White, i.White()}
}

// factor is to/from.
type factor struct{ to, from float64 }

// apply scales intensities so that the bytes of an image have the same bits
// whichever format they come from: v/255 in units of 1, the byte itself in units
// of 255.
func (f factor) apply(row []float32) {
	switch {
	case f.to == f.from:
	case f.to == 1:
		for i, v := range row {
			row[i] = v / float32(f.from)
		}
	default:
		for i, v := range row {
			w := float64(v) * f.to / f.from
			if n := math.Round(w); math.Abs(w-n) < 1e-3*min(1, f.to/255) {
				w = n
			}
			row[i] = float32(w)
		}
	}
}

// extent watches what numbers range over.
type extent struct {
	Range
	any bool
}

func (e *extent) add(row []float32) {
	lo, hi, whole := e.Low, e.High, e.Whole
	if !e.any {
		lo, hi, whole = float32(math.Inf(1)), float32(math.Inf(-1)), true
	}
	for i := 0; whole && i < len(row); i++ {
		whole = row[i] != row[i] || row[i] == float32(math.Trunc(float64(row[i])))
	}
	lo, hi = widened(lo, hi, row)
	if lo <= hi {
		e.Range, e.any = Range{lo, hi, whole}, true
	}
}

// widened is a range with numbers added. No comparison with NaN is true.
func widened(lo, hi float32, row []float32) (least, most float32) {
	const step = 4 // most numbers are within: none of these waits for another
	for ; len(row) >= step; row = row[step:] {
		a, b, c, d := row[0], row[1], row[2], row[3]
		if a < lo || b < lo || c < lo || d < lo || a > hi || b > hi || c > hi || d > hi {
			lo, hi = widenedBy(lo, hi, row[:step])
		}
	}
	return widenedBy(lo, hi, row)
}

func widenedBy(lo, hi float32, row []float32) (least, most float32) {
	for _, v := range row {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
	}
	return lo, hi
}

// addAll adds all rows.
func (e *extent) addAll(rows dataset.Examples) error {
	for row, err := range dataset.Each(rows) {
		if err != nil {
			return err
		}
		e.add(row)
	}
	return nil
}

// seen is the range, nil of nothing.
func (e *extent) seen() *Range {
	if !e.any {
		return nil
	}
	r := e.Range
	return &r
}

// white is the value of full intensity of images in that range: 1 of fractions from 0
// to 1, 255 of whole numbers up to it; 0: it is not known. Zeros and ones alone may be
// anything, one-hot sequences too.
func (e *extent) white() float64 {
	switch {
	case !e.any || e.Low < 0 || e.High == 0:
		return 0
	case e.High <= 1 && !e.Whole:
		return 1
	case e.High > 1 && e.High <= 255 && e.Whole:
		return 255
	}
	return 0
}

// pictured reports whether raw rows may be images as arrays hold them: height × width,
// alone or with 1 or 3 channels.
func (d *Door) pictured() bool {
	shape := tensor.Shape(d.src.Reshape)
	if shape == nil {
		shape = d.Shape
	}
	if len(shape) != 3 {
		return len(shape) == 2
	}
	n := shape[2]
	if d.src.Layout == "nchw" {
		n = shape[0]
	}
	return n == 1 || n == 3
}

// dim refuses a row of a reader with whole numbers whose largest is white by their type,
// where none is even the white of the next smaller type: bytes of 0 and 1, 16 bits of 0
// to 255. They were scaled by what is probably no white of theirs.
func (f factor) dim(row []float32) error {
	if f.to == f.from || f.from != math.MaxUint8 && f.from != math.MaxUint16 {
		return nil
	}
	var most float32
	for _, v := range row {
		most = max(most, v)
	}
	kind, less := "8", float32(1)
	if f.from == math.MaxUint16 {
		kind, less = "16", math.MaxUint8
	}
	if most == 0 || most > less {
		return nil
	}
	return fmt.Errorf("numbers of %s bits up to %v, of which %v is white in their type and %v in raw rows: are they in other units? give numbers of the type that was trained on", kind, most, f.from, f.to)
}

// units refuses a row that is in other units than data.train beyond doubt: one
// of fractions within the range of prepared rows where raw ones are whole numbers
// over a much wider one, and an image of whole numbers where white is 1.
func (d *Door) units(row []float32) error {
	if d.Signature.Raw == nil || d.Identity() && d.Kind != KindImage {
		return nil
	}
	var e extent
	e.add(row)
	return d.unitsOf(&e)
}

// unitsOf is units of a row whose numbers range over e.
func (d *Door) unitsOf(e *extent) error {
	if d.Signature.Raw == nil || d.Identity() && d.Kind != KindImage {
		return nil
	}
	switch p := d.Signature.Prepared; {
	case !e.any:
	case p != nil && d.Signature.Raw.Whole && !e.Whole && e.Low >= p.Low && e.High <= p.High && d.Signature.Raw.span() >= 4*p.span():
		return fmt.Errorf("fractions from %v to %v, and raw rows are whole numbers from %v to %v: are these prepared already (--prepared)?", e.Low, e.High, d.Signature.Raw.Low, d.Signature.Raw.High)
	case d.Kind == KindImage && d.White == 1 && e.Whole && e.High >= 2:
		return fmt.Errorf("whole numbers up to %v, and white is 1 in raw images: divide them by 255, or give bytes (uint8), whose white is known", e.High)
	}
	return nil
}
