package jpeg

import "fmt"

// scan is one pass over the blocks of some planes.
type scan struct {
	bits
	first, last int // coefficients, in zigzag order
	high, low   int // bits of them: already known, and left for later
	eobs        int // blocks to come without anything new
}

func (d *decoder) scan(body []byte) error {
	if d.comps == nil || len(body) < 1 {
		return errDamaged
	}
	if d.scans++; d.scans > maxScans {
		return errDamaged
	}
	n := int(body[0])
	if n < 1 || n > len(d.comps) || len(body) != 4+2*n {
		return errDamaged
	}
	tail := body[1+2*n:]
	s := &scan{first: int(tail[0]), last: int(tail[1]), high: int(tail[2] >> 4), low: int(tail[2] & 15)}
	if !d.progressive {
		s.first, s.last, s.high, s.low = 0, 63, 0, 0
	}
	if s.first > s.last || s.last > 63 || s.low > 13 || s.high != 0 && s.high != s.low+1 ||
		d.progressive && ((s.first == 0) != (s.last == 0) || s.first > 0 && n > 1) {
		return errDamaged
	}
	var comps []*component
	for i := range n {
		c, err := d.scanned(s, body[1+2*i], body[2+2*i])
		if err != nil {
			return err
		}
		for _, other := range comps {
			if other == c {
				return errDamaged
			}
		}
		comps = append(comps, c)
	}
	for _, c := range comps {
		d.done += c.blocksX * c.blocksY
	}
	if d.done > maxBlocks {
		return fmt.Errorf("jpeg: %d scans of %d×%d pixels: more work than %d blocks", d.scans, d.height, d.width, maxBlocks)
	}
	s.b, s.at = d.b, d.at
	err := d.blocks(s, comps)
	d.at = s.at
	return err
}

// scanned is the plane called id, with the tables of the scan.
func (d *decoder) scanned(s *scan, id, tables byte) (*component, error) {
	for _, c := range d.comps {
		if c.id != int(id) {
			continue
		}
		if tables>>4 > 3 || tables&15 > 3 {
			return nil, errDamaged
		}
		c.dc, c.ac, c.pred = d.dc[tables>>4], d.ac[tables&15], 0
		if c.quant == nil {
			c.quant = d.quant[c.tq]
		}
		if c.quant == nil || c.dc == nil && s.first == 0 && s.high == 0 || c.ac == nil && s.last > 0 {
			return nil, errDamaged
		}
		if d.progressive && !c.seen && s.first > 0 {
			return nil, errDamaged // DC comes first
		}
		c.seen = true
		return c, nil
	}
	return nil, errDamaged
}

