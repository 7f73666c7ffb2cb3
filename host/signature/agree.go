package signature

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/dataset"
)

// unlike is a door of rows with a rescaling of their own, which are compared with those
// of data.train once it is known what these range over.
type unlike struct {
	door      *Door
	rows, own string
}

// Agrees holds what rows became that were read through a door of For against what those
// became that the door learnt from, where the two sources are rescaled differently: a
// rescaling that takes the numbers further apart than the files have them is an error.
// rows and own are what errors call the two sources. Settle tells it of rows that were
// glanced at.
func (d *Door) Agrees(rows, own string) error {
	if d.origin == nil {
		return nil
	}
	if l := d.origin.later; l != nil {
		l.unlike = append(l.unlike, unlike{d, rows, own})
		return nil
	}
	return d.agrees(rows, own)
}

func (d *Door) agrees(rows, own string) error {
	raw, prepared := d.origin.Signature.Raw, d.origin.Signature.Prepared
	if raw == nil || prepared == nil || !d.extent.any || !d.prepared.any {
		return nil
	}
	return parted(own, [2]Range{d.extent.Range, d.prepared.Range}, [2]Range{*raw, *prepared})
}

// AgreesFirst is Agrees for the first rows of two sources, of which raw, otherRaw and
// white, which are as the readers give them, are known. The door is that of own, src the source
// of rows.
func (d *Door) AgreesFirst(own string, src dataset.Source, raw, ownRaw Range, white float64) error {
	if sameRescale(src.Rescale, d.src.Rescale) {
		return nil
	}
	if d.White != 0 && white != 0 {
		f := d.White / white
		ownRaw = Range{Low: float32(float64(ownRaw.Low) * f), High: float32(float64(ownRaw.High) * f)}
	}
	return parted(own, [2]Range{raw, rescaled(raw, src.Rescale)}, [2]Range{ownRaw, rescaled(ownRaw, d.src.Rescale)})
}

// rescaled is what a range becomes, at most; nil: itself.
func rescaled(r Range, by *dataset.Rescale) Range {
	if by == nil {
		return r
	}
	b := rescaling{scale: by.Scale, offset: by.Offset}
	if len(b.scale) == 0 {
		b.scale = dataset.Values{1}
	}
	if len(b.offset) == 0 {
		b.offset = dataset.Values{0}
	}
	low, high := math.Inf(1), math.Inf(-1)
	for k := range max(len(b.scale), len(b.offset)) {
		for _, v := range []float32{r.Low, r.High} {
			w := float64(v)*b.scale.At(k) + b.offset.At(k)
			low, high = min(low, w), max(high, w)
		}
	}
	return Range{Low: float32(low), High: float32(high)}
}

// parted is an error if the ranges of two sources, raw and then prepared, are further
// apart prepared than raw.
func parted(own string, its, known [2]Range) error {
	const slack = .25 // of the wider range
	if apart(its[1], known[1]) <= apart(its[0], known[0])+slack {
		return nil
	}
	return fmt.Errorf("numbers from %v to %v become %v to %v, and those of %s from %v to %v become %v to %v: rescale differs between the two; say it in both, or for all rows in data.prepare",
		its[0].Low, its[0].High, its[1].Low, its[1].High, own, known[0].Low, known[0].High, known[1].Low, known[1].High)
}

// apart is how far the ends of two ranges are from each other, in units of the wider.
func apart(a, b Range) float64 {
	wide := max(a.span(), b.span())
	if wide == 0 {
		wide = math.Abs(float64(a.Low)) + math.Abs(float64(b.Low))
	}
	if wide == 0 {
		return 0
	}
	return (math.Abs(float64(a.Low)-float64(b.Low)) + math.Abs(float64(a.High)-float64(b.High))) / wide
}
