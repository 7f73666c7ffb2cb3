package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// doubles emits sums accumulated in float64.
func doubles() {
	for _, l := range levels() {
		l.squares()
		l.moment("columnSums", false)
		l.moment("columnSquares", true)
	}
}

// half loads as many float32 as a vector has float64, and widens them.
func (l *lanes) half(m Mem) value {
	v := l.vec()
	VCVTPS2PD(m, v)
	return v
}

// squares emits func(n int, x *float32, s *float64): the squares of n numbers,
// a multiple of 8, added to eight sums in turn.
func (l *lanes) squares() {
	TEXT("squares"+l.suffix, NOSPLIT, "func(n int, x *float32, s *float64)")
	Pragma("noescape")
	n, x, s := Load(Param("n"), GP64()), Load(Param("x"), GP64()), Load(Param("s"), GP64())
	acc := make([]value, l.chains())
	for c := range acc {
		acc[c] = l.vec()
		VMOVUPD(Mem{Base: s, Disp: c * l.bytes}, acc[c])
	}
	Label("loop")
	for c := range acc {
		v := l.half(Mem{Base: x, Disp: c * l.bytes / 2})
		VFMADD231PD(v, v, acc[c]) // the product is exact
	}
	ADDQ(Imm(32), x)
	SUBQ(Imm(8), n)
	JG(LabelRef("loop"))
	for c := range acc {
		VMOVUPD(acc[c], Mem{Base: s, Disp: c * l.bytes})
	}
	VZEROUPPER()
	RET()
}

// moment emits func(n int, d *float64, x *float32, ld, rows int): for n
// columns, a multiple of 8, the sums over rows ld bytes apart, in order. With
// squares, the sums of squared differences to what d held before.
func (l *lanes) moment(name string, squares bool) {
	TEXT(name+l.suffix, NOSPLIT, "func(n int, d *float64, x *float32, ld, rows int)")
	Pragma("noescape")
	n, d, x := Load(Param("n"), GP64()), Load(Param("d"), GP64()), Load(Param("x"), GP64())
	ld, rows := Load(Param("ld"), GP64()), Load(Param("rows"), GP64())
	Label("strip")
	p, r := GP64(), GP64()
	MOVQ(x, p)
	MOVQ(rows, r)
	acc, mean := make([]value, l.chains()), make([]value, l.chains())
	for c := range acc {
		acc[c] = l.vec()
		VXORPD(acc[c], acc[c], acc[c])
		if squares {
			mean[c] = l.vec()
			VMOVUPD(Mem{Base: d, Disp: c * l.bytes}, mean[c])
		}
	}
	Label("row")
	for c := range acc {
		v := l.half(Mem{Base: p, Disp: c * l.bytes / 2})
		if squares {
			VSUBPD(mean[c], v, v)
			VMULPD(v, v, v)
		}
		VADDPD(v, acc[c], acc[c])
	}
	ADDQ(ld, p)
	DECQ(r)
	JNZ(LabelRef("row"))
	for c := range acc {
		VMOVUPD(acc[c], Mem{Base: d, Disp: c * l.bytes})
	}
	ADDQ(Imm(32), x)
	ADDQ(Imm(64), d)
	SUBQ(Imm(8), n)
	JG(LabelRef("strip"))
	VZEROUPPER()
	RET()
}
