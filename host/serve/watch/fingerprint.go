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
}

// take takes that of a row.
func (p *fingerprint) take(row []float32, o SimilarOptions) {
	p.levels, p.bits, p.hashes = p.levels[:0], p.bits[:0], p.hashes[:0]
	scale := float64(o.Levels-1) / (o.High - o.Low)
	for _, v := range row {
		l := math.Round((float64(v) - o.Low) * scale)
		if !(l > 0) { // NaN too
			l = 0
		}
		p.levels = append(p.levels, byte(min(l, float64(o.Levels-1))))
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
		p.add(maphash.Bytes(o.Seed, p.levels[i:i+w]), o.Hashes)
	}
}

// add puts a hash among the most largest ones. Of n hashes in any order few do more than one comparison.
func (p *fingerprint) add(h uint64, most int) {
	full := len(p.hashes) == most
	if full && h <= p.hashes[0] {
		return
	}
	at, there := slices.BinarySearch(p.hashes, h)
	switch {
	case there:
	case full:
		copy(p.hashes, p.hashes[1:at])
		p.hashes[at-1] = h
	default:
		p.hashes = slices.Insert(p.hashes, at, h)
	}
}
