package detect

import (
	"context"
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// apartFrom is from how many numbers on, of half the rows and their reconstructions, a
// call more is worth its price: their answer takes milliseconds.
const apartFrom = 1 << 17

// seen is what a Guarded's Forward leaves for its outputs and its way back. Views
// are of one part of the rows each: while the classifier answers one, the host is at
// the other. Whether there are parts is decided by the numbers that are sent, and so are
// all bits.
type seen struct {
	g     *Guarded
	st    *state
	views []*view
	at    []int // view i has rows at[i] ≤ r < at[i+1]
}

// bounds cuts n rows with the given noise.
func (g *Guarded) bounds(n int, noise *tensor.Tensor) []int {
	d, samples := g.d, g.d.samples
	if noise != nil {
		samples = noise.N()
	}
	if !d.rebuilds() || n < 2 || n/2*(1+samples)*d.input.Size() < g.apartFrom {
		return []int{0, n}
	}
	return []int{0, n - n/2, n}
}

// look looks at the rows of x. One whose reconstruction is not finite is the strangest there is, as it
// is to Detect, and tells nothing of the way down.
func (g *Guarded) look(ctx context.Context, p *pass, x, noise *tensor.Tensor) (*seen, error) {
	d := g.d
	s := &seen{g: g, st: d.state.Load(), at: g.bounds(x.N(), noise)}
	last := len(s.at) - 2
	part := func(i int) (*view, error) {
		return d.second(ctx, p, x.Rows(s.at[i], s.at[i+1]), noise, true, make([]bool, s.at[i+1]-s.at[i]))
	}
	next, lost := part(0)
	for i := range last + 1 {
		v := next
		if lost != nil {
			return nil, s.fault(i, lost)
		}
		aside := oracle.NewAside(last == 0) // the way back of each is for a goroutine of its own, in turns too
		aside.Ask(ctx, oracle.QuestionFunc(func(ctx context.Context) error { return d.inquire(ctx, v, nil) }))
		if i < last && !d.o.InTurns {
			next, lost = part(i + 1)
		}
		if err := aside.Wait(); err != nil {
			return nil, s.fault(i, err)
		}
		if i < last && d.o.InTurns {
			next, lost = part(i + 1)
		}
		s.views = append(s.views, v)
	}
	for _, v := range s.views {
		d.gather(p.engine, v)
	}
	return s, nil
}

// fault puts an error of a view's row in its place.
func (s *seen) fault(i int, err error) error {
	var bad *RowError
	if errors.As(err, &bad) {
		return &RowError{Row: s.at[i] + bad.Row, Message: bad.Message}
	}
	return err
}

// n is the number of rows.
func (s *seen) n() int { return s.at[len(s.at)-1] }

// output is an output of all rows.
func (s *seen) output(name string, p *pass) (*tensor.Tensor, error) {
	var all *tensor.Tensor
	for i, v := range s.views {
		t, err := s.g.output(name, p, v, s.st)
		switch {
		case err != nil:
			return nil, s.fault(i, err)
		case len(s.views) == 1:
			return t, nil
		case all == nil:
			all = tensor.Batch(s.n(), t.Example())
		}
		copy(all.Rows(s.at[i], s.at[i+1]).Data, t.Data)
	}
	return all, nil
}

// pull maps cotangents of the guarded classifier's outputs to the gradient at x.
func (s *seen) pull(ctx context.Context, p *pass, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
	g, d := s.g, s.g.d
	if len(s.views) > 1 {
		if err := s.check(cots); err != nil {
			return nil, err
		}
	}
	last := len(s.views) - 1
	part := func(i int) (*backward, error) {
		own := cots
		if last > 0 {
			own = make(map[string]*tensor.Tensor, len(cots))
			for name, t := range cots {
				if t == nil {
					continue
				}
				stride := len(t.Data) / s.n()
				own[name] = tensor.From(t.Data[s.at[i]*stride:s.at[i+1]*stride], s.at[i+1]-s.at[i], stride)
			}
		}
		return g.seeds(p, s.views[i], s.st, own)
	}
	next, lost := part(0)
	var done []*backward
	for i, v := range s.views {
		b := next
		if lost != nil {
			return nil, s.fault(i, lost)
		}
		aside := oracle.NewAside(last == 0 || d.o.InTurns)
		aside.Ask(ctx, oracle.QuestionFunc(func(ctx context.Context) error { return d.pullClassifier(ctx, b, v) }))
		if i > 0 {
			pullSecond(p, done[i-1], s.views[i-1])
		}
		if i < last {
			next, lost = part(i + 1)
		}
		if err := aside.Wait(); err != nil {
			return nil, err
		}
		done = append(done, b)
	}
	pullSecond(p, done[last], s.views[last])
	for i, v := range s.views {
		v.still(done[i].x)
	}
	if last == 0 {
		return done[0].x, nil
	}
	dx := tensor.Batch(s.n(), d.input)
	for i, b := range done {
		copy(dx.Rows(s.at[i], s.at[i+1]).Data, b.x.Data)
	}
	return dx, nil
}

// check refuses cotangents that do not fit the outputs of all rows.
func (s *seen) check(cots map[string]*tensor.Tensor) error {
	for _, name := range s.g.OutputNames() {
		t := cots[name]
		if t == nil {
			continue
		}
		want := 0
		for _, v := range s.views {
			want += sizeOf(name, v)
		}
		if len(t.Data) != want {
			return misfit(name, t, want)
		}
	}
	return nil
}

// misfit is the error of a cotangent of another size.
func misfit(name string, t *tensor.Tensor, want int) error {
	return fmt.Errorf("guard: cotangent of %s has shape %v, want %d numbers", name, t.Shape, want)
}
