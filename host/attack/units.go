package attack

import "math"

// move is a unit's way from x0 to where it wants to be.
type move struct {
	cols []int
	to   []float32
	done float64 // how much of it the proposal has made
}

// moves are the units that y wants elsewhere than x0 has them. Units that stay
// are set to x0 in y.
func (l *legal) moves(x0, y []float32) []move {
	var out []move
	for _, group := range l.group {
		to := l.category(group, x0, y)
		if to == nil {
			for _, j := range group {
				y[j] = x0[j]
			}
			continue
		}
		went, way := 0.0, 0.0
		for i, j := range group {
			went += math.Abs(float64(y[j]) - float64(x0[j]))
			way += math.Abs(float64(to[i]) - float64(x0[j]))
		}
		out = append(out, move{group, to, went / way})
	}
	for j := range l.slots {
		s := &l.slots[j]
		if s.still || s.grouped || y[j] == x0[j] {
			continue
		}
		var to float32
		if s.Integer {
			to = l.nearest(j, x0[j], y[j])
		} else if v := s.raw(x0[j]); y[j] >= s.lo && y[j] <= s.hi || s.inRange(v) {
			continue // free; relax has put it into the range
		} else {
			to = min(max(y[j], s.lo), s.hi)
		}
		if to == x0[j] {
			y[j] = to
			continue
		}
		d := math.Abs(float64(to) - float64(x0[j]))
		out = append(out, move{[]int{j}, []float32{to}, math.Abs(float64(y[j])-float64(x0[j])) / d})
	}
	return out
}

func (s *slot) inRange(v float64) bool {
	lo, hi := s.bounds()
	t := s.tolerance(v)
	return v >= lo-t && v <= hi+t
}

// nearest is the nearest whole number to y, or x0 where that is as near.
func (l *legal) nearest(j int, x0, y float32) float32 {
	s := &l.slots[j]
	v, v0 := s.raw(y), s.raw(x0)
	k := math.Floor(v + .5)
	if k-v == .5 && v0 < v {
		k--
	}
	return s.settle(k, x0, math.Abs(v-v0) <= math.Abs(v-min(max(k, s.least), s.most)))
}

// towards is the whole number between x0 and y, nearest to y, that is within
// radius of x0.
func (l *legal) towards(j int, x0, y float32, radius float64) float32 {
	s := &l.slots[j]
	if l.norm == L0 && radius < 1 {
		return x0
	} else if l.norm != L0 {
		y = nearWithin(x0, y, radius)
	}
	v, v0 := s.raw(y), s.raw(x0)
	k := math.Floor(v)
	if v < v0 {
		k = math.Ceil(v)
	}
	return s.settle(k, x0, (k-v0)*(v-v0) <= 0)
}

// settle is the number for a whole raw value, in range, or x0 if that is what
// it stands for, or stay, or no whole number is in range.
func (s *slot) settle(k float64, x0 float32, stay bool) float32 {
	k = min(max(k, s.least), s.most)
	if s.least > s.most || stay || s.is(x0, k) {
		return x0
	}
	return s.whole(k)
}

// category are the numbers of a group in the category of its largest raw value;
// nil if x0's state is as near, or the box does not hold it.
func (l *legal) category(group []int, x0, y []float32) []float32 {
	had, ones, zeros := -1, 0, 0
	for i, j := range group {
		s := &l.slots[j]
		if s.is(x0[j], 1) {
			had, ones = i, ones+1
		} else if s.is(x0[j], 0) {
			zeros++
		}
	}
	regular := ones == 1 && zeros == len(group)-1
	best := 0
	if regular {
		best = had
	}
	for i, j := range group {
		if l.slots[j].raw(y[j]) > l.slots[group[best]].raw(y[group[best]]) {
			best = i
		}
	}
	if regular && best == had {
		return nil
	}
	to, far, stay := make([]float32, len(group)), 0.0, 0.0
	for i, j := range group {
		s, v := &l.slots[j], 0.0
		if i == best {
			v = 1
		}
		if v < s.least || v > s.most {
			return nil
		}
		if to[i] = s.whole(v); s.is(x0[j], v) {
			to[i] = x0[j]
		}
		r := s.raw(y[j])
		far += float64((r - v) * (r - v))
		r -= s.raw(x0[j])
		stay += float64(r * r)
	}
	if !regular && stay <= far {
		return nil
	}
	return to
}
