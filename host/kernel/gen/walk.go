package main

// Kernels of convolutions with few channels on one side: they read images where
// they lie, step by step through a table of distances, so that no columns are
// written first and nothing is added up afterwards.

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kernel.walk.
const (
	walkK      = 8 * iota
	walkA      // *float32
	walkRS     // bytes
	walkSteps  // *int: what a moves by after each step, bytes
	walkB      // *float32
	walkBS     // bytes
	walkC      // *float32
	walkLDC    // bytes
	walkTiles  // tiles left in the row
	walkHeight // of the tiles now
	walkTall   // of that height, before those one lower
	walkMode
	walkBias // *float32
	walkMask // as kernel.panel's
	walkRows // rows of tiles left
	walkRowA // what a moves by after a row, bytes
	walkRowC // and c
	walkEachTiles
	walkEachHeight
	walkEachTall
)

// Offsets of the fields of kernel.plane.
const (
	planeK       = 8 * iota
	planeA       // *float32: for each step a number for each row
	planeB       // *float32
	planeSteps   // *int: what b moves by after each step, bytes
	planeC       // *float32
	planeLDC     // bytes
	planeTiles   // tiles of all vectors left
	planeSingles // tiles of one vector, after those
	planeMode
	planeBias // *float32
)

// walks emits the kernels of every level.
func walks() {
	walk(isa{name: "walk512x2", bytes: 64, vectors: 2, rows: 14, masked: true, vec: ZMM})
	walk(isa{name: "walk512x1", bytes: 64, vectors: 1, rows: 14, masked: true, vec: ZMM})
	walk(isa{name: "walk256x2", bytes: 32, vectors: 2, rows: 6, vec: YMM})
	for i := range planeVectors["512"] {
		plane(isa{name: fmt.Sprintf("plane512r%d", i+1), bytes: 64, vectors: planeVectors["512"][i], rows: i + 1, masked: true, vec: ZMM})
		plane(isa{name: fmt.Sprintf("plane256r%d", i+1), bytes: 32, vectors: planeVectors["256"][i], rows: i + 1, vec: YMM})
	}
}

