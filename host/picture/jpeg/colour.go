package jpeg

// space is what the planes of a file mean.
type space int

const (
	ycc space = iota
	grey
	rgb
	cmyk
	ycck
)

// space guesses as libjpeg does: the file does not say it plainly.
func (d *decoder) space() space {
	switch len(d.comps) {
	case 1:
		return grey
	case 4:
		if d.adobe > 0 {
			return ycck
		}
		return cmyk
	}
	switch {
	case d.jfif:
		return ycc
	case d.adobe >= 0:
		if d.adobe == 0 {
			return rgb
		}
		return ycc
	case d.comps[0].id == 'R' && d.comps[1].id == 'G' && d.comps[2].id == 'B':
		return rgb
	}
	return ycc
}

// Factors of ITU-R BT.601 at full range, in 16 bits of fraction.
const (
	half = 1 << 15
	crR  = 91881  // 1.402
	cbB  = 116130 // 1.772
	crG  = -46802 // -0.71414
	cbG  = -22554 // -0.34414
)

// convert is the red, green and blue of a luma and two chromas.
func convert(y, cb, cr uint8) (r, g, b uint8) {
	l, u, v := int32(y), int32(cb)-128, int32(cr)-128
	return clamp(l + (crR*v+half)>>16), clamp(l + (cbG*u+crG*v+half)>>16), clamp(l + (cbB*u+half)>>16)
}

func toRGB(dst []uint8, p [][]uint8) {
	n := len(dst) / 3
	luma, blue, red := p[0][:n], p[1][:n], p[2][:n]
	for x, y := range luma {
		l, u, v := int32(y), int32(blue[x])-128, int32(red[x])-128
		to := (*[3]uint8)(dst[3*x:])
		to[0] = clamp(l + (crR*v+half)>>16)
		to[1] = clamp(l + (cbG*u+crG*v+half)>>16)
		to[2] = clamp(l + (cbB*u+half)>>16)
	}
}

func fromRGB(dst []uint8, p [][]uint8) {
	for x := range len(dst) / 3 {
		dst[3*x], dst[3*x+1], dst[3*x+2] = p[0][x], p[1][x], p[2][x]
	}
}

// fromCMYK takes the inks as Adobe's programs write them, and Pillow reads
// them: 255 is no ink.
func fromCMYK(dst []uint8, p [][]uint8) {
	for x := range len(dst) / 3 {
		for i := range 3 {
			dst[3*x+i] = ink(p[i][x], p[3][x])
		}
	}
}

func fromYCCK(dst []uint8, p [][]uint8) {
	for x := range len(dst) / 3 {
		// CMY is 255 − RGB of the planes.
		r, g, b := convert(p[0][x], p[1][x], p[2][x])
		k := p[3][x]
		dst[3*x], dst[3*x+1], dst[3*x+2] = ink(255-r, k), ink(255-g, k), ink(255-b, k)
	}
}

// ink is the light that an ink and black leave, both inverted: their product,
// rounded as Pillow does.
func ink(c, k uint8) uint8 {
	nk := int(k)
	t := (255-int(c))*nk + 128
	return clamp(int32(nk - (t>>8+t)>>8))
}