// blocks reads the blocks of a scan: those of one plane row by row, those of
// several in MCUs.
func (d *decoder) blocks(s *scan, comps []*component) error {
	across, down := d.mcusX, d.mcusY
	if len(comps) == 1 {
		across, down = ceil(comps[0].width, 8), ceil(comps[0].height, 8)
	}
	left, restart := d.interval, 0
	for y := range down {
		for x := range across {
			if d.interval > 0 && left == 0 {
				if err := s.restart(restart, comps); err != nil {
					return err
				}
				left, restart = d.interval, (restart+1)%8
			}
			left--
			if len(comps) == 1 {
				if err := d.block(s, comps[0], x, y); err != nil {
					return err
				}
				continue
			}
			for _, c := range comps {
				for i := range c.h * c.v {
					if err := d.block(s, c, x*c.h+i%c.h, y*c.v+i/c.h); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// restart reads the marker of that number and forgets what was before.
func (s *scan) restart(number int, comps []*component) error {
	at := s.at
	for at+1 < len(s.b) && (s.b[at] != 0xff || s.b[at+1] == 0 || s.b[at+1] == 0xff) {
		at++
	}
	if at+1 >= len(s.b) {
		return errTruncated
	}
	if int(s.b[at+1]) != markerRST0+number {
		return errDamaged
	}
	s.bits = bits{b: s.b, at: at + 2}
	s.eobs = 0
	for _, c := range comps {
		c.pred = 0
	}
	return nil
}

func (d *decoder) block(s *scan, c *component, x, y int) error {
	i := y*c.blocksX + x
	ok := true
	if !d.progressive {
		var coefs [64]int16
		var last int
		if last, ok = s.baseline(c, &coefs); ok {
			inverse(&coefs, c.quant, last, c.plane[64*y*c.blocksX+8*x:], 8*c.blocksX)
		}
	} else {
		coefs := (*[64]int16)(c.coefs[64*i:])
		switch {
		case s.first == 0 && s.high == 0:
			ok = s.dcFirst(c, coefs)
		case s.first == 0:
			coefs[0] |= int16(s.take(1) << s.low)
		case s.high == 0:
			ok = s.acFirst(c, coefs)
		default:
			ok = s.acRefine(c, coefs)
		}
	}
	if s.overrun() {
		return errTruncated
	}
	if !ok {
		return errDamaged
	}
	return nil
}

func (s *scan) dcFirst(c *component, coefs *[64]int16) bool {
	k := s.symbol(c.dc)
	if k < 0 || k > 15 {
		return false
	}
	c.pred += s.extended(k)
	coefs[0] = int16(c.pred << s.low)
	return true
}

// baseline reads a block; last is the place of its last coefficient, in zigzag order.
func (s *scan) baseline(c *component, coefs *[64]int16) (last int, ok bool) {
	if !s.dcFirst(c, coefs) {
		return 0, false
	}
	ac := c.ac
	for k := 1; k < 64; k++ {
		if s.n < 16 {
			s.fill()
		}
		if q := ac.whole[s.acc>>(s.n-wholeBits)&(1<<wholeBits-1)]; q.bits > 0 { // code and number at once
			if k += int(q.run); k > 63 {
				return 0, false
			}
			s.n -= int(q.bits)
			coefs[zigzag[k]&63], last = q.value, k
			continue
		}
		v := s.symbol(ac)
		if v < 0 {
			return 0, false
		}
		run, size := int(v>>4), v&15
		if size == 0 {
			if run != 15 {
				break
			}
			k += 15
			continue
		}
		if k += run; k > 63 {
			return 0, false
		}
		coefs[zigzag[k]], last = int16(s.extended(size)), k
	}
	return last, true
}

func (s *scan) acFirst(c *component, coefs *[64]int16) bool {
	if s.eobs > 0 {
		s.eobs--
		return true
	}
	for k := s.first; k <= s.last; k++ {
		v := s.symbol(c.ac)
		if v < 0 {
			return false
		}
		run, size := int(v>>4), v&15
		if size == 0 {
			if run != 15 {
				s.eobs = 1<<run + int(s.take(run)) - 1
				break
			}
			k += 15
			continue
		}
		if k += run; k > s.last {
			return false
		}
		coefs[zigzag[k]] = int16(s.extended(size) << s.low)
	}
	return true
}

// acRefine reads one more bit of the coefficients that are not zero, and those
// that become so: G.1.2.3 of T.81.
func (s *scan) acRefine(c *component, coefs *[64]int16) bool {
	bit := int16(1) << s.low
	k := s.first
	if s.eobs == 0 {
		for ; k <= s.last; k++ {
			v := s.symbol(c.ac)
			if v < 0 {
				return false
			}
			run, size, fresh := int(v>>4), v&15, int16(0)
			switch {
			case size == 1:
				fresh = -bit
				if s.take(1) == 1 {
					fresh = bit
				}
			case size > 1:
				return false
			case run != 15:
				s.eobs = 1<<run + int(s.take(run))
			}
			if s.eobs > 0 {
				break
			}
			for ; k <= s.last; k++ {
				if at := &coefs[zigzag[k]]; *at != 0 {
					s.refine(at, bit)
				} else if run--; run < 0 {
					break
				}
			}
			if fresh != 0 {
				if k > s.last {
					return false
				}
				coefs[zigzag[k]] = fresh
			}
		}
	}
	if s.eobs > 0 {
		for ; k <= s.last; k++ {
			if at := &coefs[zigzag[k]]; *at != 0 {
				s.refine(at, bit)
			}
		}
		s.eobs--
	}
	return true
}

func (s *scan) refine(at *int16, bit int16) {
	if s.take(1) == 0 || *at&bit != 0 {
		return
	}
	if *at >= 0 {
		*at += bit
	} else {
		*at -= bit
	}
}
