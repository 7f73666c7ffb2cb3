package main

import (
	"math"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// operands are what a map's body works on: loaded vectors and scalars, by name.
type operands struct {
	l *lanes
	v map[string]value
	p map[string]reg.Register
	i reg.GPVirtual
}

func (o *operands) store(name string, v value) {
	o.l.store(v, Mem{Base: o.p[name], Index: o.i, Scale: 1})
}

// mapping emits func(n int, arrays *float32, scalars float32) that runs the
// body over n elements, a vector at a time and the last ones masked. Arrays
// named in loads are loaded before the body.
func (l *lanes) mapping(name string, arrays, loads, scalars []string, body func(o *operands)) {
	sig := "func(n int, " + strings.Join(arrays, ", ") + " *float32"
	if len(scalars) > 0 {
		sig += ", " + strings.Join(scalars, ", ") + " float32"
	}
	TEXT(name+l.suffix, NOSPLIT, sig+")")
	Pragma("noescape")
	n := Load(Param("n"), GP64())
	o := &operands{l: l, v: map[string]value{}, p: map[string]reg.Register{}, i: GP64()}
	for _, a := range arrays {
		o.p[a] = Load(Param(a), GP64())
	}
	for _, s := range scalars {
		x := XMM()
		Load(Param(s), x)
		v := l.vec()
		VBROADCASTSS(x, v)
		o.v[s] = v
	}
	XORQ(o.i, o.i)
	round := func() {
		for _, a := range loads {
			o.v[a] = l.load(Mem{Base: o.p[a], Index: o.i, Scale: 1})
		}
		body(o)
	}
	width := l.bytes / 4
	SUBQ(Imm(uint64(width)), n)
	JL(LabelRef("tail"))
	Label("loop")
	round()
	ADDQ(Imm(uint64(l.bytes)), o.i)
	SUBQ(Imm(uint64(width)), n)
	JGE(LabelRef("loop"))
	Label("tail")
	ADDQ(Imm(uint64(width)), n)
	JZ(LabelRef("done"))
	l.masked(n, func() { round() })
	Label("done")
	VZEROUPPER()
	RET()
}

// masked emits f with loads and stores of the first n lanes only, 0 < n < all.
func (l *lanes) masked(n reg.Register, f func()) {
	l.tail = true
	if l.wide {
		ones := GP64()
		MOVQ(I64(-1), ones)
		l.k = K()
		b := GP64()
		BZHIQ(n, ones, b)
		KMOVW(b.As32(), l.k)
	} else {
		at := GP64()
		LEAQ(maskTable(), at)
		NEGQ(n)
		l.m = l.vec()
		VMOVUPS(Mem{Base: at, Index: n, Scale: 4, Disp: 32}, l.m)
	}
	f()
	l.tail = false
}

var table *Mem

// maskTable is eight lanes that hold and eight that do not.
func maskTable() Mem {
	if table == nil {
		m := GLOBL("lanes_mask", NOPTR|RODATA)
		for i := range 16 {
			u := uint32(0)
			if i < 8 {
				u = math.MaxUint32
			}
			DATA(4*i, U32(u))
		}
		table = &m
	}
	return *table
}

// maps emits the element-wise functions.
func maps() {
	yx := []string{"y", "x"}
	for _, l := range levels() {
		for _, f := range []struct {
			name string
			f    func(x value) value
		}{
			{"exp", l.exp}, {"log", l.log},
		} {
			l.mapping(f.name, yx, []string{"x"}, nil, func(o *operands) { o.store("y", f.f(o.v["x"])) })
		}
		l.mapping("axpy", yx, yx, []string{"s"}, func(o *operands) {
			VFMADD231PS(o.v["x"], o.v["s"], o.v["y"])
			o.store("y", o.v["y"])
		})
		l.mapping("scale", yx, []string{"x"}, []string{"s", "o"}, func(o *operands) {
			VFMADD213PS(o.v["o"], o.v["s"], o.v["x"])
			o.store("y", o.v["x"])
		})
		l.mapping("less", yx, []string{"x"}, []string{"s", "t"}, func(o *operands) {
			o.store("y", l.sub(l.sub(o.v["x"], o.v["s"]), o.v["t"]))
		})
		yab := []string{"y", "a", "b"}
		l.mapping("mul", yab, []string{"a", "b"}, nil, func(o *operands) {
			o.store("y", l.mul(o.v["a"], o.v["b"]))
		})
		l.mapping("mulAdd", yab, yab, nil, func(o *operands) {
			VFMADD231PS(o.v["a"], o.v["b"], o.v["y"])
			o.store("y", o.v["y"])
		})
		l.mapping("mulPlus", []string{"y", "x", "s", "o"}, []string{"x", "s", "o"}, nil, func(o *operands) {
			VFMADD231PS(o.v["x"], o.v["s"], o.v["o"])
			o.store("y", o.v["o"])
		})
		l.mapping("reparametrize", []string{"z", "mu", "logvar", "eps"}, []string{"mu", "logvar", "eps"}, nil, func(o *operands) {
			sd := l.exp(l.mul(o.v["logvar"], num(.5)))
			VFMADD213PS(o.v["mu"], o.v["eps"], sd)
			o.store("z", sd)
		})
		l.mapping("reparametrizeGrad", []string{"d", "dz", "logvar", "eps"}, []string{"dz", "logvar", "eps"}, nil, func(o *operands) {
			sd := l.exp(l.mul(o.v["logvar"], num(.5)))
			o.store("d", l.mul(l.mul(o.v["dz"], o.v["eps"]), l.mul(sd, num(.5))))
		})
		l.mapping("softmaxGrad", []string{"dx", "dy", "y"}, []string{"dy", "y"}, []string{"s"}, func(o *operands) {
			o.store("dx", l.mul(l.sub(o.v["dy"], o.v["s"]), o.v["y"]))
		})
		l.maximum()
		l.activations()
		l.optimisers()
	}
}

// seluAlpha and seluScale as in host/kernel.
const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

// activations emits the activations act… and their gradients grad….
func (l *lanes) activations() {
	act := func(name string, f func(o *operands, x value) value) {
		l.mapping("act"+name, []string{"y", "x"}, []string{"x"}, []string{"alpha"}, func(o *operands) {
			o.store("y", f(o, o.v["x"]))
		})
	}
	negative := func(x value) mask { return l.compare(lessThan, x, num(0)) }
	act("ReLU", func(_ *operands, x value) value { return l.max(x, num(0)) })
	act("LeakyReLU", func(o *operands, x value) value {
		m := negative(x)
		l.pick(m, l.mul(x, o.v["alpha"]), x)
		return x
	})
	act("ELU", func(o *operands, x value) value {
		y := l.mul(l.expm1(x), o.v["alpha"])
		l.pick(negative(x), y, x)
		return x
	})
	act("SELU", func(_ *operands, x value) value {
		y := l.mul(l.expm1(x), num(seluScale*seluAlpha))
		z := l.mul(x, num(seluScale))
		l.pick(negative(x), y, z)
		return z
	})
	act("GELU", func(_ *operands, x value) value { return l.gelu(x) })
	act("SiLU", func(_ *operands, x value) value {
		x = l.max(x, num(-110)) // not −∞·0
		return l.mul(l.sigmoid(x), x)
	})
	act("Softplus", func(_ *operands, x value) value { return l.softplus(x) })
	act("Tanh", func(_ *operands, x value) value { return l.tanh(x) })
	act("Sigmoid", func(_ *operands, x value) value { return l.sigmoid(x) })

	// y is the result, or the input where the activation needs it.
	grad := func(name string, f func(o *operands, d, y value) value) {
		l.mapping("grad"+name, []string{"dx", "dy", "y"}, []string{"dy", "y"}, []string{"alpha"}, func(o *operands) {
			o.store("dx", f(o, o.v["dy"], o.v["y"]))
		})
	}
	const lessEqual = 18
	low := func(y value) mask { return l.compare(lessEqual, y, num(0)) }
	grad("ReLU", func(_ *operands, d, y value) value {
		l.pick(low(y), num(0), d)
		return d
	})
	grad("LeakyReLU", func(o *operands, d, y value) value {
		l.pick(low(y), l.mul(d, o.v["alpha"]), d)
		return d
	})
	grad("ELU", func(o *operands, d, y value) value {
		l.pick(low(y), l.mul(d, l.add(y, o.v["alpha"])), d)
		return d
	})
	grad("SELU", func(_ *operands, d, y value) value {
		r := l.mul(d, num(seluScale))
		l.pick(low(y), l.mul(d, l.add(y, num(seluScale*seluAlpha))), r)
		return r
	})
	grad("GELU", func(_ *operands, d, x value) value {
		x = l.max(l.min(x, num(20)), num(-20))
		t := l.mul(l.mul(x, x), num(-.5))
		p := l.mul(l.mul(l.exp(t), x), num(1/math.Sqrt(2*math.Pi)))
		c := l.erf(l.mul(x, num(math.Sqrt2/2)))
		VFMADD213PS(num(.5), l.constant(num(.5)), c)
		return l.mul(d, l.add(c, p))
	})
	grad("SiLU", func(_ *operands, d, x value) value {
		x = l.max(l.min(x, num(110)), num(-110))
		s := l.sigmoid(x)
		t := l.sub(l.constant(num(1)), s)
		VFMADD213PS(num(1), x, t)
		return l.mul(d, l.mul(s, t))
	})
	grad("Softplus", func(_ *operands, d, y value) value {
		return l.mul(d, l.xor(l.expm1(l.xor(y, bits(signBit))), bits(signBit)))
	})
	grad("Tanh", func(_ *operands, d, y value) value {
		t := l.constant(num(1))
		VFNMADD231PS(y, y, t)
		return l.mul(d, t)
	})
	grad("Sigmoid", func(_ *operands, d, y value) value {
		return l.mul(d, l.mul(y, l.sub(l.constant(num(1)), y)))
	})
}

// maximum emits y = max(y, x) with the place of the maximum in arg: at plus the
// index, where at is an integer passed as the float32 of the same bits. A NaN
// is the maximum.
func (l *lanes) maximum() {
	const unordered = 3
	arrays := []string{"y", "x", "arg"}
	l.mapping("maxArg", arrays, arrays, []string{"at"}, func(o *operands) {
		y, x, arg := o.v["y"], o.v["x"], o.v["arg"]
		i, b := GP64(), XMM()
		MOVQ(o.i, i)
		SHRQ(Imm(2), i)
		VMOVD(i.As32(), b)
		here := l.vec()
		VPBROADCASTD(b, here)
		here = l.addInt(l.addInt(here, laneNumbers()), o.v["at"])
		more, nan := l.compare(lessThan, y, x), l.compare(unordered, x, x)
		for _, m := range []mask{more, nan} {
			l.pick(m, x, y)
			l.pick(m, here, arg)
		}
		o.store("y", y)
		o.store("arg", arg)
	})
	l.mapping("max", []string{"y", "x"}, []string{"y", "x"}, nil, func(o *operands) {
		y, x := o.v["y"], o.v["x"]
		nan := l.compare(unordered, x, x)
		VMAXPS(y, x, y) // a NaN in y stays
		l.pick(nan, x, y)
		o.store("y", y)
	})
}

// optimisers emits the updates of params.
func (l *lanes) optimisers() {
	pgmv := []string{"p", "dp", "m", "v"}
	l.mapping("adam", pgmv, pgmv, []string{"c1", "c2", "eps", "rate", "decay"}, func(o *operands) {
		m, v, g, p := o.v["m"], o.v["v"], o.v["dp"], o.v["p"]
		VFMADD231PS(l.sub(g, m), o.v["c1"], m)
		VFMSUB213PS(v, g, g) // g² − v
		VFMADD231PS(g, o.v["c2"], v)
		o.store("m", m)
		o.store("v", v)
		VFNMADD231PS(p, o.v["decay"], p)
		step := l.div(l.mul(m, o.v["rate"]), l.add(l.sqrt(v), o.v["eps"]))
		o.store("p", l.sub(p, step))
	})
	pgv := []string{"p", "dp", "v"}
	for _, nesterov := range []bool{false, true} {
		name := "momentum"
		if nesterov {
			name = "nesterov"
		}
		l.mapping(name, pgv, pgv, []string{"lr", "mu"}, func(o *operands) {
			v := o.v["v"]
			d := l.mul(o.v["dp"], o.v["lr"])
			VFMSUB213PS(d, o.v["mu"], v) // μv − lr·g
			o.store("v", v)
			if nesterov {
				VFMSUB213PS(d, o.v["mu"], v)
			}
			o.store("p", l.add(o.v["p"], v))
		})
	}
	pgs := []string{"p", "dp", "s"}
	l.mapping("rmsprop", pgs, pgs, []string{"lr", "rho", "one", "eps"}, func(o *operands) {
		g, s := o.v["dp"], o.v["s"]
		t := l.mul(l.mul(g, g), o.v["one"])
		VFMADD213PS(t, o.v["rho"], s)
		o.store("s", s)
		step := l.div(l.mul(g, o.v["lr"]), l.sqrt(l.add(s, o.v["eps"])))
		o.store("p", l.sub(o.v["p"], step))
	})
}
