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

// inverse is the inverse cosine transform of one block, coefficients times
// quant, into 8×8 samples of dst, whose rows are stride apart: Loeffler,
// Ligtenberg and Moschytz (1989) in integers, rounded as libjpeg's accurate
// method does.
func inverse(coefs *[64]int16, quant *[64]uint16, dst []uint8, stride int) {
	var work [64]int32
	for x := range 8 {
		var in [8]int32
		for i := range in {
			in[i] = int32(coefs[8*i+x]) * int32(quant[8*i+x])
		}
		if in[1]|in[2]|in[3]|in[4]|in[5]|in[6]|in[7] == 0 {
			for i := range in {
				work[8*i+x] = in[0] << passBits
			}
			continue
		}
		even, odd := butterfly(&in)
		const shift = fractionBits - passBits
		for i := range 4 {
			work[8*i+x] = descale(even[i]+odd[i], shift)
			work[8*(7-i)+x] = descale(even[i]-odd[i], shift)
		}
	}
	for y := range 8 {
		even, odd := butterfly((*[8]int32)(work[8*y:]))
		row := dst[y*stride : y*stride+8]
		const shift = fractionBits + passBits + 3
		for i := range 4 {
			row[i] = clamp(descale(even[i]+odd[i], shift) + 128)
			row[7-i] = clamp(descale(even[i]-odd[i], shift) + 128)
		}
	}
}

// butterfly is the transform of one row or column before its last additions:
// output i is even[i] + odd[i], output 7-i the difference.
func butterfly(in *[8]int32) (even, odd [4]int32) {
	z := (in[2] + in[6]) * fix0541
	t2, t3 := z-in[6]*fix1847, z+in[2]*fix0765
	t0, t1 := (in[0]+in[4])<<fractionBits, (in[0]-in[4])<<fractionBits
	even = [4]int32{t0 + t3, t1 + t2, t1 - t2, t0 - t3}

	a, b, c, d := in[7], in[5], in[3], in[1]
	z1, z2, z3, z4 := a+d, b+c, a+c, b+d
	z5 := (z3 + z4) * fix1175
	z1, z2 = -z1*fix0899, -z2*fix2562
	z3, z4 = z5-z3*fix1961, z5-z4*fix0390
	odd = [4]int32{d*fix1501 + z1 + z4, c*fix3072 + z2 + z3, b*fix2053 + z2 + z4, a*fix0298 + z1 + z3}
	return even, odd
}

func descale(v int32, bits int) int32 { return (v + 1<<(bits-1)) >> bits }

func clamp(v int32) uint8 { return uint8(min(max(v, 0), 255)) }
