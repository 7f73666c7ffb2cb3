package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowMoves emits the moving of strided rows: im2col's copy, col2im's addition.
func rowMoves() {
	for _, add := range []bool{false, true} {
		name := "copyRows"
		if add {
			name = "addRows"
		}
		moveRows(isa{name: name + "512", bytes: 64, masked: true, vec: ZMM}, add)
		moveRows(isa{name: name + "256", bytes: 32, vec: YMM}, add)
	}
}

// moveRows emits func(d, src *float32, dld, sld, rows, n int, lanes *int32):
// rows of n numbers, dld and sld bytes apart. lanes points to AVX2's mask of
// the last n%8.
func moveRows(s isa, add bool) {
	TEXT(s.name, NOSPLIT, "func(d, src *float32, dld, sld, rows, n int, lanes *int32)")
	Pragma("noescape")
	d, src := Load(Param("d"), GP64()), Load(Param("src"), GP64())
	dld, sld := Load(Param("dld"), GP64()), Load(Param("sld"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	width := uint64(s.bytes / 4)
	rest := GP64()
	MOVQ(n, rest)
	ANDQ(Imm(width-1), rest)
	ANDQ(I8(-int8(width)), n)
	SHLQ(Imm(2), n) // bytes of whole vectors
	var k reg.OpmaskVirtual
	m := s.vec()
	if s.masked {
		k = K()
		bits := GP64()
		MOVQ(rest, reg.RCX)
		MOVQ(U32(1), bits)
		SHLQ(reg.CL, bits)
		DECQ(bits)
		KMOVW(bits.As32(), k)
	} else {
		lanes := Load(Param("lanes"), GP64())
		VMOVUPS(Mem{Base: lanes}, m)
	}
	v := s.vec()
	Label("row")
	i := GP64()
	XORQ(i, i)
	CMPQ(i, n)
	JE(LabelRef("tail"))
	Label("vector")
	from, to := Mem{Base: src, Index: i, Scale: 1}, Mem{Base: d, Index: i, Scale: 1}
	VMOVUPS(from, v)
	if add {
		VADDPS(to, v, v)
	}
	VMOVUPS(v, to)
	ADDQ(Imm(uint64(s.bytes)), i)
	CMPQ(i, n)
	JL(LabelRef("vector"))
	Label("tail")
	TESTQ(rest, rest)
	JZ(LabelRef("next"))
	if s.masked {
		VMOVUPS_Z(from, k, v)
		if add {
			t := s.vec()
			VMOVUPS_Z(to, k, t)
			VADDPS(t, v, v)
		}
		VMOVUPS(v, k, to)
	} else {
		VMASKMOVPS(from, m, v)
		if add {
			t := s.vec()
			VMASKMOVPS(to, m, t)
			VADDPS(t, v, v)
		}
		VMASKMOVPS(v, m, to)
	}
	Label("next")
	ADDQ(sld, src)
	ADDQ(dld, d)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
