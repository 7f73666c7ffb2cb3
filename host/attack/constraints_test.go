package attack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

var inf = math.Inf(1)

// standard is a column of raw values as a detector sees it: (raw − mean)/deviation.
func standard(mean, deviation float64) Column {
	return Column{Min: -inf, Max: inf, Scale: deviation, Offset: mean}
}

func TestConstraintsProject(t *testing.T) {
	age := Column{Integer: true, Min: 18, Max: 100}
	free := Column{Min: 0, Max: 10}
	one := []Column{{}, {}, {}}
	tests := map[string]struct {
		c           Constraints
		x0, x, want []float32
	}{
		"immutable":                {Constraints{Columns: []Column{{Immutable: true}, {}}}, []float32{1, 2}, []float32{5, 6}, []float32{1, 6}},
		"integer to the nearest":   {Constraints{Columns: []Column{age}}, []float32{30}, []float32{31.6}, []float32{32}},
		"half towards the row":     {Constraints{Columns: []Column{age, age}}, []float32{30, 33}, []float32{31.5, 31.5}, []float32{31, 32}},
		"integer within its range": {Constraints{Columns: []Column{age, age}}, []float32{30, 30}, []float32{3, 200}, []float32{18, 100}},
		"range":                    {Constraints{Columns: []Column{free, free}}, []float32{3, 3}, []float32{-1, 11}, []float32{0, 10}},
		"illegal before, left":     {Constraints{Columns: []Column{age, age, free}}, []float32{20.5, 7, 12}, []float32{20.5, 7, 12}, []float32{20.5, 7, 12}},
		"illegal before, changed":  {Constraints{Columns: []Column{age, age, free}}, []float32{20.5, 7, 12}, []float32{20.9, 14, 11}, []float32{21, 18, 10}},
		"category":                 {Constraints{Columns: one, Groups: [][]int{{0, 1, 2}}}, []float32{1, 0, 0}, []float32{.4, .1, .5}, []float32{0, 0, 1}},
		"category, equal":          {Constraints{Columns: one, Groups: [][]int{{0, 1, 2}}}, []float32{0, 1, 0}, []float32{.5, .5, .2}, []float32{0, 1, 0}},
		"category of raw values": {Constraints{Columns: []Column{standard(.9, .3), standard(.1, .3)}, Groups: [][]int{{0, 1}}},
			[]float32{float32(.1 / .3), float32(-.1 / .3)}, []float32{-1.5, 1.2}, []float32{float32(-.9 / .3), float32(.9 / .3)}},
		"no category before, near it":   {Constraints{Columns: one, Groups: [][]int{{0, 1, 2}}}, []float32{0, 0, 0}, []float32{.3, .1, .2}, []float32{0, 0, 0}},
		"no category before, one after": {Constraints{Columns: one, Groups: [][]int{{0, 1, 2}}}, []float32{0, 0, 0}, []float32{.3, .9, .2}, []float32{0, 1, 0}},
		"group with an immutable column": {Constraints{Columns: []Column{{}, {Immutable: true}, {}}, Groups: [][]int{{0, 1, 2}}},
			[]float32{1, 0, 0}, []float32{0, 0, 1}, []float32{1, 0, 0}},
		"scale below zero": {Constraints{Columns: []Column{{Integer: true, Min: 0, Max: 3, Scale: -2}}}, []float32{-.5}, []float32{-9}, []float32{-1.5}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			if err := c.c.Validate(len(c.x)); err != nil {
				t.Fatal(err)
			}
			before := slices.Clone(c.x0)
			c.c.Project(c.x, c.x0)
			if !slices.Equal(c.x, c.want) {
				t.Errorf("got %v, want %v", c.x, c.want)
			}
			if !slices.Equal(c.x0, before) {
				t.Error("the row before was changed")
			}
			if !c.c.Legal(c.x, c.x0) {
				t.Error("the projection is said to be illegal")
			}
		})
	}
}

// A projection never leaves the ball, though the nearest legal row may lie
// outside: units move by what fits, and the rest has what they leave.
func TestProjectionInTheBall(t *testing.T) {
	free, whole := Column{}, Column{Integer: true}
	group := func(c ...Column) Constraints { return Constraints{Columns: c, Groups: [][]int{{0, 1}}} }
	tests := map[string]struct {
		norm        Norm
		eps         float64
		c           Constraints
		x0, x, want []float32
	}{
		"less than half a step":         {Linf, .4, Constraints{Columns: []Column{whole}}, []float32{3}, []float32{3.4}, []float32{3}},
		"more than half a step":         {Linf, .6, Constraints{Columns: []Column{whole}}, []float32{3}, []float32{3.6}, []float32{3}},
		"a step and a half":             {Linf, 1.6, Constraints{Columns: []Column{whole}}, []float32{3}, []float32{4.6}, []float32{4}},
		"category out of reach":         {Linf, .9, group(free, free), []float32{1, 0}, []float32{.1, .9}, []float32{1, 0}},
		"category in reach":             {Linf, 1, group(free, free), []float32{1, 0}, []float32{.1, .9}, []float32{0, 1}},
		"l2: category out of reach":     {L2, 1.4, group(free, free), []float32{1, 0}, []float32{.1, .9}, []float32{1, 0}},
		"l2: category in reach":         {L2, 1.42, group(free, free), []float32{1, 0}, []float32{.1, .9}, []float32{0, 1}},
		"l2: the rest has what is left": {L2, 5, Constraints{Columns: []Column{whole, free}}, []float32{0, 0}, []float32{2.6, 4.2}, []float32{3, 4}},
		"l1: the rest has what is left": {L1, 3, Constraints{Columns: []Column{whole, free}}, []float32{0, 0}, []float32{1.75, 1.25}, []float32{2, 1}},
		"l1: the further unit first":    {L1, 1.5, Constraints{Columns: []Column{whole, whole}}, []float32{0, 0}, []float32{.6, .9}, []float32{0, 1}},
		"l0: a category is two":         {L0, 1, group(free, free, free), []float32{1, 0, 0}, []float32{1, 2, 0}, []float32{1, 0, 0}},
		"l0: two fit into two":          {L0, 2, group(free, free, free), []float32{1, 0, 0}, []float32{1, 2, 3}, []float32{0, 1, 0}},
		"no bound":                      {L2, inf, group(free, free, whole), []float32{1, 0, 0}, []float32{0, 9, 7.7}, []float32{0, 1, 8}},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			b := Budget{Norm: c.norm, Eps: c.eps}
			b.legal = newLegal(&c.c, b)
			b.constrain(c.x0, c.x)
			for j, v := range c.x {
				if math.Abs(float64(v-c.want[j])) > 1e-6 {
					t.Fatalf("got %v, want %v", c.x, c.want)
				}
			}
		})
	}
}

