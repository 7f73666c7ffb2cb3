package jpeg

// paint makes the image of the planes.
func (d *decoder) paint() (*Image, error) {
	if d.progressive {
		for _, c := range d.comps {
			for i := range c.blocksX * c.blocksY {
				x, y := i%c.blocksX, i/c.blocksX
				coefs := (*[64]int16)(c.coefs[64*i:])
				last := 63
				for last > 0 && coefs[zigzag[last]] == 0 {
					last--
				}
				inverse(coefs, c.quant, last, c.plane[64*y*c.blocksX+8*x:], 8*c.blocksX)
			}
			c.coefs = nil
		}
	}
	m := &Image{H: d.height, W: d.width, C: 3}
	colour := toRGB
	switch d.space() {
	case grey:
		m.C, colour = 1, func(dst []uint8, p [][]uint8) { copy(dst, p[0]) }
	case rgb:
		colour = fromRGB
	case cmyk:
		colour = fromCMYK
	case ycck:
		colour = fromYCCK
	}
	m.Pix = d.room.take(m.H * m.W * m.C)
	rows := make([][]uint8, len(d.comps))
	for i, c := range d.comps {
		rows[i] = make([]uint8, c.blocksX*8*(d.hMax/c.h))
	}
	for y := range d.height {
		for i, c := range d.comps {
			c.upsample(rows[i], y, d.hMax/c.h, d.vMax/c.v)
		}
		colour(m.Pix[y*m.W*m.C:(y+1)*m.W*m.C], rows)
	}
	return m, nil
}

// row is a row of samples without padding, the nearest one outside the image.
func (c *component) row(y int) []uint8 {
	y = min(max(y, 0), c.height-1)
	stride := 8 * c.blocksX
	return c.plane[y*stride : y*stride+c.width]
}

// upsample makes row y of the full height of a plane that has 1/fx of the
// width and 1/fy of the height: triangular ("fancy") where libjpeg-turbo has it,
// else by repeating.
func (c *component) upsample(dst []uint8, y, fx, fy int) {
	in := c.row(y / fy)
	near := in // what a sample is mixed with, one to three
	if fy == 2 {
		near = c.row(y/2 - 1 + 2*(y%2))
	}
	switch {
	case fx == 2 && fy == 1 && c.width > 2:
		triangle2(dst, in)
	case fx == 1 && fy == 2:
		bias := 1 + y%2
		for x, v := range in {
			dst[x] = uint8((3*int(v) + int(near[x]) + bias) >> 2)
		}
	case fx == 2 && fy == 2 && c.width > 2:
		triangle4(dst, in, near)
	default:
		for x, v := range in {
			for i := range fx {
				dst[x*fx+i] = v
			}
		}
	}
}

// triangle2 doubles the width: each sample three parts and its neighbour one,
// halves rounded down on the left and up on the right.
func triangle2(dst, in []uint8) {
	last := len(in) - 1
	for x, v := range in {
		left, right := 3*int(v)+1, 3*int(v)+2
		if x == 0 {
			dst[0] = v
		} else {
			dst[2*x] = uint8((left + int(in[x-1])) >> 2)
		}
		if x == last {
			dst[2*x+1] = v
		} else {
			dst[2*x+1] = uint8((right + int(in[x+1])) >> 2)
		}
	}
}

// triangle4 doubles width and height: as triangle2, of columns of which in has
// three parts and near one.
func triangle4(dst, in, near []uint8) {
	n := len(in)
	near, dst = near[:n], dst[:2*n]
	this := 3*int(in[0]) + int(near[0])
	dst[0] = uint8((4*this + 8) >> 4)
	for x := 1; x < n; x++ {
		next := 3*int(in[x]) + int(near[x])
		pair := (*[2]uint8)(dst[2*x-1:])
		pair[0] = uint8((3*this + next + 7) >> 4)
		pair[1] = uint8((3*next + this + 8) >> 4)
		this = next
	}
	dst[2*n-1] = uint8((4*this + 7) >> 4)
}
