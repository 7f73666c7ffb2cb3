package jpeg

import "encoding/binary"

// wholeBits are those by which a code is read together with the number that follows it.
const wholeBits = 10

// coded is a code of a coefficient and its number.
type coded struct {
	value int16
	run   uint8 // coefficients that are 0 before it
	bits  uint8 // of both; 0: they are more than wholeBits, or the code has no number
}

// huffman is a table of codes, of at most 16 bits.
type huffman struct {
	quick  [256]uint16 // by the next 8 bits: value<<8 | length, 0: longer
	values []uint8
	whole  [1 << wholeBits]coded // by the next bits, of a table of coefficients
	// Of each length: the largest code, -1 if there is none, and what takes a
	// code to its place in values.
	largest, delta [17]int32
}

func (d *decoder) huffmanTables(body []byte) error {
	for len(body) > 0 {
		class, to := body[0]>>4, body[0]&15
		if class > 1 || to > 3 || len(body) < 17 {
			return errDamaged
		}
		n := 0
		for _, count := range body[1:17] {
			n += int(count)
		}
		if n > 256 || len(body) < 17+n {
			return errDamaged
		}
		t := &huffman{values: body[17 : 17+n]}
		if !t.fill([16]byte(body[1:17])) {
			return errDamaged
		}
		if class == 0 {
			d.dc[to] = t
		} else {
			t.fillWhole()
			d.ac[to] = t
		}
		body = body[17+n:]
	}
	return nil
}

// fill makes the codes from the counts of each length, in order of values;
// false if they are more than fit.
func (t *huffman) fill(counts [16]byte) bool {
	code, at := int32(0), int32(0)
	for i, count := range counts {
		size := i + 1
		t.delta[size], t.largest[size] = at-code, -1
		for range count {
			if code >= 1<<size {
				return false
			}
			if size <= 8 {
				first := code << (8 - size)
				for j := range int32(1) << (8 - size) {
					t.quick[first+j] = uint16(t.values[at])<<8 | uint16(size)
				}
			}
			t.largest[size] = code
			code++
			at++
		}
		code <<= 1
	}
	return true
}

// fillWhole makes whole from quick.
func (t *huffman) fillWhole() {
	for i := range t.whole {
		q := t.quick[i>>(wholeBits-8)]
		length, size := int(q&255), int(q>>8&15)
		if q == 0 || size == 0 || length+size > wholeBits {
			continue
		}
		v := i >> (wholeBits - length - size) & (1<<size - 1)
		if v < 1<<(size-1) {
			v += -1<<size + 1
		}
		t.whole[i] = coded{int16(v), uint8(q >> 12), uint8(length + size)}
	}
}

// bits reads the entropy-coded bytes of a scan up to the next marker, as if
// zeros followed.
type bits struct {
	b    []byte
	at   int    // not beyond the marker
	acc  uint64 // the last n bits are not read yet
	n    int
	pad  int // zeros that were added
	stop bool
}

func (r *bits) fill() {
	if r.at+4 <= len(r.b) && r.n <= 32 && !r.stop {
		v := binary.BigEndian.Uint32(r.b[r.at:])
		if w := ^v; (w-0x01010101)&v&0x80808080 == 0 { // no byte is 0xff
			r.acc, r.n, r.at = r.acc<<32|uint64(v), r.n+32, r.at+4
			return
		}
	}
	for r.n <= 48 {
		c := byte(0)
		switch {
		case r.stop:
			r.pad += 8
		case r.at < len(r.b) && r.b[r.at] != 0xff:
			c = r.b[r.at]
			r.at++
		default:
			j := r.at
			for j < len(r.b) && r.b[j] == 0xff {
				j++
			}
			if j == len(r.b) || r.b[j] != 0 {
				r.stop = true
				continue
			}
			c, r.at = 0xff, j+1
		}
		r.acc = r.acc<<8 | uint64(c)
		r.n += 8
	}
}

// overrun reports whether a zero has been read that is not in the file.
func (r *bits) overrun() bool { return r.n < r.pad }

// take reads k bits, at most 16.
func (r *bits) take(k int) int32 {
	if r.n < k {
		r.fill()
	}
	r.n -= k
	return int32(r.acc>>r.n) & (1<<k - 1)
}

// symbol reads a code; -1 if there is no such.
func (r *bits) symbol(t *huffman) int32 {
	if r.n < 16 {
		r.fill()
	}
	if q := t.quick[uint8(r.acc>>(r.n-8))]; q != 0 {
		r.n -= int(q & 255)
		return int32(q >> 8)
	}
	for size := 9; size <= 16; size++ {
		code := int32(r.acc>>(r.n-size)) & (1<<size - 1)
		if code <= t.largest[size] {
			r.n -= size
			return int32(t.values[code+t.delta[size]])
		}
	}
	return -1
}

// extended reads a signed number of k bits: EXTEND of T.81.
func (r *bits) extended(k int32) int32 {
	if k == 0 {
		return 0
	}
	v := r.take(int(k))
	if v < 1<<(k-1) {
		v += -1<<k + 1
	}
	return v
}
