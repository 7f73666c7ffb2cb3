package parquet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// maxRow bounds the values of one row: the levels that tell rows apart are packed
// so that a few bytes hold as many as they like.
const maxRow = 1 << 22

var errLevels = errors.New("a page's levels are corrupt")

// rows counts the values of each row of a column of lists by their repetition
// levels: a row begins where one is 0.
type rows struct{ current, longest int }

func (r *rows) add(n int, begins bool) error {
	if begins {
		r.current = 0
	}
	r.current += n
	if r.longest = max(r.longest, r.current); r.longest > maxRow {
		return fmt.Errorf("a row of more than %d values", maxRow)
	}
	return nil
}

// count takes n levels of at most most, in runs and packed by bits.
func (r *rows) count(b []byte, n, most int) error {
	width := bits.Len(uint(most))
	bytes := (width + 7) / 8
	for n > 0 {
		head, k := binary.Uvarint(b)
		if k <= 0 || head>>1 > maxValues {
			return errLevels
		}
		b = b[k:]
		if head&1 == 0 { // a run
			if len(b) < bytes {
				return errLevels
			}
			run, value := min(int(head>>1), n), 0
			for i := range bytes {
				value |= int(b[i]) << (8 * i)
			}
			b, n = b[bytes:], n-run
			if value == 0 {
				if run > 0 {
					if err := r.add(1, true); err != nil {
						return err
					}
				}
			} else if err := r.add(run, false); err != nil {
				return err
			}
			if head>>1 == 0 {
				return errLevels
			}
			continue
		}
		packed := int(head>>1) * width // bytes of groups of eight
		values := min(int(head>>1)*8, n)
		have := min(packed, len(b))
		if values*width > 8*have || packed == 0 {
			return errLevels
		}
		for i := range values {
			value := 0
			for bit := range width {
				at := i*width + bit
				value |= int(b[at/8]>>(at%8)&1) << bit
			}
			if err := r.add(1, value == 0); err != nil {
				return err
			}
		}
		b, n = b[have:], n-values
	}
	return nil
}

// prefixed parts levels that stand behind their length from what follows.
func prefixed(page []byte) (levels, rest []byte, err error) {
	if len(page) < 4 {
		return nil, nil, errLevels
	}
	n := uint64(binary.LittleEndian.Uint32(page))
	if n > uint64(len(page)-4) {
		return nil, nil, errLevels
	}
	return page[4 : 4+n], page[4+n:], nil
}

// deltas adds up the lengths of DELTA_BINARY_PACKED, of which there must be at most
// values, and gives what follows them. A decoder claims memory for as many as the
// header says, and for their sum.
func deltas(b []byte, values int) (sum int64, rest []byte, err error) {
	h, b, err := deltaHeader(b, values)
	if err != nil || h.total == 0 {
		return 0, b, err
	}
	last := h.first
	sum = max(last, 0)
	for left := h.total - 1; left > 0; {
		least, k := binary.Varint(b)
		if k <= 0 || uint64(len(b)-k) < h.minis {
			return 0, nil, errDeltas
		}
		widths := b[k : k+int(h.minis)]
		b = b[k+int(h.minis):]
		for _, w := range widths {
			width, n := uint64(w), min(left, h.each)
			if n == 0 {
				break
			}
			if width > 64 || uint64(len(b))*8 < n*width {
				return 0, nil, errDeltas
			}
			for i := range n {
				d := uint64(0)
				for bit := range width {
					at := i*width + bit
					d |= uint64(b[at/8]>>(at%8)&1) << bit
				}
				last += least + int64(d)
				if sum += max(last, 0); sum < 0 {
					return 0, nil, errDeltas
				}
			}
			b = b[min(h.each*width/8, uint64(len(b))):]
			left -= n
		}
	}
	return sum, b, nil
}

var errDeltas = errors.New("a page's deltas are corrupt")

// deltaShape is the header of DELTA_BINARY_PACKED.
type deltaShape struct {
	minis, each uint64 // blocks within a block, numbers of one
	total       uint64
	first       int64
}

// deltaHeader reads it, of at most values numbers.
func deltaHeader(b []byte, values int) (h deltaShape, rest []byte, err error) {
	var v [3]uint64
	for i := range v {
		n, k := binary.Uvarint(b)
		if k <= 0 {
			return h, nil, errDeltas
		}
		v[i], b = n, b[k:]
	}
	first, k := binary.Varint(b)
	if k <= 0 {
		return h, nil, errDeltas
	}
	block, minis, total := v[0], v[1], v[2]
	if total > uint64(values) {
		return h, nil, fmt.Errorf("a page of %d values claims %d deltas", values, total)
	}
	if total > 0 && (block == 0 || block > 1<<16 || minis == 0 || minis > block || block%minis != 0 || block/minis%8 != 0) {
		return h, nil, errDeltas
	}
	h = deltaShape{minis: minis, total: total, first: first}
	if total > 0 {
		h.each = block / minis
	}
	return h, b[k:], nil
}
