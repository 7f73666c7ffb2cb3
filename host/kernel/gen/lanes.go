package main

import (
	"fmt"
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lanes writes the same arithmetic for either level: a vector register of
// float32, and what differs between AVX2 and AVX-512 (masks, mostly).
type lanes struct {
	suffix string
	bytes  int
	wide   bool // AVX-512
	vec    func() reg.VecVirtual

	tail bool // loads and stores are masked now
	k    reg.OpmaskVirtual
	m    reg.VecVirtual
}

func levels() []*lanes {
	return []*lanes{
		{suffix: "512", bytes: 64, wide: true, vec: ZMM},
		{suffix: "256", bytes: 32, vec: YMM},
	}
}

// value is a vector in a register.
type value = reg.VecVirtual

// mask is the result of a comparison: an opmask or a vector of signs.
type mask = reg.Register

// pool holds the constants already written.
var pool = map[uint32]Mem{}

// bits is a constant of 64 bytes in memory, all lanes alike.
func bits(u uint32) Mem {
	if m, ok := pool[u]; ok {
		return m
	}
	m := GLOBL(fmt.Sprintf("lanes_%08x", u), NOPTR|RODATA)
	for i := range 16 {
		DATA(4*i, U32(u))
	}
	pool[u] = m
	return m
}

func num(f float64) Mem { return bits(math.Float32bits(float32(f))) }

func (l *lanes) constant(m Mem) value {
	v := l.vec()
	VMOVUPS(m, v)
	return v
}

func (l *lanes) zero() value {
	v := l.vec()
	VXORPS(v, v, v)
	return v
}

func (l *lanes) copy(a value) value {
	v := l.vec()
	VMOVAPS(a, v)
	return v
}

func (l *lanes) load(m Mem) value {
	v := l.vec()
	switch {
	case !l.tail:
		VMOVUPS(m, v)
	case l.wide:
		VMOVUPS_Z(m, l.k, v)
	default:
		VMASKMOVPS(m, l.m, v)
	}
	return v
}

func (l *lanes) store(v value, m Mem) {
	switch {
	case !l.tail:
		VMOVUPS(v, m)
	case l.wide:
		VMOVUPS(v, l.k, m)
	default:
		VMASKMOVPS(v, l.m, m)
	}
}

// Arithmetic into a new register. b may be memory.
func (l *lanes) add(a value, b Op) value { v := l.vec(); VADDPS(b, a, v); return v }
func (l *lanes) sub(a value, b Op) value { v := l.vec(); VSUBPS(b, a, v); return v }
func (l *lanes) mul(a value, b Op) value { v := l.vec(); VMULPS(b, a, v); return v }
func (l *lanes) div(a value, b Op) value { v := l.vec(); VDIVPS(b, a, v); return v }
func (l *lanes) and(a value, b Op) value { v := l.vec(); VANDPS(b, a, v); return v }
func (l *lanes) or(a value, b Op) value  { v := l.vec(); VORPS(b, a, v); return v }
func (l *lanes) xor(a value, b Op) value { v := l.vec(); VXORPS(b, a, v); return v }
func (l *lanes) sqrt(a value) value      { v := l.vec(); VSQRTPS(a, v); return v }

// max and min: a NaN in x stays.
func (l *lanes) max(x value, c Mem) value {
	v := l.constant(c)
	VMAXPS(x, v, v)
	return v
}

func (l *lanes) min(x value, c Mem) value {
	v := l.constant(c)
	VMINPS(x, v, v)
	return v
}

// Integers.
func (l *lanes) addInt(a value, b Op) value { v := l.vec(); VPADDD(b, a, v); return v }
func (l *lanes) subInt(a value, b Op) value { v := l.vec(); VPSUBD(b, a, v); return v }
func (l *lanes) shl(a value, n uint64) value {
	v := l.vec()
	VPSLLD(Imm(n), a, v)
	return v
}

func (l *lanes) shr(a value, n uint64) value {
	v := l.vec()
	VPSRLD(Imm(n), a, v)
	return v
}

func (l *lanes) sar(a value, n uint64) value {
	v := l.vec()
	VPSRAD(Imm(n), a, v)
	return v
}
func (l *lanes) toInt(a value) value   { v := l.vec(); VCVTPS2DQ(a, v); return v }
func (l *lanes) toFloat(a value) value { v := l.vec(); VCVTDQ2PS(a, v); return v }

// round is to the nearest, ties to even.
func (l *lanes) round(a value) value {
	v := l.vec()
	if l.wide {
		VRNDSCALEPS(Imm(8), a, v)
	} else {
		VROUNDPS(Imm(8), a, v)
	}
	return v
}

// horner evaluates a polynomial in x, highest coefficient first.
func (l *lanes) horner(x value, c ...float64) value {
	p := l.constant(num(c[0]))
	for _, q := range c[1:] {
		VFMADD213PS(num(q), x, p)
	}
	return p
}

// Comparisons of a with b, which may be memory; false for NaN.
const (
	lessThan = 17
	equal    = 0
)

func (l *lanes) compare(pred uint64, a value, b Op) mask {
	if l.wide {
		k := K()
		VCMPPS(Imm(pred), b, a, k)
		return k
	}
	v := l.vec()
	VCMPPS(Imm(pred), b, a, v)
	return v
}

// signs is the mask of a's sign bits.
func (l *lanes) signs(a value) mask {
	if l.wide {
		k := K()
		VPMOVD2M(a, k)
		return k
	}
	return a
}

// pick sets v to a where the mask holds.
func (l *lanes) pick(m mask, a Op, v value) {
	if l.wide {
		VMOVUPS(a, m, v)
		return
	}
	VBLENDVPS(m, a, v, v)
}

// exp is eˣ (Cephes' expf: x = n·ln 2 + r, a polynomial of degree 7 in r). The
// power of two is applied in halves, so that the subnormal range is right.
func (l *lanes) exp(x value) value {
	x = l.max(l.min(x, num(89)), num(-104)) // beyond: ∞ and 0 all the same
	p, r, short, n := l.expReduced(x)
	one := l.constant(num(1))
	s := l.add(one, r)
	lost := l.add(l.sub(r, l.sub(s, one)), short) // what the sum and r round away
	VFMADD231PS(l.mul(r, r), p, lost)
	p = l.add(s, lost)
	ni := l.toInt(n)
	half := l.sar(ni, 1)
	rest := l.subInt(ni, half)
	p = l.mul(p, l.power(half))
	return l.mul(p, l.power(rest))
}

// power is 2ⁿ for a normal result.
func (l *lanes) power(n value) value { return l.shl(l.addInt(n, bits(127)), 23) }

// expReduced is r, n and p with eʳ = 1 + r + p·r², and what r falls short.
func (l *lanes) expReduced(x value) (p, r, short, n value) {
	n = l.round(l.mul(x, num(math.Log2E)))
	r = l.copy(x)
	VFNMADD231PS(num(0.693359375), n, r) // exact
	short = l.copy(r)
	VFNMADD231PS(num(-2.12194440e-4), n, r)
	short = l.sub(short, r)
	VFNMADD231PS(num(-2.12194440e-4), n, short)
	p = l.horner(r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
	return p, r, short, n
}

// expm1 is eˣ − 1 for x ≤ 0.
func (l *lanes) expm1(x value) value {
	q, r, _, n := l.expReduced(l.max(x, num(-30)))
	VFMADD213PS(r, l.mul(r, r), q)
	s := l.power(l.toInt(n))
	t := l.sub(s, num(1))
	VFMADD231PS(q, s, t)
	return t
}

// log is the natural logarithm (Cephes' logf: x = 2ⁿ·(1 + f), a polynomial of
// degree 11 in f).
func (l *lanes) log(x value) value {
	tiny := l.compare(lessThan, x, num(0x1p-126))
	v := l.copy(x)
	e := l.zero()
	scaled := l.mul(x, num(0x1p23))
	l.pick(tiny, scaled, v)
	l.pick(tiny, num(-23), e)
	y := l.logNormal(v, e)
	// 0, the negative, ∞ and NaN
	l.pick(l.compare(equal, x, num(0)), num(math.Inf(-1)), y)
	l.pick(l.compare(lessThan, x, num(0)), bits(0x7fc00000), y)
	l.pick(l.compare(equal, x, num(math.Inf(1))), num(math.Inf(1)), y)
	nan := l.compare(3, x, x) // unordered
	l.pick(nan, x, y)
	return y
}

// logNormal is log v + e·log 2 for a normal v.
func (l *lanes) logNormal(v, e value) value {
	d := l.subInt(v, bits(0x3f3504f3)) // √½
	e = l.add(e, l.toFloat(l.sar(d, 23)))
	f := l.addInt(l.and(d, bits(0x007fffff)), bits(0x3f3504f3))
	f = l.sub(f, num(1))
	z := l.mul(f, f)
	y := l.horner(f, 7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1,
		-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1)
	y = l.mul(l.mul(y, f), z)
	VFMADD231PS(num(-2.12194440e-4), e, y)
	VFNMADD231PS(num(.5), z, y)
	y = l.add(f, y)
	VFMADD231PS(num(0.693359375), e, y)
	return y
}

const signBit = 0x80000000

// sigmoid is e⁻|x| or 1 over 1 + e⁻|x|: no overflow, no cancellation.
func (l *lanes) sigmoid(x value) value {
	e := l.exp(l.or(x, bits(signBit)))
	d := l.add(e, num(1))
	s := l.constant(num(1))
	l.pick(l.compare(lessThan, x, num(0)), e, s)
	lost := l.sub(e, l.sub(d, num(1))) // what d rounds away
	s = l.div(s, d)
	t := l.constant(num(-.5)) // near enough to 1/d
	VFMADD213PS(num(1.5), d, t)
	VFNMADD231PS(l.mul(s, lost), t, s)
	return s
}

// tanh is a polynomial below 0.625 (Cephes' tanhf), else 1 − 2/(e²ˣ + 1).
func (l *lanes) tanh(x value) value {
	a := l.and(x, bits(^uint32(signBit)))
	e := l.exp(l.add(a, a))
	t := l.div(l.constant(num(2)), l.add(e, num(1)))
	large := l.sub(l.constant(num(1)), t)
	large = l.or(large, l.and(x, bits(signBit)))
	z := l.mul(x, x)
	p := l.horner(z, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
	p = l.mul(p, z)
	VFMADD213PS(x, x, p)
	l.pick(l.compare(lessThan, a, num(.625)), p, large)
	return large
}

// softplus is max(x, 0) + log(1 + e⁻|x|), the rounding of 1 + e⁻|x| put right.
func (l *lanes) softplus(x value) value {
	e := l.exp(l.or(x, bits(signBit)))
	u := l.add(e, num(1))
	lost := l.sub(l.sub(u, num(1)), e)
	y := l.sub(l.log(u), l.div(lost, u))
	return l.add(y, l.max(x, num(0)))
}

// erf is rational in x (the approximation of Eigen and XLA), clamped at ±4.
func (l *lanes) erf(x value) value {
	x = l.max(l.min(x, num(4)), num(-4))
	z := l.mul(x, x)
	p := l.horner(z, -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05,
		-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02)
	q := l.horner(z, -1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03,
		-1.42647390514189e-02)
	return l.div(l.mul(p, x), q)
}

// gelu is ½x(1 + erf(x/√2)), and 0 below −6.
func (l *lanes) gelu(x value) value {
	h := l.mul(x, num(.5))
	y := l.erf(l.mul(x, num(math.Sqrt2/2)))
	VFMADD213PS(h, h, y)
	l.pick(l.compare(lessThan, x, num(-6)), num(0), y)
	return y
}
