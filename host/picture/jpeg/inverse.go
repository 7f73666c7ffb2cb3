package jpeg

// Constants of the transform in 13 bits of fraction: jidctint.c of libjpeg.
const (
	fractionBits = 13
	passBits     = 2 // more between the passes

	fix0298 = 2446
	fix0390 = 3196
	fix0541 = 4433
	fix0765 = 6270
	fix0899 = 7373
	fix1175 = 9633
	fix1501 = 12299
	fix1847 = 15137
	fix1961 = 16069
	fix2053 = 16819
	fix2562 = 20995
	fix3072 = 25172
)

// reach is how far from 0 the columns and rows are that have one of the first
// coefficients in zigzag order: up to and with each.
var reach = func() (out [64]struct{ x, y uint8 }) {
	for i, z := range zigzag {
		if out[i].x, out[i].y = z%8, z/8; i > 0 {
			out[i].x, out[i].y = max(out[i].x, out[i-1].x), max(out[i].y, out[i-1].y)
		}
	}
	return out
}()

// inverse is the inverse cosine transform of one block, coefficients times
// quant, into 8×8 samples of dst, whose rows are stride apart: Loeffler,
// Ligtenberg and Moschytz (1989) in integers, rounded as libjpeg's accurate
// method does. All coefficients after last, in zigzag order, are 0: most blocks have
// few, and what is left out adds nothing but zeros.
func inverse(coefs *[64]int16, quant *[64]uint16, last int, dst []uint8, stride int) {
	const (
		shift1 = fractionBits - passBits
		shift2 = fractionBits + passBits + 3
	)
	if last == 0 {
		dc := int32(coefs[0]) * int32(quant[0]) << passBits
		flat := clamp(descale(dc<<fractionBits, shift2) + 128)
		for y := range 8 {
			row := (*[8]uint8)(dst[y*stride:])
			*row = [8]uint8{flat, flat, flat, flat, flat, flat, flat, flat}
		}
		return
	}
	var work [64]int32
	far := reach[last&63]
	for x := 0; x <= int(far.x&7); x++ {
		at := func(y int) int32 { return int32(coefs[8*y+x]) * int32(quant[8*y+x]) }
		var even, odd [4]int32
		switch {
		case far.y == 0:
			v := at(0) << passBits
			for y := range 8 {
				work[8*y+x] = v
			}
			continue
		case far.y < 4:
			even, odd = nearButterfly(at(0), at(1), at(2), at(3))
		default:
			even, odd = butterfly(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7))
		}
		work[x] = descale(even[0]+odd[0], shift1)
		work[8+x] = descale(even[1]+odd[1], shift1)
		work[16+x] = descale(even[2]+odd[2], shift1)
		work[24+x] = descale(even[3]+odd[3], shift1)
		work[32+x] = descale(even[3]-odd[3], shift1)
		work[40+x] = descale(even[2]-odd[2], shift1)
		work[48+x] = descale(even[1]-odd[1], shift1)
		work[56+x] = descale(even[0]-odd[0], shift1)
	}
	for y := range 8 {
		w := (*[8]int32)(work[8*y:])
		row := (*[8]uint8)(dst[y*stride:])
		var even, odd [4]int32
		if far.x < 4 {
			even, odd = nearButterfly(w[0], w[1], w[2], w[3])
		} else {
			even, odd = butterfly(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])
		}
		row[0] = clamp(descale(even[0]+odd[0], shift2) + 128)
		row[1] = clamp(descale(even[1]+odd[1], shift2) + 128)
		row[2] = clamp(descale(even[2]+odd[2], shift2) + 128)
		row[3] = clamp(descale(even[3]+odd[3], shift2) + 128)
		row[4] = clamp(descale(even[3]-odd[3], shift2) + 128)
		row[5] = clamp(descale(even[2]-odd[2], shift2) + 128)
		row[6] = clamp(descale(even[1]-odd[1], shift2) + 128)
		row[7] = clamp(descale(even[0]-odd[0], shift2) + 128)
	}
}

// butterfly is the transform of one row or column before its last additions:
// output i is even[i] + odd[i], output 7-i the difference.
func butterfly(i0, i1, i2, i3, i4, i5, i6, i7 int32) (even, odd [4]int32) {
	z := (i2 + i6) * fix0541
	t2, t3 := z-i6*fix1847, z+i2*fix0765
	t0, t1 := (i0+i4)<<fractionBits, (i0-i4)<<fractionBits
	even = [4]int32{t0 + t3, t1 + t2, t1 - t2, t0 - t3}

	z1, z2, z3, z4 := i7+i1, i5+i3, i7+i3, i5+i1
	z5 := (z3 + z4) * fix1175
	z1, z2 = -z1*fix0899, -z2*fix2562
	z3, z4 = z5-z3*fix1961, z5-z4*fix0390
	odd = [4]int32{i1*fix1501 + z1 + z4, i3*fix3072 + z2 + z3, i5*fix2053 + z2 + z4, i7*fix0298 + z1 + z3}
	return even, odd
}

// nearButterfly is butterfly where the last four inputs are 0.
func nearButterfly(i0, i1, i2, i3 int32) (even, odd [4]int32) {
	t2, t3 := i2*fix0541, i2*(fix0541+fix0765)
	t := i0 << fractionBits
	even = [4]int32{t + t3, t + t2, t - t2, t - t3}

	z5 := (i3 + i1) * fix1175
	z3, z4 := z5-i3*fix1961, z5-i1*fix0390
	z1, z2 := -i1*fix0899, -i3*fix2562
	odd = [4]int32{i1*fix1501 + z1 + z4, i3*fix3072 + z2 + z3, z2 + z4, z1 + z3}
	return even, odd
}

func descale(v int32, bits int) int32 { return (v + 1<<(bits-1)) >> bits }

func clamp(v int32) uint8 {
	if uint32(v) > 255 {
		return uint8(^v >> 31) // 255 above, 0 below
	}
	return uint8(v)
}
