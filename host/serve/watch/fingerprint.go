package watch

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
)

// fingerprint is that of a row, and the scratch that it takes.
type fingerprint struct {
	whole  uint64   // hash of the row itself
	hashes []uint64 // the largest ones of windows of its levels, each once, the smallest first

	levels, bits []byte
	all          []uint64
}

// take takes that of a row.
func (p *fingerprint) take(row []float32, o SimilarOptions) {
	p.levels, p.bits, p.all = p.levels[:0], p.bits[:0], p.all[:0]
	scale, most := float64(o.Levels-1)/(o.High-o.Low), float64(o.Levels-1)
	for _, v := range row {
		l := (float64(v)-o.Low)*scale + 0.5
		if !(l > 0) { // NaN too
			l = 0
		}
		p.levels = append(p.levels, byte(min(l, most)))
		p.bits = binary.LittleEndian.AppendUint32(p.bits, math.Float32bits(v))
	}
	p.whole = maphash.Bytes(o.Seed, p.bits)
	w := o.Window
	if w == 0 {
		w = min(20, max(1, len(p.levels)/3))
	}
	w = min(w, len(p.levels))
	for i := 0; i+w <= len(p.levels); i++ {
		// Wherever it stands: else all pictures with the same margin would share it.
		p.all = append(p.all, maphash.Bytes(o.Seed, p.levels[i:i+w]))
	}
	p.top(o.Hashes)
}

// top takes the most largest hashes of all, each once. Hashes are spread evenly, so those above a bound that leaves
// twice as many as are wanted hold them, unless many are equal: then the bound was too high.
func (p *fingerprint) top(most int) {
	for share := 2 * most; ; share *= 4 {
		bound := uint64(0)
		if share < len(p.all) {
			bound = math.MaxUint64 - uint64(share)*(math.MaxUint64/uint64(len(p.all)))
		}
		p.hashes = p.hashes[:0]
		for _, h := range p.all {
			if h >= bound {
				p.hashes = append(p.hashes, h)
			}
		}
		slices.Sort(p.hashes)
		p.hashes = slices.Compact(p.hashes)
		if bound == 0 || len(p.hashes) >= most {
			p.hashes = p.hashes[max(0, len(p.hashes)-most):]
			return
		}
	}
}
