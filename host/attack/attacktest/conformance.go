package attacktest

import (
	"context"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Tolerance is how far a perturbation's norm may exceed eps.
const Tolerance = 1e-6

// Chance is how far the success of an attack that draws random numbers may
// fall as eps grows, as a share of the rows: 3 of 60. Of one that draws none
// it may not fall.
const Chance = 0.05

// radius is the eps at which attacks without a bound are tested.
var radius = map[attack.Norm]float64{attack.Linf: .1, attack.L2: .3, attack.L1: .8, attack.L0: 3}

// RunAll is Run in each ball that the attack's option norm allows: the names
// in its tag enum, else the one that Ball says.
func RunAll(t *testing.T, a attack.Attack, o attack.Options) {
	t.Helper()
	for _, n := range Norms(a) {
		t.Run(string(n), func(t *testing.T) {
			o := o
			o.Norm = n
			Run(t, a, o)
		})
	}
}

// Norms are the norms that the attack's option norm allows.
func Norms(a attack.Attack) []attack.Norm {
	if f, ok := reflect.Indirect(reflect.ValueOf(a)).Type().FieldByName("Norm"); ok && f.Tag.Get("enum") != "" {
		var out []attack.Norm
		for _, name := range strings.Split(f.Tag.Get("enum"), "|") {
			out = append(out, attack.Norm(name))
		}
		return out
	}
	n, _ := a.Ball()
	return []attack.Norm{n}
}

// Run checks what holds for every attack:
//
//   - ball and box are kept, and x stays as it was;
//   - the same seed gives the same bytes;
//   - no row, nor its count of queries, depends on the batch that it is in;
//   - no more rows are sent to the model than Options.Queries allows, nor than
//     a Counted attack says of itself;
//   - more eps is never weaker, at a quarter, half, once and twice o.Eps: of an
//     attack whose proposals depend on the seed by at most Chance, and of an
//     Overshooting one than the least alone;
//   - under random constraints each row is possible to the bit, in ball and
//     box, and what is said of it is what the model says of it; constraints
//     that bind nothing change nothing;
//   - what needs gradients refuses a model without them, and nothing else does.
//
// A bare attack has a small network as its model, an Adaptive one a Guard.
// o.Eps 0 is a radius at which the attack succeeds on some of their rows.
func Run(t *testing.T, a attack.Attack, o attack.Options) {
	t.Helper()
	norm, _ := a.Ball()
	if o.Norm == "" {
		o.Norm = norm
	}
	s := newSubject(t, a)
	if o.Eps == 0 {
		o.Eps = radius[o.Norm] * s.scale
	}
	const few = 9
	whole := s.run(t, a, o, few, few)
	t.Run("ball and box", func(t *testing.T) { inside(t, whole) })
	t.Run("same seed, same bytes", func(t *testing.T) {
		if again := s.run(t, a, o, few, few); !slices.Equal(whole.XAdv.Data, again.XAdv.Data) {
			t.Error("two runs with one seed differ")
		}
	})
	t.Run("independent of the batch", func(t *testing.T) {
		parts := s.run(t, a, o, few, 2)
		for i := range few {
			if !slices.Equal(whole.XAdv.Row(i), parts.XAdv.Row(i)) {
				t.Errorf("row %d differs between batches of 9 and of 2", i)
			}
			if whole.Queries[i] != parts.Queries[i] {
				t.Errorf("row %d: %d queries in a batch of 9, %d in one of 2", i, whole.Queries[i], parts.Queries[i])
			}
		}
	})
	t.Run("query budget", func(t *testing.T) { s.budget(t, a, o, few) })
	t.Run("more eps is never weaker", func(t *testing.T) { s.grows(t, a, o) })
	t.Run("constraints", func(t *testing.T) { s.constrained(t, a, o, few) })
	blind := s
	blind.model = s.blind()
	if a.Needs() == attack.NeedsGradients {
		t.Run("refuses a model without gradients", func(t *testing.T) {
			if _, err := attack.Run(context.Background(), blind.model, s.x.Rows(0, few), s.labels(few), a, s.options(o)); err == nil {
				t.Error("no error")
			}
		})
		return
	}
	t.Run("predictions suffice", func(t *testing.T) { inside(t, blind.run(t, a, o, few, few)) })
}

// subject is what an attack is tried on.
type subject struct {
	model sdk.Classifier
	x     *tensor.Tensor
	scale float64 // of radius
	// Of a guard:
	y         []int // nil: the model's own answers
	threshold float64
	pool      *tensor.Tensor
	poolY     []int
	judge     func(context.Context, []int, *tensor.Tensor) ([]bool, error)
}

const rows = 60

func newSubject(t *testing.T, a attack.Attack) subject {
	t.Helper()
	ad, ok := a.(attack.Adaptive)
	if !ok {
		return subject{model: NewMLP(12, 16, 4, 7), x: Uniform(rows, 12, 0, 1, 3), scale: 3, threshold: math.Inf(1)}
	}
	g, x, y := NewGuard(20, 8, 4, rows, 2)
	z, err := g.Predict(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	return subject{model: g, x: x, scale: 2, y: y, threshold: g.Threshold, pool: z, poolY: y, judge: g.Judge(y, ad.WantsFlag())}
}

// blind is the model without its gradients: a bare one without outputs by name
// either.
func (s subject) blind() sdk.Classifier {
	if s.judge == nil {
		return PredictionsOnly{s.model}
	}
	return noGradient{oracle.AsForwarder(s.model)}
}

func (s subject) labels(n int) []int {
	if s.y == nil {
		return nil
	}
	return s.y[:n]
}

func (s subject) options(o attack.Options) attack.Options {
	o.Threshold, o.Pool, o.PoolLabels, o.Judge = s.threshold, s.pool, s.poolY, s.judge
	return o
}

// run attacks the first n rows in batches.
func (s subject) run(t *testing.T, a attack.Attack, o attack.Options, n, batch int) *attack.Adversarial {
	t.Helper()
	x := s.x.Rows(0, n)
	before := x.Clone()
	o = s.options(o)
	o.Batch = batch
	adv, err := attack.Run(context.Background(), s.model, x, s.labels(n), a, o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before.Data, x.Data) {
		t.Fatal("the attack changed x")
	}
	return adv
}

// budget counts what is sent to the model in one run without restarts.
func (s subject) budget(t *testing.T, a attack.Attack, o attack.Options, n int) {
	o.Restarts = 1
	within := func(what string, most int) {
		adv := s.run(t, a, o, n, n)
		inside(t, adv)
		for i, q := range adv.Queries {
			if q > int64(most) {
				t.Errorf("row %d: %d queries, %s %d", i, q, what, most)
			}
		}
	}
	for _, o.Queries = range []int{1, 2, 7, 40} {
		within("Options.Queries is", o.Queries)
	}
	o.Queries = 0
	if c, ok := a.(attack.Counted); ok && c.MaxQueries() > 0 {
		within("MaxQueries is", c.MaxQueries())
	}
}

// grows compares success at growing eps.
func (s subject) grows(t *testing.T, a attack.Attack, o attack.Options) {
	over, ok := a.(attack.Overshooting)
	overshoots := ok && over.Overshoots()
	other, slack, last, eps := o, 0.0, 0.0, o.Eps
	other.Seed += 1000
	if !slices.Equal(s.run(t, a, o, rows, rows).XAdv.Data, s.run(t, a, other, rows, rows).XAdv.Data) {
		slack = Chance
	}
	said := ""
	for k, f := range []float64{.25, .5, 1, 2} {
		o.Eps = f * eps
		r := Rate(s.run(t, a, o, rows, rows))
		if said += fmt.Sprintf(" %.3g at eps %.3g;", r, o.Eps); r < last-slack-1e-9 {
			t.Errorf("success falls by more than %g as eps grows:%s", slack, said)
		}
		if k == 0 || !overshoots {
			last = max(last, r)
		}
	}
	t.Logf("success%s tolerance %g", said, slack)
}

func inside(t *testing.T, adv *attack.Adversarial) {
	t.Helper()
	for i := range adv.X.N() {
		d := adv.Ball.Distance(adv.X.Row(i), adv.XAdv.Row(i))
		if d > adv.Eps+Tolerance {
			t.Errorf("row %d: %s norm %g, want ≤ %g", i, adv.Ball, d, adv.Eps)
		}
		if math.Abs(d-adv.Norm[i]) > Tolerance {
			t.Errorf("row %d: recorded norm %g, want %g", i, adv.Norm[i], d)
		}
		for j, v := range adv.XAdv.Row(i) {
			if !(v >= 0 && v <= 1) {
				t.Errorf("row %d, feature %d: %g is outside the box [0, 1]", i, j, v)
			}
		}
	}
}

// Rate is the share of rows on which the attack succeeded.
func Rate(adv *attack.Adversarial) float64 {
	n := 0
	for _, s := range adv.Success {
		if s {
			n++
		}
	}
	return float64(n) / float64(len(adv.Success))
}
