package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// packs emits the packing of B into panels, rows and columns.
func packs() {
	packRows(isa{name: "packRows512", bytes: 64, masked: true, vec: ZMM})
	packRows(isa{name: "packRows256", bytes: 32, vec: YMM})
	packColumns(isa{name: "packColumns512", bytes: 64, masked: true, vec: ZMM})
	packColumns(isa{name: "packColumns256", bytes: 32, vec: YMM})
}

// packRows emits func(d, src *float32, ld, k, panels, step int): k rows of
// whole panels of two vectors, source rows ld bytes and panels step bytes apart.
func packRows(s isa) {
	TEXT(s.name, NOSPLIT, "func(d, src *float32, ld, k, panels, step int)")
	Pragma("noescape")
	d, src := Load(Param("d"), GP64()), Load(Param("src"), GP64())
	ld, k := Load(Param("ld"), GP64()), Load(Param("k"), GP64())
	panels, step := Load(Param("panels"), GP64()), Load(Param("step"), GP64())
	a, b := s.vec(), s.vec()
	Label("row")
	q, from, n := GP64(), GP64(), GP64()
	MOVQ(d, q)
	MOVQ(src, from)
	MOVQ(panels, n)
	Label("panel")
	VMOVUPS(Mem{Base: from}, a)
	VMOVUPS(Mem{Base: from, Disp: s.bytes}, b)
	VMOVUPS(a, Mem{Base: q})
	VMOVUPS(b, Mem{Base: q, Disp: s.bytes})
	ADDQ(Imm(uint64(2*s.bytes)), from)
	ADDQ(step, q)
	DECQ(n)
	JNZ(LabelRef("panel"))
	ADDQ(ld, src)
	ADDQ(Imm(uint64(2*s.bytes)), d)
	DECQ(k)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// packColumns emits func(d, src *float32, ld, quads, dld int): one vector's
// worth of columns, ld bytes apart, 4·quads long, to rows dld bytes apart.
//
// Four numbers of each column are gathered so that lane L of register j holds
// column 4L+j; a 4×4 transposition within the lanes does the rest.
func packColumns(s isa) {
	TEXT(s.name, NOSPLIT, "func(d, src *float32, ld, quads, dld int)")
	Pragma("noescape")
	d, src := Load(Param("d"), GP64()), Load(Param("src"), GP64())
	ld, quads := Load(Param("ld"), GP64()), Load(Param("quads"), GP64())
	dld := Load(Param("dld"), GP64())
	ld3 := GP64()
	LEAQ(Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	lanes := s.bytes / 16
	base := []reg.GPVirtual{src.(reg.GPVirtual)}
	for range lanes - 1 {
		r := GP64()
		LEAQ(Mem{Base: base[len(base)-1], Index: ld, Scale: 4}, r)
		base = append(base, r)
	}
	Label("quad")
	var r [4]reg.VecVirtual
	for j := range r {
		at := func(lane int) Mem {
			switch j {
			case 0:
				return Mem{Base: base[lane]}
			case 3:
				return Mem{Base: base[lane], Index: ld3, Scale: 1}
			}
			return Mem{Base: base[lane], Index: ld, Scale: uint8(j)}
		}
		r[j] = s.vec()
		VMOVUPS(at(0), r[j].AsX())
		for l := 1; l < lanes; l++ {
			if s.masked {
				VINSERTF32X4(Imm(uint64(l)), at(l), r[j], r[j])
			} else {
				VINSERTF128(Imm(uint64(l)), at(l), r[j], r[j])
			}
		}
	}
	var t [4]reg.VecVirtual
	for j := range t {
		t[j] = s.vec()
	}
	VUNPCKLPS(r[1], r[0], t[0])
	VUNPCKHPS(r[1], r[0], t[1])
	VUNPCKLPS(r[3], r[2], t[2])
	VUNPCKHPS(r[3], r[2], t[3])
	VUNPCKLPD(t[2], t[0], r[0])
	VUNPCKHPD(t[2], t[0], r[1])
	VUNPCKLPD(t[3], t[1], r[2])
	VUNPCKHPD(t[3], t[1], r[3])
	for j := range r {
		VMOVUPS(r[j], Mem{Base: d})
		ADDQ(dld, d)
	}
	for _, b := range base {
		ADDQ(Imm(16), b)
	}
	DECQ(quads)
	JNZ(LabelRef("quad"))
	VZEROUPPER()
	RET()
}
