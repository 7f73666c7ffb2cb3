package main

// The matrix-product kernels: for each level one function that multiplies a
// column of register tiles.

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Offsets of the fields of kernel.panel.
const (
	offK      = 8 * iota
	offA      // *float32
	offRS     // bytes
	offCS     // bytes
	offB      // *float32
	offBS     // bytes
	offC      // *float32
	offLDC    // bytes
	offTiles  // tiles left
	offHeight // of the tiles now
	offTall   // tiles of that height, before those one lower
	offMode
	offBias     // *float32
	offMask     // AVX-512: two words of bits; AVX2: pointer to vectors of lanes
	offNext     // to be prefetched: two lines every two steps,
	offNextStep // this many bytes on,
	offNextEnd  // up to here
	offQueue    // *stream: what is fetched then,
	offQueueEnd // before this one
	offControl  // MXCSR meanwhile, 0: as it is; and in the next four bytes the one before
)

// Offsets of the fields of kernel.stream.
const (
	streamAt = 8 * iota
	streamStep
	streamEnd
	streamSize
)

// Bits of kernel.panel.mode.
const (
	modeAdd = 1 << iota
	modeBias
	modeReLU
)

// isa is a level with a number of vectors per row of a tile.
type isa struct {
	name    string
	bytes   int // of a vector
	vectors int // per row
	rows    int // largest tile
	masked  bool
	vec     func() reg.VecVirtual
	plain   bool // rows of b are whole vectors, whatever is stored of c
	pairs   bool // numbers of a and b are pairs of bfloat16
}

// products emits the kernels of every level.
func products() {
	panel(isa{name: "panel512x2", bytes: 64, vectors: 2, rows: 14, masked: true, vec: ZMM})
	panel(isa{name: "panel512x2plain", bytes: 64, vectors: 2, rows: 14, masked: true, vec: ZMM, plain: true})
	panel(isa{name: "panel512x1", bytes: 64, vectors: 1, rows: 14, masked: true, vec: ZMM})
	panel(isa{name: "panel512x1plain", bytes: 64, vectors: 1, rows: 14, masked: true, vec: ZMM, plain: true})
	panel(isa{name: "panel256x2", bytes: 32, vectors: 2, rows: 6, vec: YMM})
	peak(isa{name: "peak512", masked: true, vec: ZMM})
	peak(isa{name: "peak256", vec: YMM})
}

// peak emits func(n int): n rounds of twelve independent multiply-adds.
func peak(s isa) {
	TEXT(s.name, NOSPLIT, "func(n int)")
	n := Load(Param("n"), GP64())
	var v [12]reg.VecVirtual
	for i := range v {
		v[i] = s.vec()
		VXORPS(v[i], v[i], v[i])
	}
	Label("round")
	for i := range v {
		VFMADD231PS(v[i], v[i], v[i])
	}
	DECQ(n)
	JNZ(LabelRef("round"))
	VZEROUPPER()
	RET()
}

// panel emits a function of a *kernel.panel: it multiplies a column of tiles
// of nearly equal height, each by a jump to the code for its height.
func panel(s isa) {
	TEXT(s.name, NOSPLIT, "func(p *byte)")
	Pragma("noescape")
	p := Load(Param("p"), GP64())
	field := func(off int) Mem { return Mem{Base: p, Disp: off} }
	var k1, k2 reg.OpmaskVirtual
	if s.masked {
		bits := GP32()
		k1, k2 = K(), K()
		MOVL(field(offMask), bits)
		KMOVW(bits, k1)
		SHRL(U8(16), bits)
		KMOVW(bits, k2)
	}
	CMPL(field(offControl), Imm(0))
	JE(LabelRef("tile"))
	STMXCSR(field(offControl + 4))
	LDMXCSR(field(offControl))
	Label("tile")
	h, tall := GP64(), GP64()
	MOVQ(field(offHeight), h)
	MOVQ(field(offTall), tall)
	DECQ(tall)
	JGE(LabelRef("sized"))
	DECQ(h)
	MOVQ(h, field(offHeight))
	MOVQ(field(offTiles), tall) // no further change
	Label("sized")
	MOVQ(tall, field(offTall))
	DECQ(field(offTiles))
	for mr := s.rows; mr > 1; mr-- {
		CMPQ(h, Imm(uint64(mr)))
		JE(LabelRef(fmt.Sprintf("rows%d", mr)))
	}
	for mr := 1; mr <= s.rows; mr++ {
		tile(s, mr, field, k1, k2)
	}
	Label("next")
	CMPQ(field(offTiles), Imm(0))
	JG(LabelRef("tile"))
	CMPL(field(offControl), Imm(0))
	JE(LabelRef("done"))
	LDMXCSR(field(offControl + 4))
	Label("done")
	VZEROUPPER()
	RET()
}

