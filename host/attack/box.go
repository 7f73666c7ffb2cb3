package attack

import (
	"fmt"
	"slices"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Box is the legal range of an input: one number for all features, or one for
// each.
type Box struct{ Lo, Hi []float32 }

// At is the range of feature j.
func (b Box) At(j int) (lo, hi float32) {
	lo, hi = b.Lo[0], b.Hi[0]
	if len(b.Lo) > 1 {
		lo = b.Lo[j]
	}
	if len(b.Hi) > 1 {
		hi = b.Hi[j]
	}
	return lo, hi
}

// BoxOf is the legal range of x's features: the one given, else the
// classifier's, else the range of x.
func BoxOf(given Box, info sdk.Info, x *tensor.Tensor) (Box, error) {
	b := given
	if (len(b.Lo) == 0 || len(b.Hi) == 0) && bounded(info) {
		b = Box{info.Lo, info.Hi}
	}
	if len(b.Lo) == 0 || len(b.Hi) == 0 {
		return span(x), nil
	}
	for _, side := range [][]float32{b.Lo, b.Hi} {
		if len(side) != 1 && len(side) != x.Stride() {
			return b, fmt.Errorf("the legal range has %d numbers for %d features", len(side), x.Stride())
		}
	}
	return b, nil
}

// bounded reports whether a classifier declares a legal range that is one: an infinite one bounds nothing, and
// has no width for attacks to go by.
func bounded(info sdk.Info) bool {
	infinite := func(v float32) bool { return v-v != 0 }
	return len(info.Lo) > 0 && len(info.Hi) > 0 && !slices.ContainsFunc(info.Lo, infinite) && !slices.ContainsFunc(info.Hi, infinite)
}

// Clip moves x into the box.
func (b Box) Clip(x []float32) {
	if len(b.Lo) == 0 {
		return
	}
	for j := range x {
		lo, hi := b.At(j)
		x[j] = min(max(x[j], lo), hi)
	}
}

// BoxOfTrain is BoxOf with the rows of data.train, gone over only if their range
// is what bounds the features.
func BoxOfTrain(info sdk.Info, rows dataset.Examples) (Box, error) {
	if bounded(info) {
		return BoxOf(Box{}, info, tensor.Batch(0, rows.Example()))
	}
	var b Box
	for x, err := range dataset.Chunks(rows, 64) {
		if err != nil {
			return b, err
		}
		c := span(x)
		if b.Lo == nil {
			b = c
		}
		for j := range b.Lo {
			b.Lo[j], b.Hi[j] = min(b.Lo[j], c.Lo[j]), max(b.Hi[j], c.Hi[j])
		}
	}
	return b, nil
}

// span is the range of each feature over the rows.
func span(x *tensor.Tensor) Box {
	d := x.Stride()
	b := Box{make([]float32, d), make([]float32, d)}
	for i := range x.N() {
		for j, v := range x.Row(i) {
			if i == 0 || v < b.Lo[j] {
				b.Lo[j] = v
			}
			if i == 0 || v > b.Hi[j] {
				b.Hi[j] = v
			}
		}
	}
	return b
}

// hold widens the box to hold every row, and counts those that it did not.
func (b Box) hold(x *tensor.Tensor) (wide Box, outside int) {
	for i := range x.N() {
		out := false
		for j, v := range x.Row(i) {
			if lo, hi := b.At(j); v < lo || v > hi {
				out = true
				break
			}
		}
		if out {
			outside++
		}
	}
	if outside == 0 {
		return b, 0
	}
	wide = span(x)
	for j := range wide.Lo {
		lo, hi := b.At(j)
		wide.Lo[j], wide.Hi[j] = min(wide.Lo[j], lo), max(wide.Hi[j], hi)
	}
	return wide, outside
}
