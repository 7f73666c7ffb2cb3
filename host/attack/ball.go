package attack

import (
	"cmp"
	"math"
	"slices"
)

// Valid reports whether n is one of the four norms.
func (n Norm) Valid() bool { return n == Linf || n == L2 || n == L1 || n == L0 }

// Distance is the norm of b − a, in float64.
func (n Norm) Distance(a, b []float32) float64 {
	s := 0.0
	for i, v := range a {
		d := math.Abs(float64(b[i]) - float64(v))
		switch n {
		case Linf:
			s = max(s, d)
		case L2:
			s += float64(d * d)
		case L1:
			s += d
		case L0:
			if d != 0 {
				s++
			}
		default:
			panic("attack: unknown norm")
		}
	}
	if n == L2 {
		return math.Sqrt(s)
	}
	return s
}

// Length is the norm of d, in float64.
func (n Norm) Length(d []float32) float64 {
	s := 0.0
	for _, v := range d {
		a := math.Abs(float64(v))
		switch n {
		case Linf:
			s = max(s, a)
		case L2:
			s += float64(a * a)
		case L1:
			s += a
		case L0:
			if a != 0 {
				s++
			}
		default:
			panic("attack: unknown norm")
		}
	}
	if n == L2 {
		return math.Sqrt(s)
	}
	return s
}

// Project moves y, in place, into the box, which must hold x, and then to the
// nearest point of the ball of radius b.Eps around x (for L0: the one that
// keeps the largest changes), which does not leave the box. Rounding never
// leaves the ball: the distance in float64 is at most Eps. Under
// Options.Constraints, columns that cannot move stay and ranges hold; the runner
// does the rest.
func (b Budget) Project(x, y []float32) {
	b.Box.Clip(y)
	if b.legal != nil {
		b.legal.relax(x, y)
	}
	if math.IsInf(b.Eps, 1) {
		return
	}
	switch b.Norm {
	case Linf:
		for i, v := range x {
			y[i] = nearWithin(v, y[i], b.Eps)
		}
	case L0:
		keepLargest(x, y, int(b.Eps))
	case L2, L1:
		b.shrink(x, y)
	default:
		panic("attack: unknown norm")
	}
}

// nearWithin clamps y to [x − eps, x + eps], rounded towards x.
func nearWithin(x, y float32, eps float64) float32 {
	d := float64(y) - float64(x)
	if d >= -eps && d <= eps {
		return y
	}
	y = float32(float64(x) + math.Copysign(eps, d))
	for math.Abs(float64(y)-float64(x)) > eps {
		y = math.Nextafter32(y, x)
	}
	return y
}

// shrink projects onto the L1 or L2 ball. A result that rounding put outside
// is projected again, onto a ball that is smaller by a few units in the last
// place.
func (b Budget) shrink(x, y []float32) {
	radius := b.Eps
	for k := 0; b.Norm.Distance(x, y) > b.Eps; k++ {
		if k == 60 { // units so coarse that no float32 but x itself fits
			copy(y, x)
			return
		}
		if b.Norm == L2 {
			s := radius / L2.Distance(x, y)
			for i, v := range x {
				y[i] = float32(float64(v) + float64(s*(float64(y[i])-float64(v))))
			}
		} else {
			simplex(x, y, radius)
		}
		radius = b.Eps * (1 - 1e-7*float64(int64(1)<<min(k, 40)))
		radius = max(radius, 0)
	}
}

// simplex is the Euclidean projection onto the L1 ball (Duchi et al. 2008,
// Figure 1): soft-thresholding at the value that brings the sum to radius.
func simplex(x, y []float32, radius float64) {
	u := make([]float64, len(x))
	for i, v := range x {
		u[i] = math.Abs(float64(y[i]) - float64(v))
	}
	slices.SortFunc(u, func(a, b float64) int { return cmp.Compare(b, a) })
	sum, theta := 0.0, 0.0
	for k, v := range u {
		sum += v
		if t := (sum - radius) / float64(k+1); v > t {
			theta = t
		} else {
			break
		}
	}
	for i, v := range x {
		d := float64(y[i]) - float64(v)
		m := max(math.Abs(d)-theta, 0)
		y[i] = float32(float64(v) + math.Copysign(m, d))
	}
}

// keepLargest undoes all but the k largest changes.
func keepLargest(x, y []float32, k int) {
	idx := make([]int, 0, len(x))
	for i := range x {
		if x[i] != y[i] {
			idx = append(idx, i)
		}
	}
	if len(idx) <= k {
		return
	}
	size := func(i int) float64 { return math.Abs(float64(y[i]) - float64(x[i])) }
	slices.SortStableFunc(idx, func(a, b int) int { return cmp.Compare(size(b), size(a)) })
	for _, i := range idx[k:] {
		y[i] = x[i]
	}
}