// walk emits a function of a *kernel.walk: rows of register tiles, whose a
// moves through the table. Rows of b are whole vectors.
func walk(s isa) {
	TEXT(s.name, NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	field := func(off int) Mem { return Mem{Base: p, Disp: off} }
	var k1, k2 reg.OpmaskVirtual
	if s.masked {
		bits := GP32()
		k1, k2 = K(), K()
		MOVL(field(walkMask), bits)
		KMOVW(bits, k1)
		SHRL(U8(16), bits)
		KMOVW(bits, k2)
	}
	Label("row")
	for _, f := range [][2]int{{walkEachTiles, walkTiles}, {walkEachHeight, walkHeight}, {walkEachTall, walkTall}} {
		r := GP64()
		MOVQ(field(f[0]), r)
		MOVQ(r, field(f[1]))
	}
	Label("tile")
	h, tall := GP64(), GP64()
	MOVQ(field(walkHeight), h)
	MOVQ(field(walkTall), tall)
	DECQ(tall)
	JGE(LabelRef("sized"))
	DECQ(h)
	MOVQ(h, field(walkHeight))
	MOVQ(field(walkTiles), tall) // no further change
	Label("sized")
	MOVQ(tall, field(walkTall))
	DECQ(field(walkTiles))
	for mr := s.rows; mr > 1; mr-- {
		CMPQ(h, Imm(uint64(mr)))
		JE(LabelRef(fmt.Sprintf("rows%d", mr)))
	}
	for mr := 1; mr <= s.rows; mr++ {
		walkTile(s, mr, field, k1, k2)
	}
	Label("next")
	CMPQ(field(walkTiles), Imm(0))
	JG(LabelRef("tile"))
	for _, f := range [][2]int{{walkRowA, walkA}, {walkRowC, walkC}} {
		r := GP64()
		MOVQ(field(f[0]), r)
		ADDQ(r, field(f[1]))
	}
	DECQ(field(walkRows))
	JG(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// walkTile emits the code for mr rows.
func walkTile(s isa, mr int, field func(int) Mem, k1, k2 reg.OpmaskVirtual) {
	at := func(name string) string { return fmt.Sprintf("%s%d", name, mr) }
	mask := []reg.OpmaskVirtual{k1, k2}
	Label(at("rows"))
	get := func(off int) reg.GPVirtual {
		r := GP64()
		MOVQ(field(off), r)
		return r
	}
	acc := make([][]reg.VecVirtual, mr)
	for i := range acc {
		for range s.vectors {
			acc[i] = append(acc[i], s.vec())
		}
	}
	vm := []reg.VecVirtual{nil, nil} // AVX2's masks, outside the loop
	loadMasks := func() {
		if !s.masked {
			m := get(walkMask)
			for j := range s.vectors {
				vm[j] = s.vec()
				VMOVUPS(Mem{Base: m, Disp: j * s.bytes}, vm[j])
			}
		}
	}
	load := func(m Mem, j int, v reg.VecVirtual) {
		if s.masked {
			VMOVUPS_Z(m, mask[j], v)
		} else {
			VMASKMOVPS(m, vm[j], v)
		}
	}
	mode := get(walkMode)
	TESTQ(U32(modeAdd), mode)
	JZ(LabelRef(at("zero")))
	{
		c, ldc := get(walkC), get(walkLDC)
		loadMasks()
		for i := range mr {
			for j := range s.vectors {
				load(Mem{Base: c, Disp: j * s.bytes}, j, acc[i][j])
			}
			ADDQ(ldc, c)
		}
	}
	JMP(LabelRef(at("begin")))
	Label(at("zero"))
	for i := range mr {
		for j := range s.vectors {
			VXORPS(acc[i][j], acc[i][j], acc[i][j])
		}
	}
	Label(at("begin"))
	k := get(walkK)
	rs, steps, pb, bs := get(walkRS), get(walkSteps), get(walkB), get(walkBS)
	pa := []reg.GPVirtual{get(walkA)}
	if mr > 3 {
		three := GP64()
		LEAQ(Mem{Base: rs, Index: rs, Scale: 2}, three)
		for i := 3; i < mr; i += 3 {
			r := GP64()
			LEAQ(Mem{Base: pa[len(pa)-1], Index: three, Scale: 1}, r)
			pa = append(pa, r)
		}
	}
	b := make([]reg.VecVirtual, s.vectors)
	for j := range b {
		b[j] = s.vec()
	}
	t := []reg.VecVirtual{s.vec(), s.vec()}
	d := GP64()
	step := func(n int) {
		for j := range b {
			VMOVUPS(Mem{Base: pb, Disp: j * s.bytes}, b[j])
		}
		for i := range mr {
			m := Mem{Base: pa[i/3]}
			if i%3 > 0 {
				m.Index, m.Scale = rs, uint8(i%3)
			}
			if s.masked && s.vectors == 1 {
				VFMADD231PS_BCST(m, b[0], acc[i][0])
				continue
			}
			VBROADCASTSS(m, t[i%2])
			for j := range b {
				VFMADD231PS(b[j], t[i%2], acc[i][j])
			}
		}
		MOVQ(Mem{Base: steps, Disp: 8 * n}, d)
		for _, r := range pa {
			ADDQ(d, r)
		}
		ADDQ(bs, pb)
	}
	SUBQ(Imm(4), k)
	JLT(LabelRef(at("rest")))
	Label(at("four"))
	for n := range 4 {
		step(n)
	}
	ADDQ(Imm(32), steps)
	SUBQ(Imm(4), k)
	JGE(LabelRef(at("four")))
	Label(at("rest"))
	ADDQ(Imm(4), k)
	JZ(LabelRef(at("sum")))
	Label(at("one"))
	step(0)
	ADDQ(Imm(8), steps)
	DECQ(k)
	JNZ(LabelRef(at("one")))
	Label(at("sum"))

	mode = get(walkMode)
	loadMasks()
	TESTQ(U32(modeBias), mode)
	JZ(LabelRef(at("biased")))
	{
		bias := get(walkBias)
		v := s.vec()
		for j := range s.vectors {
			load(Mem{Base: bias, Disp: j * s.bytes}, j, v)
			for i := range mr {
				VADDPS(v, acc[i][j], acc[i][j])
			}
		}
	}
	Label(at("biased"))
	TESTQ(U32(modeReLU), mode)
	JZ(LabelRef(at("store")))
	{
		zero := s.vec()
		VXORPS(zero, zero, zero)
		for i := range mr {
			for j := range s.vectors {
				VMAXPS(acc[i][j], zero, acc[i][j]) // a NaN stays: the second of Intel's operands
			}
		}
	}
	Label(at("store"))
	{
		c, ldc := get(walkC), get(walkLDC)
		for i := range mr {
			for j := range s.vectors {
				m := Mem{Base: c, Disp: j * s.bytes}
				if s.masked {
					VMOVUPS(acc[i][j], mask[j], m)
				} else {
					VMASKMOVPS(acc[i][j], vm[j], m)
				}
			}
			ADDQ(ldc, c)
		}
		MOVQ(c, field(walkC))
	}
	{
		a, r := get(walkA), get(walkRS)
		step := GP64()
		IMUL3Q(Imm(uint64(mr)), r, step)
		ADDQ(step, a)
		MOVQ(a, field(walkA))
	}
	JMP(LabelRef("next"))
}
