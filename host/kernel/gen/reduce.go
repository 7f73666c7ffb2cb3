package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
	"math"
)

// reductions emits sums and maxima. A row is summed in sixteen chains, of
// which a level holds one or two vectors, folded in halves at the end: the
// same additions on every level.
func reductions() {
	for _, l := range levels() {
		l.maxRow()
		l.sumExpRow("sumExp", true)
		l.sumExpRow("sumExpOnly", false)
		l.dotRow()
		l.sumColumns()
	}
}

// chains is how many vectors hold sixteen numbers.
func (l *lanes) chains() int { return 64 / l.bytes }

// rounds emits body for all vectors of n elements, sixteen elements a turn:
// body(c, at) is for chain c, with tail set at the end.
func (l *lanes) rounds(n reg.GPVirtual, body func(c int, disp int), i reg.GPVirtual) {
	XORQ(i, i)
	SUBQ(Imm(16), n)
	JL(LabelRef("tail"))
	Label("loop")
	for c := range l.chains() {
		body(c, c*l.bytes)
	}
	ADDQ(Imm(64), i)
	SUBQ(Imm(16), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(16), n)
	JZ(LabelRef("done"))
	if l.wide {
		l.masked(n, func() { body(0, 0) })
	} else {
		CMPQ(n, Imm(8))
		JLE(LabelRef("low"))
		body(0, 0)
		rest := GP64()
		LEAQ(Mem{Base: n, Disp: -8}, rest)
		l.masked(rest, func() { body(1, 32) })
		JMP(LabelRef("done"))
		Label("low")
		l.masked(n, func() { body(0, 0) })
	}
	Label("done")
}

// fold combines the chains to one number in lane 0.
func (l *lanes) fold(acc []value, op func(a, b Op, d Op)) value {
	var y value
	if l.wide {
		h := YMM()
		VEXTRACTF32X8(Imm(1), acc[0], h)
		op(h, acc[0].AsY(), h)
		y = h
	} else {
		op(acc[1], acc[0], acc[0])
		y = acc[0]
	}
	x := XMM()
	VEXTRACTF128(Imm(1), y.AsY(), x)
	op(x, y.AsX(), x)
	t := XMM()
	VPSHUFD(Imm(0x4e), x, t)
	op(t, x, x)
	VPSHUFD(Imm(0xb1), x, t)
	op(t, x, x)
	return x
}

// active keeps the lanes in use of v and sets the others to fill.
func (l *lanes) active(v value, fill Mem) value {
	if !l.tail {
		return v
	}
	r := l.constant(fill)
	if l.wide {
		VMOVUPS(v, l.k, r)
	} else {
		VBLENDVPS(l.m, v, r, r)
	}
	return r
}

