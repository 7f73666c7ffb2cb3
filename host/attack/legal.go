package attack

import (
	"cmp"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// legal are constraints within the ball and box of one run.
//
// A legal row in a ball is found unit by unit, where a unit is an integer
// column or a one-hot group: it moves as a whole or not at all. Units go first,
// in the order of how much of their move the proposal has made already (of
// equals the first), each as far as what is left of the ball lets it: an
// integer that cannot be rounded to the nearest is rounded towards the row
// before, a category that is too far stays. The other columns are then
// projected onto the ball that the units leave. So no row leaves the ball, an
// eps below the step of a unit holds it still, and for linf, where units do not
// share eps, the result is the nearest legal row of the ball (in raw units).
type legal struct {
	c     *Constraints
	norm  Norm
	eps   float64
	slots []slot
	group [][]int // those that can move
	x0    *tensor.Tensor
}

// slot is one column.
type slot struct {
	Column
	lo, hi   float32 // least and largest number
	least    float64 // whole raw numbers: the smallest and
	most     float64 // the largest in range and box
	box      [2]float32
	still    bool // immutable, or no step fits into the ball
	discrete bool
	grouped  bool
}

func newLegal(c *Constraints, b Budget) *legal {
	l := &legal{c: c, norm: b.Norm, eps: b.Eps, slots: make([]slot, len(c.Columns))}
	for j, k := range c.Columns {
		s := slot{Column: k, discrete: k.Integer, still: k.Immutable || k.Integer && 1/math.Abs(k.scale()) > b.Eps && b.Norm != L0}
		s.box = [2]float32{float32(math.Inf(-1)), float32(math.Inf(1))}
		if len(b.Box.Lo) > 0 {
			s.box[0], s.box[1] = b.Box.At(j)
		}
		s.within(k.bounds())
		l.slots[j] = s
	}
	for _, group := range c.Groups {
		still := c.immutable(group) || l.tooFar(group)
		for _, j := range group {
			s := &l.slots[j]
			s.grouped, s.discrete, s.still = true, true, still
			s.within(math.Inf(-1), math.Inf(1))
		}
		if !still {
			l.group = append(l.group, group)
		}
	}
	return l
}

// within settles the range of a slot: min and max of the raw value, in the box.
func (s *slot) within(lo, hi float64) {
	a, b := s.code(lo), s.code(hi)
	if s.scale() < 0 {
		a, b = b, a
	}
	out := func(x float32) bool { return s.raw(x) < lo || s.raw(x) > hi }
	if out(a) { // rounding stepped over the edge
		a = math.Nextafter32(a, float32(math.Inf(1)))
	}
	if out(b) {
		b = math.Nextafter32(b, float32(math.Inf(-1)))
	}
	s.lo, s.hi = max(a, s.box[0]), min(b, s.box[1])
	p, q := s.raw(s.box[0]), s.raw(s.box[1])
	p, q = min(p, q), max(p, q)
	if !math.IsInf(p, 0) {
		p -= s.tolerance(p)
	}
	if !math.IsInf(q, 0) {
		q += s.tolerance(q)
	}
	s.least, s.most = math.Ceil(max(lo, p)), math.Floor(min(hi, q))
}

// whole is the number for the whole raw value v. Within rounding of the box it
// is the box's edge.
func (s *slot) whole(v float64) float32 { return min(max(s.code(v), s.box[0]), s.box[1]) }

// tooFar reports whether no two categories of a group are within eps of each
// other.
func (l *legal) tooFar(group []int) bool {
	if len(group) < 2 {
		return false
	}
	steps := make([]float64, len(group))
	for i, j := range group {
		steps[i] = 1 / math.Abs(l.c.Columns[j].scale())
	}
	slices.Sort(steps)
	return !l.fits(l.add(l.add(0, steps[0]), steps[1]), l.eps*(1+1e-6)) // codes are rounded
}

// add adds a move along one column to what is spent, which fits compares with a
// radius: for l2 it is a sum of squares.
func (l *legal) add(spent, d float64) float64 {
	switch l.norm {
	case Linf:
		return max(spent, d)
	case L2:
		return spent + float64(d*d)
	case L1:
		return spent + d
	default:
		if d != 0 {
			spent++
		}
		return spent
	}
}

func (l *legal) fits(spent, eps float64) bool {
	if l.norm == L2 {
		return math.Sqrt(spent) <= eps
	}
	return spent <= eps
}

// left is the radius that is left of eps.
func (l *legal) left(spent, eps float64) float64 {
	switch l.norm {
	case Linf:
		return eps
	case L2:
		return math.Sqrt(max(float64(eps*eps)-spent, 0))
	default:
		return max(eps-spent, 0)
	}
}

// rows are the legal rows for candidates of some rows of the batch.
func (l *legal) rows(rows []int, x *tensor.Tensor) *tensor.Tensor {
	y := x.Clone()
	for k, i := range rows {
		if finite(y.Row(k)) {
			l.project(l.x0.Row(i), y.Row(k))
		}
	}
	return y
}

// of is l for a batch.
func (l *legal) of(x0 *tensor.Tensor) *legal {
	out := *l
	out.x0 = x0
	return &out
}

// relax holds y to what of the constraints is convex: columns that stand still,
// and ranges.
func (l *legal) relax(x0, y []float32) {
	for j := range l.slots {
		s := &l.slots[j]
		if s.still {
			y[j] = x0[j]
			continue
		}
		y[j] = min(max(y[j], min(s.lo, x0[j])), max(s.hi, x0[j]))
	}
}

// snap gives changed numbers, which are legal to within the rounding of a change
// of units, the bits of their codes and ranges.
func (l *legal) snap(x0, y []float32) {
	for j := range l.slots {
		s := &l.slots[j]
		if y[j] == x0[j] {
			continue
		}
		if !s.discrete {
			if s.inRange(s.raw(y[j])) {
				y[j] = min(max(y[j], s.lo), s.hi)
			}
			continue
		}
		if v := math.Round(s.raw(y[j])); s.is(x0[j], v) {
			y[j] = x0[j]
		} else if s.is(y[j], v) {
			y[j] = s.whole(v)
		}
	}
}

// project moves y, in place, to a legal row within eps of x0, or within its
// distance from x0 if that is more: see legal.
func (l *legal) project(x0, y []float32) {
	l.relax(x0, y)
	eps := max(l.eps, l.norm.Distance(x0, y))
	moves := l.moves(x0, y)
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Compare(b.done, a.done) })
	want := slices.Clone(y)
	for _, m := range moves { // the rest of y is free
		for _, j := range m.cols {
			y[j] = x0[j]
		}
	}
	spent, made := 0.0, moves[:0]
	for _, m := range moves {
		next := l.cost(spent, x0, m)
		if !l.fits(next, eps) && len(m.cols) == 1 && l.slots[m.cols[0]].discrete {
			j := m.cols[0]
			m.to = []float32{l.towards(j, x0[j], want[j], l.left(spent, eps))}
			next = l.cost(spent, x0, m)
		}
		if l.fits(next, eps) {
			spent, made = next, append(made, m)
		}
	}
	l.join(x0, y, made, l.left(spent, eps), eps)
}

