package main

import (
	"math"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// randoms emits Philox 4×32-10 with a block per lane, and what is made of it.
func randoms() {
	for _, l := range levels() {
		l.random("uniform", func(w [4]value) [4]value {
			for q := range w {
				w[q] = l.mul(l.toFloat(l.shr(w[q], 8)), num(0x1p-24))
			}
			return w
		})
		l.random("normal", func(w [4]value) [4]value {
			w[0], w[1] = l.boxMuller(w[0], w[1])
			w[2], w[3] = l.boxMuller(w[2], w[3])
			return w
		})
	}
}

// words is a constant of sixteen different words.
func words(name string, f func(i int) uint32) Mem {
	m := GLOBL(name, NOPTR|RODATA)
	for i := range 16 {
		DATA(4*i, U32(f(i)))
	}
	return m
}

var numbers *Mem

// laneNumbers is 0, 1, 2, …
func laneNumbers() Mem {
	if numbers == nil {
		m := words("lane_numbers", func(i int) uint32 { return uint32(i) })
		numbers = &m
	}
	return *numbers
}

// random emits func(dst *float32, key *uint64, block uint64): 64 numbers from
// the 16 blocks from block on, a multiple of 16. key is Seed, Stream.
func (l *lanes) random(name string, finish func(w [4]value) [4]value) {
	TEXT(name+l.suffix, NOSPLIT, "func(dst *float32, key *uint64, block uint64)")
	Pragma("noescape")
	dst, key := Load(Param("dst"), GP64()), Load(Param("key"), GP64())
	turn := GP64()
	MOVQ(U32(l.chains()), turn)
	spread := func(m Mem) value {
		v := l.vec()
		VPBROADCASTD(m, v)
		return v
	}
	block := Load(Param("block"), GP64()).(reg.GPVirtual)
	spreadWord := func() value {
		x, v := XMM(), l.vec()
		VMOVD(block.As32(), x)
		VPBROADCASTD(x, v)
		return v
	}
	low := l.addInt(spreadWord(), laneNumbers())
	SHRQ(Imm(32), block)
	upper := spreadWord()
	var odd mask
	if l.wide {
		b := GP32()
		MOVL(U32(0xaaaa), b)
		k := K()
		KMOVW(b, k)
		odd = k
	}
	Label("turn")
	c := [4]value{l.copy(low), l.copy(upper), spread(Mem{Base: key, Disp: 8}), spread(Mem{Base: key, Disp: 12})}
	k0, k1 := spread(Mem{Base: key}), spread(Mem{Base: key, Disp: 4})
	high := func(a value, m uint32) (hi, lo value) {
		even, b := l.vec(), l.vec()
		VPMULUDQ(bits(m), a, even)
		VPSRLQ(Imm(32), a, b)
		VPMULUDQ(bits(m), b, b)
		// low words: even as they are, odd moved up; high words the other way round
		hi, lo = l.vec(), l.vec()
		VPSRLQ(Imm(32), even, hi)
		VPSLLQ(Imm(32), b, lo)
		if l.wide {
			VMOVUPS(b, odd, hi)
			VMOVUPS(lo, odd, even)
		} else {
			VPBLENDD(Imm(0xaa), b, hi, hi)
			VPBLENDD(Imm(0xaa), lo, even, even)
		}
		return hi, even
	}
	for round := range 10 {
		if round > 0 {
			k0 = l.addInt(k0, bits(0x9e3779b9))
			k1 = l.addInt(k1, bits(0xbb67ae85))
		}
		h0, l0 := high(c[0], 0xd2511f53)
		h1, l1 := high(c[2], 0xcd9e8d57)
		c = [4]value{l.xor(l.xor(h1, c[1]), k0), l1, l.xor(l.xor(h0, c[3]), k1), l0}
	}
	c = finish(c)
	l.interleave(dst, c)
	if !l.wide {
		low = l.addIntInto(low, bits(8))
		ADDQ(U32(128), dst)
		DECQ(turn)
		JNZ(LabelRef("turn"))
	}
	VZEROUPPER()
	RET()
}

// addIntInto is a += b.
func (l *lanes) addIntInto(a value, b Op) value {
	VPADDD(b, a, a)
	return a
}

// interleave stores word q of lane b at number 4b+q.
func (l *lanes) interleave(dst reg.Register, w [4]value) {
	t := [4]value{l.vec(), l.vec(), l.vec(), l.vec()}
	VUNPCKLPS(w[1], w[0], t[0])
	VUNPCKHPS(w[1], w[0], t[1])
	VUNPCKLPS(w[3], w[2], t[2])
	VUNPCKHPS(w[3], w[2], t[3])
	r := [4]value{l.vec(), l.vec(), l.vec(), l.vec()}
	VUNPCKLPD(t[2], t[0], r[0])
	VUNPCKHPD(t[2], t[0], r[1])
	VUNPCKLPD(t[3], t[1], r[2])
	VUNPCKHPD(t[3], t[1], r[3])
	for i := range r {
		for lane := range l.bytes / 16 {
			m := Mem{Base: dst, Disp: 16 * (4*lane + i)}
			switch {
			case lane == 0:
				VMOVUPS(r[i].AsX(), m)
			case l.wide:
				VEXTRACTF32X4(Imm(uint64(lane)), r[i], m)
			default:
				VEXTRACTF128(Imm(uint64(lane)), r[i], m)
			}
		}
	}
}

// boxMuller makes two normal numbers from the upper 24 bits of two words:
// √(−2 log u) with u in (0, 1], times the cosine and the sine of 2πv.
func (l *lanes) boxMuller(u, v value) (a, b value) {
	x := l.mul(l.toFloat(l.addInt(l.shr(u, 8), bits(1))), num(0x1p-24))
	r := l.sqrt(l.mul(l.logNormal(x, l.zero()), num(-2)))
	// 2πv = (q + f)·π/2 with |f| ≤ ½
	t := l.mul(l.toFloat(l.shr(v, 8)), num(0x1p-22))
	n := l.round(t)
	f := l.mul(l.sub(t, n), num(math.Pi/2))
	q := l.toInt(n)
	z := l.mul(f, f)
	sin := l.horner(z, -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
	sin = l.mul(sin, z)
	VFMADD213PS(f, f, sin)
	cos := l.horner(z, 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2, -.5)
	VFMADD213PS(num(1), z, cos)
	// odd quarters swap them; quarters 1 and 2 turn the cosine, 2 and 3 the sine
	swap := l.signs(l.shl(q, 31))
	c, s := l.copy(cos), l.copy(sin)
	l.pick(swap, sin, c)
	l.pick(swap, cos, s)
	c = l.xor(c, l.shl(l.and(l.addInt(q, bits(1)), bits(2)), 30))
	s = l.xor(s, l.shl(l.and(q, bits(2)), 30))
	return l.mul(r, c), l.mul(r, s)
}
