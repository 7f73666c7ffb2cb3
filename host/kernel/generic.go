package kernel

// ops is what a level provides.
type ops struct {
	mr, nr int // largest register tile of rows × columns

	// masked: panels may be read where they lie even if narrower than nr.
	masked bool

	// direct is up to how many rows of a a row-major b is used where it lies.
	direct int

	activate     func(y, x []float32, a Act)
	activateGrad func(dx, dy, y []float32, a Act) // y: the input where a.NeedsInput()

	exp, log          func(y, x []float32)
	toHalf            func(y, x []float32)               // rounds to bfloat16
	axpy              func(y, x []float32, s float32)    // y += s·x
	scale             func(y, x []float32, s, o float32) // y = s·x + o
	mul, mulAdd       func(y, a, b []float32)            // y = a·b, y += a·b
	mulPlus           func(y, x, s, o []float32)         // y = x·s + o
	reparametrize     func(z, mu, logvar, eps []float32)
	reparametrizeGrad func(dlogvar, dz, logvar, eps []float32)
	softmax           func(y, x []float32, width int)
	logSoftmax        func(y, x []float32, width int)
	softmaxGrad       func(dx, dy, y []float32, width int)

	// sumColumns sums rows of x, ld apart, in order; rows is at least 1.
	sumColumns func(d, x []float32, ld, rows int)

	// maxInto takes the maximum of y and x, whose numbers are at offset at and
	// on; arg, if not nil, follows. A NaN is the maximum.
	maxInto func(y []float32, arg []int32, x []float32, at int)

	adam     func(p, g, m, v []float32, s *AdamStep)
	momentum func(p, g, v []float32, lr, mu float32, nesterov bool)
	rmsprop  func(p, g, s []float32, lr, rho, eps float32)

	// uniform and normal make numbers 4·block … of the stream.
	uniform, normal func(dst *[randomRun]float32, k *Key, block uint64)
}

var genericOps = ops{
	mr: 8, nr: 16, direct: 8,
	activate:     activateGo,
	activateGrad: activateGradGo,

	exp: expGo, log: logGo, toHalf: toHalfGo,
	axpy: axpyGo, scale: scaleGo, mul: mulGo, mulAdd: mulAddGo, mulPlus: mulPlusGo,
	reparametrize: reparametrizeGo, reparametrizeGrad: reparametrizeGradGo,
	softmax: softmaxGo, logSoftmax: logSoftmaxGo, softmaxGrad: softmaxGradGo, sumColumns: sumColumnsGo,
	maxInto: maxIntoGo,
	adam:    adamGo, momentum: momentumGo, rmsprop: rmspropGo,
	uniform: uniformGo, normal: normalGo,
}

// tileGo computes h×w elements of c.
func tileGo(k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc, h, w, mode int, bias []float32) {
	for i := 0; i < h; i += 2 {
		for j := 0; j < w; j += 4 {
			if i+2 <= h && j+4 <= w {
				tile2x4(k, a[min(len(a), i*rs):], rs, cs, b[min(len(b), j):], bs, c[i*ldc+j:], ldc, mode&tileAdd != 0)
				continue
			}
			for i1 := i; i1 < min(h, i+2); i1++ {
				for j1 := j; j1 < min(w, j+4); j1++ {
					var s float32
					if mode&tileAdd != 0 {
						s = c[i1*ldc+j1]
					}
					for p := range k {
						s += float32(a[i1*rs+p*cs] * b[p*bs+j1])
					}
					c[i1*ldc+j1] = s
				}
			}
		}
		if mode&(tileBias|tileReLU) == 0 {
			continue
		}
		for i1 := i; i1 < min(h, i+2); i1++ {
			row := c[i1*ldc : i1*ldc+w]
			if mode&tileBias != 0 {
				for j, v := range bias[:w] {
					row[j] += v
				}
			}
			if mode&tileReLU != 0 {
				for j, v := range row {
					if v < 0 {
						row[j] = 0
					}
				}
			}
		}
	}
}

// tile2x4 keeps eight sums in registers.
func tile2x4(k int, a []float32, rs, cs int, b []float32, bs int, c []float32, ldc int, add bool) {
	var s00, s01, s02, s03, s10, s11, s12, s13 float32
	if add {
		r := c[:4]
		s00, s01, s02, s03 = r[0], r[1], r[2], r[3]
		r = c[ldc : ldc+4]
		s10, s11, s12, s13 = r[0], r[1], r[2], r[3]
	}
	ia, ib := 0, 0
	for range k {
		a0, a1 := a[ia], a[ia+rs]
		r := b[ib : ib+4 : ib+4]
		b0, b1, b2, b3 := r[0], r[1], r[2], r[3]
		s00 += float32(a0 * b0)
		s01 += float32(a0 * b1)
		s02 += float32(a0 * b2)
		s03 += float32(a0 * b3)
		s10 += float32(a1 * b0)
		s11 += float32(a1 * b1)
		s12 += float32(a1 * b2)
		s13 += float32(a1 * b3)
		ia += cs
		ib += bs
	}
	r := c[:4]
	r[0], r[1], r[2], r[3] = s00, s01, s02, s03
	r = c[ldc : ldc+4]
	r[0], r[1], r[2], r[3] = s10, s11, s12, s13
}
