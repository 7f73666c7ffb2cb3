package attacks

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// decider asks for labels alone about candidates for one row.
type decider struct {
	p     *attack.Probe
	row   int
	shape tensor.Shape
}

// fooled reports for each candidate whether the goal is reached.
func (d decider) fooled(ctx context.Context, candidates ...[]float32) ([]bool, error) {
	x := tensor.Batch(len(candidates), d.shape)
	rows := make([]int, len(candidates))
	for k, c := range candidates {
		copy(x.Row(k), c)
		rows[k] = d.row
	}
	s, err := d.p.Loss(ctx, rows, x)
	return s.Done, err
}

// start looks for any input that reaches the goal: uniform noise over the box,
// then random corners of it. It returns nil if it finds none.
func (d decider) start(ctx context.Context, x []float32, b attack.Budget, tries int) ([]float32, error) {
	r := b.Rand(d.row, 4)
	for k := 0; k < tries && d.p.Affords(d.row, 1); k++ {
		y := make([]float32, len(x))
		for j := range y {
			lo, hi := b.Box.At(j)
			y[j] = lo + (hi-lo)*r.Float32()
		}
		if ok, err := d.fooled(ctx, y); err != nil {
			return nil, err
		} else if ok[0] {
			return y, nil
		}
	}
	// Corners of the box are further away than anything that noise reaches.
	for k := 0; k < tries && d.p.Affords(d.row, 1); k++ {
		y := make([]float32, len(x))
		for j := range y {
			lo, hi := b.Box.At(j)
			if y[j] = lo; r.IntN(2) == 0 {
				y[j] = hi
			}
		}
		if ok, err := d.fooled(ctx, y); err != nil {
			return nil, err
		} else if ok[0] {
			return y, nil
		}
	}
	return nil, nil
}

// bisect moves y along the line to x (L∞: by clamping) as close to x as the
// goal allows, to a relative precision.
func (d decider) bisect(ctx context.Context, x, y []float32, n attack.Norm, precision float64) ([]float32, error) {
	lo, hi := 0., 1.
	if n == attack.Linf {
		hi = n.Distance(x, y)
		precision *= hi
	}
	best := y
	for hi-lo > precision && d.p.Affords(d.row, 1) {
		t := (lo + hi) / 2
		mid := make([]float32, len(x))
		for j, v := range x {
			e := float64(y[j]) - float64(v)
			if n == attack.Linf {
				mid[j] = float32(float64(v) + min(max(e, -t), t))
			} else {
				mid[j] = float32(float64(v) + t*e)
			}
		}
		ok, err := d.fooled(ctx, mid)
		if err != nil {
			return nil, err
		}
		if ok[0] {
			hi, best = t, mid
		} else {
			lo = t
		}
	}
	return best, nil
}