// tile emits the code for mr rows.
func tile(s isa, mr int, field func(int) Mem, k1, k2 reg.OpmaskVirtual) {
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
			m := get(offMask)
			for j := range s.vectors {
				vm[j] = s.vec()
				VMOVUPS(Mem{Base: m, Disp: j * s.bytes}, vm[j])
			}
		}
	}
	// start: from c or from zero
	mode := get(offMode)
	TESTQ(U32(modeAdd), mode)
	JZ(LabelRef(at("zero")))
	{
		c, ldc := get(offC), get(offLDC)
		loadMasks()
		for i := range mr {
			for j := range s.vectors {
				m := Mem{Base: c, Disp: j * s.bytes}
				if s.masked {
					VMOVUPS_Z(m, mask[j], acc[i][j])
				} else {
					VMASKMOVPS(m, vm[j], acc[i][j])
				}
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
	k := get(offK)
	rs, cs, pb, bs := get(offRS), get(offCS), get(offB), get(offBS)
	pa := []reg.GPVirtual{get(offA)}
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
	step := func() {
		for j := range b {
			m := Mem{Base: pb, Disp: j * s.bytes}
			if s.masked && !s.plain { // costs Intel's processors a slot of multiply-adds
				VMOVUPS_Z(m, mask[j], b[j])
			} else {
				VMOVUPS(m, b[j])
			}
		}
		for i := range mr {
			m := Mem{Base: pa[i/3]}
			if i%3 > 0 {
				m.Index, m.Scale = rs, uint8(i%3)
			}
			if s.masked && s.vectors == 1 && !s.pairs {
				VFMADD231PS_BCST(m, b[0], acc[i][0])
				continue
			}
			VBROADCASTSS(m, t[i%2])
			for j := range b {
				if s.pairs {
					dotPairs(b[j], t[i%2], acc[i][j])
				} else {
					VFMADD231PS(b[j], t[i%2], acc[i][j])
				}
			}
		}
		for _, r := range pa {
			ADDQ(cs, r)
		}
		ADDQ(bs, pb)
	}
	next, nextStep := get(offNext), get(offNextStep)
	CMPQ(next, field(offNextEnd))
	JLT(LabelRef(at("ahead")))
	MOVQ(field(offQueue), next)
	CMPQ(next, field(offQueueEnd))
	JGE(LabelRef(at("nothing")))
	ADDQ(Imm(streamSize), field(offQueue))
	MOVQ(Mem{Base: next, Disp: streamEnd}, nextStep)
	MOVQ(nextStep, field(offNextEnd))
	MOVQ(Mem{Base: next, Disp: streamStep}, nextStep)
	MOVQ(nextStep, field(offNextStep))
	MOVQ(Mem{Base: next, Disp: streamAt}, next)
	MOVQ(next, field(offNext))
	JMP(LabelRef(at("ahead")))
	Label(at("nothing"))
	MOVQ(pb, next)
	XORQ(nextStep, nextStep)
	Label(at("ahead"))
	SUBQ(Imm(4), k)
	JLT(LabelRef(at("rest")))
	Label(at("four"))
	ahead := max(2, 4/mr) // low tiles pass fast
	for i := range 4 {
		if i*ahead%4 < ahead {
			PREFETCHT1(Mem{Base: next})
			PREFETCHT1(Mem{Base: next, Disp: 64})
			ADDQ(nextStep, next)
		}
		step()
	}
	SUBQ(Imm(4), k)
	JGE(LabelRef(at("four")))
	TESTQ(nextStep, nextStep)
	JZ(LabelRef(at("rest")))
	MOVQ(next, field(offNext))
	Label(at("rest"))
	ADDQ(Imm(4), k)
	JZ(LabelRef(at("sum")))
	Label(at("one"))
	step()
	DECQ(k)
	JNZ(LabelRef(at("one")))
	Label(at("sum"))

	mode = get(offMode)
	loadMasks()
	TESTQ(U32(modeBias), mode)
	JZ(LabelRef(at("biased")))
	{
		bias := get(offBias)
		v := s.vec()
		for j := range s.vectors {
			m := Mem{Base: bias, Disp: j * s.bytes}
			if s.masked {
				VMOVUPS_Z(m, mask[j], v)
			} else {
				VMASKMOVPS(m, vm[j], v)
			}
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
		c, ldc := get(offC), get(offLDC)
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
		MOVQ(c, field(offC))
	}
	{
		a, r := get(offA), get(offRS)
		step := GP64()
		IMUL3Q(Imm(uint64(mr)), r, step)
		ADDQ(step, a)
		MOVQ(a, field(offA))
	}
	JMP(LabelRef("next"))
}