// maxRow emits func(n int, x *float32) float32, n > 0.
func (l *lanes) maxRow() {
	TEXT("maxRow"+l.suffix, NOSPLIT, "func(n int, x *float32) float32")
	Pragma("noescape")
	n, x := Load(Param("n"), GP64()).(reg.GPVirtual), Load(Param("x"), GP64())
	i := GP64()
	var acc []value
	for range l.chains() {
		acc = append(acc, l.constant(num(math.Inf(-1))))
	}
	l.rounds(n, func(c, disp int) {
		v := l.active(l.load(Mem{Base: x, Index: i, Scale: 1, Disp: disp}), num(math.Inf(-1)))
		VMAXPS(v, acc[c], acc[c])
	}, i)
	s := l.fold(acc, func(a, b, d Op) { VMAXPS(a, b, d) })
	Store(s.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// sumExpRow emits func(n int, y, x *float32, top float32) float32: the sum of
// exp(x − top), which is stored to y if wanted.
func (l *lanes) sumExpRow(name string, stored bool) {
	TEXT(name+l.suffix, NOSPLIT, "func(n int, y, x *float32, top float32) float32")
	Pragma("noescape")
	n, x := Load(Param("n"), GP64()).(reg.GPVirtual), Load(Param("x"), GP64())
	var y reg.Register
	if stored {
		y = Load(Param("y"), GP64())
	}
	top := l.vec()
	first := XMM()
	Load(Param("top"), first)
	VBROADCASTSS(first, top)
	i := GP64()
	var acc []value
	for range l.chains() {
		acc = append(acc, l.zero())
	}
	l.rounds(n, func(c, disp int) {
		v := l.exp(l.sub(l.load(Mem{Base: x, Index: i, Scale: 1, Disp: disp}), top))
		if stored {
			l.store(v, Mem{Base: y, Index: i, Scale: 1, Disp: disp})
		}
		v = l.active(v, num(0))
		VADDPS(v, acc[c], acc[c])
	}, i)
	s := l.fold(acc, func(a, b, d Op) { VADDPS(a, b, d) })
	Store(s.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// dotRow emits func(n int, a, b *float32) float32.
func (l *lanes) dotRow() {
	TEXT("dotRow"+l.suffix, NOSPLIT, "func(n int, a, b *float32) float32")
	Pragma("noescape")
	n, a, b := Load(Param("n"), GP64()).(reg.GPVirtual), Load(Param("a"), GP64()), Load(Param("b"), GP64())
	i := GP64()
	var acc []value
	for range l.chains() {
		acc = append(acc, l.zero())
	}
	l.rounds(n, func(c, disp int) {
		v := l.load(Mem{Base: a, Index: i, Scale: 1, Disp: disp})
		w := l.load(Mem{Base: b, Index: i, Scale: 1, Disp: disp})
		VFMADD231PS(v, w, acc[c])
	}, i)
	s := l.fold(acc, func(a, b, d Op) { VADDPS(a, b, d) })
	Store(s.AsX(), ReturnIndex(0))
	VZEROUPPER()
	RET()
}

// sumColumns emits func(n int, d, x *float32, ld, rows int): the sums of n
// columns over rows in order, rows ld bytes apart; four vectors at a time.
func (l *lanes) sumColumns() {
	TEXT("sumColumns"+l.suffix, NOSPLIT, "func(n int, d, x *float32, ld, rows int)")
	Pragma("noescape")
	n := Load(Param("n"), GP64())
	d, x := Load(Param("d"), GP64()), Load(Param("x"), GP64())
	ld, rows := Load(Param("ld"), GP64()), Load(Param("rows"), GP64())
	strip := func(vectors int, name string) {
		acc := make([]value, vectors)
		for c := range acc {
			acc[c] = l.zero()
		}
		p, r := GP64(), GP64()
		MOVQ(x, p)
		MOVQ(rows, r)
		Label(name)
		for c := range acc {
			v := l.load(Mem{Base: p, Disp: c * l.bytes})
			VADDPS(v, acc[c], acc[c])
		}
		ADDQ(ld, p)
		DECQ(r)
		JNZ(LabelRef(name))
		for c := range acc {
			l.store(acc[c], Mem{Base: d, Disp: c * l.bytes})
		}
	}
	width := l.bytes / 4
	for _, vectors := range []int{4, 1} {
		name := map[int]string{4: "four", 1: "one"}[vectors]
		SUBQ(Imm(uint64(width*vectors)), n)
		JL(LabelRef(name + "Done"))
		Label(name + "Strip")
		strip(vectors, name)
		ADDQ(U32(vectors*l.bytes), x)
		ADDQ(U32(vectors*l.bytes), d)
		SUBQ(Imm(uint64(width*vectors)), n)
		JGE(LabelRef(name + "Strip"))
		Label(name + "Done")
		ADDQ(Imm(uint64(width*vectors)), n)
	}
	TESTQ(n, n)
	JZ(LabelRef("done"))
	l.masked(n, func() { strip(1, "rest") })
	Label("done")
	VZEROUPPER()
	RET()
}