// random are constraints and legal rows of a standardised table: free, integer
// and immutable columns, and groups.
func random(r *rand.Rand) (*Constraints, func() []float32) {
	c := &Constraints{}
	for range 1 + r.IntN(6) {
		k := standard(100*r.NormFloat64(), math.Exp(2*r.NormFloat64()))
		if r.IntN(8) == 0 {
			k.Scale *= -1
		}
		k.Integer, k.Immutable = r.IntN(2) == 0, r.IntN(5) == 0
		if r.IntN(2) == 0 {
			k.Min, k.Max = math.Floor(k.Offset-5), math.Ceil(k.Offset+5)
		}
		c.Columns = append(c.Columns, k)
	}
	alone := len(c.Columns)
	for range r.IntN(3) {
		var group []int
		for range 2 + r.IntN(3) {
			group = append(group, len(c.Columns))
			c.Columns = append(c.Columns, standard(r.Float64(), .1+r.Float64()))
		}
		c.Groups = append(c.Groups, group)
	}
	return c, func() []float32 {
		x := make([]float32, len(c.Columns))
		for j, k := range c.Columns[:alone] {
			v := k.Offset + 4*r.Float64()*min(1, math.Abs(k.Scale))
			if k.Integer {
				v = math.Round(v)
			}
			x[j] = k.code(v)
		}
		for _, group := range c.Groups {
			had := r.IntN(len(group))
			for i, j := range group {
				x[j] = c.Columns[j].code(0)
				if i == had {
					x[j] = c.Columns[j].code(1)
				}
			}
		}
		return x
	}
}

func TestProjectionProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	moved := 0
	for range 20_000 {
		c, row := random(r)
		if err := c.Validate(len(c.Columns)); err != nil {
			t.Fatal(err)
		}
		x0 := row()
		b := Budget{Norm: []Norm{Linf, L2, L1, L0}[r.IntN(4)], Eps: math.Exp(1.5 * r.NormFloat64())}
		if r.IntN(10) == 0 {
			b.Eps = inf
		}
		b.legal = newLegal(c, b)
		x, far := slices.Clone(x0), math.Exp(r.NormFloat64())
		for j := range x {
			x[j] += float32(far * r.NormFloat64())
		}
		proposal := slices.Clone(x)
		b.constrain(x0, x)
		say := fmt.Sprintf("%s eps %g, %+v: %v from %v to %v", b.Norm, b.Eps, *c, x0, proposal, x)
		if !c.Legal(x, x0) {
			t.Fatalf("illegal: %s", say)
		}
		if d := b.Norm.Distance(x0, x); d > b.Eps {
			t.Fatalf("distance %g: %s", d, say)
		}
		again := slices.Clone(x)
		if b.constrain(x0, again); !slices.Equal(again, x) {
			t.Fatalf("again it is %v: %s", again, say)
		}
		// What an attack is told of a proposal in the ball is what is judged.
		bare := b
		bare.legal = nil
		inside := slices.Clone(proposal)
		bare.Project(x0, inside)
		seen := slices.Clone(inside)
		b.legal.project(x0, seen)
		if b.constrain(x0, inside); !slices.Equal(seen, inside) {
			t.Fatalf("an attack sees %v, judged is %v: %s", seen, inside, say)
		}
		for j, k := range c.Columns {
			if x[j] != x0[j] && k.Integer {
				moved++
			}
		}
	}
	if moved < 1000 {
		t.Errorf("%d integers moved: the test says little", moved)
	}
}

func TestValidate(t *testing.T) {
	two := []Column{{}, {}}
	for want, c := range map[string]*Constraints{
		"1 columns for rows of 2":      {Columns: two[:1]},
		"min 3 is above max 2":         {Columns: []Column{{Min: 3, Max: 2}, {}}},
		"scale NaN":                    {Columns: []Column{{Scale: math.NaN()}, {}}},
		"one-hot group 0 has column 2": {Columns: two, Groups: [][]int{{1, 2}}},
		"column 1 is in two":           {Columns: two, Groups: [][]int{{0, 1}, {1}}},
	} {
		if err := c.Validate(2); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	c := &Constraints{Columns: []Column{{Immutable: true}, {Integer: true}, {Integer: true}, {Max: 1}, {Max: 1}, {Integer: true}}, Groups: [][]int{{4, 5}}}
	if got, want := c.Count().String(), "1 immutable column, 2 integer columns, 1 column with a range, 1 one-hot group"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
