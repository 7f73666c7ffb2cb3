package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// halves emits products of bfloat16 and what makes their operands: pairs, the
// earlier number in the higher half.
func halves() {
	panel(isa{name: "pairs512x2", bytes: 64, vectors: 2, rows: 14, masked: true, vec: ZMM, plain: true, pairs: true})
	panel(isa{name: "pairs512x1", bytes: 64, vectors: 1, rows: 14, masked: true, vec: ZMM, plain: true, pairs: true})
	pairAlong()
	pairRows()
	for _, l := range levels() {
		l.mapping("toHalf", []string{"y", "x"}, []string{"x"}, nil, func(o *operands) { o.store("y", l.toHalf(o.v["x"])) })
	}
}

// toHalf rounds to bfloat16, ties to even, as VCVTNE2PS2BF16 does: what is
// subnormal becomes 0, a NaN a quiet one.
func (l *lanes) toHalf(x value) value {
	odd := l.and(l.shr(x, 16), bits(1))
	y := l.and(l.addInt(l.addInt(x, bits(0x7fff)), odd), bits(0xffff0000))
	size := l.and(x, bits(^uint32(signBit)))
	l.pick(l.compare(lessThan, size, num(0x1p-126)), l.and(x, bits(signBit)), y)
	l.pick(l.compare(3, x, x), bits(0x7fc00000), y)
	return y
}

// opmask is a mask of the bits.
func opmask(bits reg.GPVirtual) reg.OpmaskVirtual {
	k := K()
	KMOVW(bits.As32(), k)
	return k
}

// pairAlong emits pairAlong512: rows of n numbers, sld bytes apart, to rows of
// pairs of neighbours, dld bytes apart. After an odd number comes 0.
func pairAlong() {
	TEXT("pairAlong512", NOSPLIT, "func(d, src *float32, dld, sld, rows, n int)")
	Pragma("noescape")
	d, src := Load(Param("d"), GP64()), Load(Param("src"), GP64())
	dld, sld := Load(Param("dld"), GP64()), Load(Param("sld"), GP64())
	rows, n := Load(Param("rows"), GP64()), Load(Param("n"), GP64())
	rest, ones, some := GP64(), GP64(), GP64()
	MOVQ(n, rest)
	ANDQ(Imm(31), rest)
	SHRQ(Imm(5), n)
	MOVQ(I64(-1), ones)
	BZHIQ(rest, ones, some)
	k1 := opmask(some)
	SHRL(Imm(16), some.As32())
	k2 := opmask(some)
	words := GP64()
	LEAQ(Mem{Base: rest, Disp: 1}, words)
	SHRQ(Imm(1), words)
	BZHIQ(words, ones, some)
	k3 := opmask(some)
	a, b := ZMM(), ZMM()
	Label("row")
	from, to, i := GP64(), GP64(), GP64()
	MOVQ(src, from)
	MOVQ(d, to)
	MOVQ(n, i)
	TESTQ(i, i)
	JZ(LabelRef("tail"))
	Label("vector")
	VMOVUPS(Mem{Base: from}, a)
	VMOVUPS(Mem{Base: from, Disp: 64}, b)
	narrow(a, b, a)
	VPRORD(Imm(16), a, a)
	VMOVUPS(a, Mem{Base: to})
	ADDQ(Imm(128), from)
	ADDQ(Imm(64), to)
	DECQ(i)
	JNZ(LabelRef("vector"))
	Label("tail")
	TESTQ(rest, rest)
	JZ(LabelRef("next"))
	VMOVUPS_Z(Mem{Base: from}, k1, a)
	VMOVUPS_Z(Mem{Base: from, Disp: 64}, k2, b)
	narrow(a, b, a)
	VPRORD(Imm(16), a, a)
	VMOVUPS(a, k3, Mem{Base: to})
	Label("next")
	ADDQ(sld, src)
	ADDQ(dld, d)
	DECQ(rows)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}

// pairRows emits pairRows512: rows of src, ld bytes apart, pair with those of
// below, which are also ld apart. Each pair of rows is cut into panels of 32
// columns, of which mask says which there are; rows of a panel are dld bytes
// apart, panels step bytes.
func pairRows() {
	TEXT("pairRows512", NOSPLIT, "func(d, src, below *float32, ld, pairs, panels, dld, step, mask int)")
	Pragma("noescape")
	d, src, below := Load(Param("d"), GP64()), Load(Param("src"), GP64()), Load(Param("below"), GP64())
	ld, pairs, panels := Load(Param("ld"), GP64()), Load(Param("pairs"), GP64()), Load(Param("panels"), GP64())
	dld, step := Load(Param("dld"), GP64()), Load(Param("step"), GP64())
	mask := Load(Param("mask"), GP64()).(reg.GPVirtual)
	k1 := opmask(mask)
	SHRL(Imm(16), mask.As32())
	k2 := opmask(mask)
	order := ZMM()
	at := GLOBL("pair_order", NOPTR|RODATA)
	for i := range 16 { // a word of the lower half, then the one of the higher half
		DATA(4*i, U32(i|(i+16)<<16))
	}
	VMOVUPS(at, order)
	a, b := ZMM(), ZMM()
	Label("row")
	i, n, to := GP64(), GP64(), GP64()
	XORQ(i, i)
	MOVQ(panels, n)
	MOVQ(d, to)
	Label("panel")
	for j, k := range []reg.OpmaskVirtual{k1, k2} {
		VMOVUPS_Z(Mem{Base: src, Index: i, Scale: 1, Disp: 64 * j}, k, a)
		VMOVUPS_Z(Mem{Base: below, Index: i, Scale: 1, Disp: 64 * j}, k, b)
		narrow(b, a, a)
		VPERMW(a, order, a)
		VMOVUPS(a, Mem{Base: to, Disp: 64 * j})
	}
	ADDQ(Imm(128), i)
	ADDQ(step, to)
	DECQ(n)
	JNZ(LabelRef("panel"))
	ADDQ(ld, src)
	ADDQ(ld, below)
	ADDQ(dld, d)
	DECQ(pairs)
	JNZ(LabelRef("row"))
	VZEROUPPER()
	RET()
}
