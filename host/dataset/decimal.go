package dataset

import "math"

// powers are those of ten that float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// Decimal reads the number that text begins with, as strconv.ParseFloat(…, 32)
// does to the bit, and gives the bytes that it takes: up to three times as fast.
// false says that it cannot tell, for numbers of over 19 digits, of 1e-22 and
// less of a unit of their last digit, or in the middle between two float32, and
// for what is none: those are left to strconv.
func Decimal[T string | []byte](text T) (v float32, n int, ok bool) {
	i := 0
	negative := len(text) > 0 && text[0] == '-'
	if negative {
		i++
	}
	start, m := i, uint64(0)
	for ; i < len(text) && text[i]-'0' < 10; i++ {
		m = m*10 + uint64(text[i]-'0')
	}
	digits, exp := i-start, 0
	if digits == 0 {
		return 0, 0, false
	}
	if i < len(text) && text[i] == '.' {
		i++
		point := i
		for ; i < len(text) && text[i]-'0' < 10; i++ {
			m = m*10 + uint64(text[i]-'0')
		}
		if exp = point - i; exp == 0 {
			return 0, 0, false
		}
		digits -= exp
	}
	if digits > 19 { // m may have overflowed, unless the first ones are zeros
		for k := start; k < i && (text[k] == '0' || text[k] == '.'); k++ {
			if text[k] == '0' {
				digits--
			}
		}
		if digits > 19 {
			return 0, 0, false
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		minus := i < len(text) && text[i] == '-'
		if minus || i < len(text) && text[i] == '+' {
			i++
		}
		from, e := i, 0
		for ; i < len(text) && text[i]-'0' < 10 && e < 1000; i++ {
			e = e*10 + int(text[i]-'0')
		}
		if i == from {
			return 0, 0, false
		}
		if minus {
			e = -e
		}
		exp += e
	}
	d := float64(m)
	switch {
	case exp < -22 || exp > 22:
		return 0, 0, false
	case exp < 0:
		d /= powers[-exp]
	default:
		d *= powers[exp]
	}
	// Two roundings leave d at most two units of float64 off. Rounded once more it is
	// right, unless a middle between two float32 lies as near: half a unit of theirs
	// is bit 28 of d. Subnormal and infinite ones have other units.
	const near = 4
	middle := math.Float64bits(d)&(1<<29-1) - (1<<28 - near)
	if m != 0 && (middle <= 2*near || d < 0x1p-126 || d > math.MaxFloat32) {
		return 0, 0, false
	}
	if negative {
		d = -d
	}
	return float32(d), i, true
}