// join shrinks the free columns of y to what is left and makes the moves. Where
// rounding puts the row outside eps, it shrinks them further; where nothing is
// left of them, it takes the last move back.
func (l *legal) join(x0, y []float32, made []move, left, eps float64) {
	free := slices.Clone(y)
	for k := 0; ; k++ {
		copy(y, free)
		switch b := (Budget{Norm: l.norm, Eps: left}); {
		case math.IsInf(eps, 1) || l.norm == Linf:
		case l.norm == L0:
			keepLargest(x0, y, int(left))
		default:
			b.shrink(x0, y)
		}
		for _, m := range made {
			for i, j := range m.cols {
				y[j] = m.to[i]
			}
		}
		if len(made) == 0 || l.norm.Distance(x0, y) <= eps {
			return
		}
		left = max(left*(1-1e-7*float64(int64(1)<<min(k, 40))), 0)
		if k > 40 {
			made = made[:len(made)-1]
		}
	}
}

func (l *legal) cost(spent float64, x0 []float32, m move) float64 {
	for i, j := range m.cols {
		spent = l.add(spent, math.Abs(float64(m.to[i])-float64(x0[j])))
	}
	return spent
}

// constrain makes a proposal legal, and reports whether it was not: as it would
// have been judged without constraints.
func (b Budget) constrain(x, y []float32) bool {
	bare, free := b, slices.Clone(y)
	bare.legal = nil
	bare.Project(x, free)
	b.Project(x, y)
	b.legal.project(x, y)
	return !b.legal.c.Legal(free, x)
}
