package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// planeVectors is how many vectors a tile of 1, 2, … rows has.
var planeVectors = map[string][]int{"512": {8, 8, 6, 6, 4, 4, 3, 3}, "256": {8, 4, 3, 2, 2, 2, 1, 1}}

// plane emits a function of a *kernel.plane: s.rows rows of c, whose lanes are
// neighbouring pixels, in tiles of s.vectors vectors and then of one.
func plane(s isa) {
	TEXT(s.name, NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	field := func(off int) Mem { return Mem{Base: p, Disp: off} }
	planeColumn(s, field, planeTiles, "tile")
	if s.vectors > 1 {
		one := s
		one.vectors = 1
		planeColumn(one, field, planeSingles, "single")
	}
	VZEROUPPER()
	RET()
}

// planeColumn emits the tiles that a field counts.
func planeColumn(s isa, field func(int) Mem, count int, name string) {
	at := func(part string) string { return name + part }
	get := func(off int) reg.GPVirtual {
		r := GP64()
		MOVQ(field(off), r)
		return r
	}
	CMPQ(field(count), Imm(0))
	JLE(LabelRef(at("_done")))
	Label(at("_next"))
	acc := make([][]reg.VecVirtual, s.rows)
	for i := range acc {
		for range s.vectors {
			acc[i] = append(acc[i], s.vec())
		}
	}
	mode := get(planeMode)
	TESTQ(U32(modeAdd), mode)
	JZ(LabelRef(at("_zero")))
	{
		c, ldc := get(planeC), get(planeLDC)
		for i := range s.rows {
			for j := range s.vectors {
				VMOVUPS(Mem{Base: c, Disp: j * s.bytes}, acc[i][j])
			}
			ADDQ(ldc, c)
		}
	}
	JMP(LabelRef(at("_begin")))
	Label(at("_zero"))
	for i := range s.rows {
		for j := range s.vectors {
			VXORPS(acc[i][j], acc[i][j], acc[i][j])
		}
	}
	Label(at("_begin"))
	k, pa, pb, steps := get(planeK), get(planeA), get(planeB), get(planeSteps)
	t := s.vec()
	TESTQ(k, k)
	JZ(LabelRef(at("_sum")))
	Label(at("_step"))
	if s.rows == 1 {
		VBROADCASTSS(Mem{Base: pa}, t)
		for j := range s.vectors {
			VFMADD231PS(Mem{Base: pb, Disp: j * s.bytes}, t, acc[0][j])
		}
	} else {
		b := make([]reg.VecVirtual, s.vectors)
		for j := range b {
			b[j] = s.vec()
			VMOVUPS(Mem{Base: pb, Disp: j * s.bytes}, b[j])
		}
		for i := range s.rows {
			VBROADCASTSS(Mem{Base: pa, Disp: 4 * i}, t)
			for j := range b {
				VFMADD231PS(b[j], t, acc[i][j])
			}
		}
	}
	ADDQ(Imm(uint64(4*s.rows)), pa)
	ADDQ(Mem{Base: steps}, pb)
	ADDQ(Imm(8), steps)
	DECQ(k)
	JNZ(LabelRef(at("_step")))
	Label(at("_sum"))
	mode = get(planeMode)
	TESTQ(U32(modeBias), mode)
	JZ(LabelRef(at("_biased")))
	{
		bias := get(planeBias)
		for i := range s.rows {
			VBROADCASTSS(Mem{Base: bias, Disp: 4 * i}, t)
			for j := range s.vectors {
				VADDPS(t, acc[i][j], acc[i][j])
			}
		}
	}
	Label(at("_biased"))
	TESTQ(U32(modeReLU), mode)
	JZ(LabelRef(at("_store")))
	VXORPS(t, t, t)
	for i := range s.rows {
		for j := range s.vectors {
			VMAXPS(acc[i][j], t, acc[i][j]) // a NaN stays
		}
	}
	Label(at("_store"))
	{
		c, ldc := get(planeC), get(planeLDC)
		for i := range s.rows {
			for j := range s.vectors {
				VMOVUPS(acc[i][j], Mem{Base: c, Disp: j * s.bytes})
			}
			ADDQ(ldc, c)
		}
	}
	ADDQ(U32(s.vectors*s.bytes), field(planeC))
	ADDQ(U32(s.vectors*s.bytes), field(planeB))
	DECQ(field(count))
	JG(LabelRef(at("_next")))
	Label(at("_done"))
}
