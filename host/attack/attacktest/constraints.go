package attacktest

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/oracle"
)

// constrained checks what holds under constraints, which the attack itself
// knows nothing of.
func (s subject) constrained(t *testing.T, a attack.Attack, o attack.Options, n int) {
	o.Constraints = &attack.Constraints{Columns: make([]attack.Column, s.x.Stride())}
	free, bare := s.run(t, a, o, n, n), o
	bare.Constraints = nil
	if b := s.run(t, a, bare, n, n); !slices.Equal(free.XAdv.Data, b.XAdv.Data) || !slices.Equal(free.Queries, b.Queries) {
		t.Error("constraints that bind nothing change the result")
	}
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 4))
		o.Constraints = constraints(r, s.x.Stride())
		s := s.legal(t, r, a, o.Constraints, n)
		whole := s.run(t, a, o, n, n)
		inside(t, whole)
		s.possible(t, a, o.Constraints, whole)
		parts := s.run(t, a, o, n, 2)
		if !slices.Equal(whole.XAdv.Data, parts.XAdv.Data) || !slices.Equal(whole.Queries, parts.Queries) {
			t.Error("rows or queries differ between batches of 9 and of 2")
		}
	}
}

// constraints draws constraints of columns in [0, 1]: one immutable, integers
// of short and of long steps, one-hot groups with codes close together and far
// apart, a range; the rest is free.
func constraints(r *rand.Rand, columns int) *attack.Constraints {
	c := &attack.Constraints{Columns: make([]attack.Column, columns)}
	at := r.Perm(columns)
	next := func() int {
		j := at[0]
		at = at[1:]
		return j
	}
	c.Columns[next()].Immutable = true
	for _, steps := range []float64{2, 16, 64} {
		c.Columns[next()] = attack.Column{Integer: true, Min: -10, Max: steps - 10, Scale: steps, Offset: -10}
	}
	for _, gap := range []float64{.0625, 1} {
		var group []int
		for range 3 {
			lo := (1 - gap) * float64(r.IntN(9)) / 8
			j := next()
			c.Columns[j] = attack.Column{Min: math.Inf(-1), Max: math.Inf(1), Scale: 1 / gap, Offset: -lo / gap}
			group = append(group, j)
		}
		c.Groups = append(c.Groups, group)
	}
	c.Columns[next()] = attack.Column{Min: .25, Max: .75}
	return c
}

// code is the number for a raw value.
func code(k attack.Column, raw float64) float32 { return float32((raw - k.Offset) / k.Scale) }

// legal is the subject with its first n rows made legal, and its labels as the
// model then answers.
func (s subject) legal(t *testing.T, r *rand.Rand, a attack.Attack, c *attack.Constraints, n int) subject {
	t.Helper()
	s.x = s.x.Rows(0, n).Clone()
	for i := range n {
		x := s.x.Row(i)
		for j, k := range c.Columns {
			if k.Integer {
				x[j] = code(k, math.Round(float64(x[j])*k.Scale+k.Offset))
			} else if k.Min > 0 {
				x[j] = min(max(x[j], float32(k.Min)), float32(k.Max))
			}
		}
		for _, group := range c.Groups {
			had := r.IntN(len(group))
			for i, j := range group {
				x[j] = code(c.Columns[j], 0)
				if i == had {
					x[j] = code(c.Columns[j], 1)
				}
			}
		}
	}
	if s.judge == nil {
		return s
	}
	z, err := s.model.Predict(context.Background(), s.x)
	if err != nil {
		t.Fatal(err)
	}
	s.y = make([]int, n)
	for i := range s.y {
		s.y[i] = oracle.Argmax(z.Row(i))
	}
	s.judge = s.model.(*Guard).Judge(s.y, a.(attack.Adaptive).WantsFlag())
	return s
}

// possible checks each number of a result against the constraints, to the bit,
// and what is said of each row against the model's answer to it.
func (s subject) possible(t *testing.T, a attack.Attack, c *attack.Constraints, adv *attack.Adversarial) {
	t.Helper()
	for i := range adv.X.N() {
		x0, x := adv.X.Row(i), adv.XAdv.Row(i)
		for j, k := range c.Columns {
			switch v := math.Round(float64(x[j])*k.Scale + k.Offset); {
			case k.Immutable && x[j] != x0[j]:
				t.Errorf("row %d: immutable column %d moved from %g to %g", i, j, x0[j], x[j])
			case k.Integer && (x[j] != code(k, v) || v < k.Min || v > k.Max):
				t.Errorf("row %d, column %d: %g is no whole number from %g to %g", i, j, float64(x[j])*k.Scale+k.Offset, k.Min, k.Max)
			case k.Min > 0 && (float64(x[j]) < k.Min || float64(x[j]) > k.Max):
				t.Errorf("row %d, column %d: %g is not from %g to %g", i, j, x[j], k.Min, k.Max)
			}
		}
		for _, group := range c.Groups {
			ones, zeros := 0, 0
			for _, j := range group {
				switch x[j] {
				case code(c.Columns[j], 1):
					ones++
				case code(c.Columns[j], 0):
					zeros++
				}
			}
			if ones != 1 || zeros != len(group)-1 {
				t.Errorf("row %d: columns %v are no one-hot: %v", i, group, x)
			}
		}
		if !c.Legal(x, x0) {
			t.Errorf("row %d: Legal denies %v", i, x)
		}
	}
	if len(adv.Illegal) != adv.X.N() {
		t.Errorf("%d entries say what was illegal of %d rows", len(adv.Illegal), adv.X.N())
	}
	s.asSaid(t, adv)
}

// asSaid asks the model again about each row of a result.
func (s subject) asSaid(t *testing.T, adv *attack.Adversarial) {
	t.Helper()
	z, err := s.model.Predict(context.Background(), adv.XAdv)
	if err != nil {
		t.Fatal(err)
	}
	var judged []bool
	if s.judge != nil {
		if judged, err = s.judge(context.Background(), attack.All(adv.X.N()), adv.XAdv); err != nil {
			t.Fatal(err)
		}
	}
	for i, said := range adv.Success {
		p := oracle.Argmax(z.Row(i))
		is := adv.Predicted[i] == adv.Y[i] && p != adv.Y[i]
		if judged != nil {
			is = judged[i]
		}
		if said != is || adv.PredictedAdv[i] != p {
			t.Errorf("row %d: said success %v and class %d; the row has success %v and class %d", i, said, adv.PredictedAdv[i], is, p)
		}
	}
}
