package train

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// verdict is a Judge that says one thing of all rows, and keeps those it saw.
type verdict struct {
	flags    bool
	clean    int
	attacked []*tensor.Tensor
	said     []*tensor.Tensor // the classifier's answers on them
}

func (v *verdict) Clean(s *Step) { v.clean += s.N() }

func (v *verdict) Flagged(dst []bool, s *Step) {
	for i := range dst {
		dst[i] = v.flags
	}
	v.attacked, v.said = append(v.attacked, s.X.Clone()), append(v.said, s.P.Clone())
}

// TestRobustShare: rows stand if they are flagged, or if their class stays at each step
// of the attack, which keeps to balls and box and goes further than its start.
func TestRobustShare(t *testing.T) {
	for _, norm := range []string{"linf", "l2"} {
		const eps, steps = .3, 8
		measure := func(judge *verdict) (*guard, float64) {
			g := testGuard(t, func(o *Options) {
				o.Harden = &Harden{Norm: norm, Eps: eps, Steps: 1, Through: "guard", Weight: .5, Robust: Robust{Rows: 12, Steps: steps}}
				o.Judge = judge
			})
			if err := g.validate(t.Context(), make([]float64, 1+len(g.reports()))); err != nil {
				t.Fatal(err)
			}
			v, err := g.robust(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return g, v
		}
		if _, v := measure(&verdict{flags: true}); v != 1 {
			t.Errorf("%s: all rows are flagged, and %v stand", norm, v)
		}
		judge := &verdict{}
		g, got := measure(judge)
		if n := g.o.Validation.N(); judge.clean != n || g.proves() != n {
			t.Errorf("%s: %d clean rows were seen and %d attacked, want %d", norm, judge.clean, g.proves(), n)
		}
		// Rows come four at a time: from each call of Flagged to the next with other rows.
		lost := map[int]bool{}
		chunk, step, moved := 0, 0, 0.0
		for i, x := range judge.attacked {
			for r := range x.N() {
				row := 4*chunk + r
				worst, sum := 0.0, 0.0
				for j, v := range x.Row(r) {
					if v < 0 || v > 1 {
						t.Errorf("%s: row %d has %v, outside the box", norm, row, v)
					}
					d := float64(v) - float64(g.o.Validation.Row(row)[j])
					worst, sum = max(worst, math.Abs(d)), sum+d*d
				}
				if norm == "linf" && worst > eps+1e-6 || norm == "l2" && math.Sqrt(sum) > eps+1e-6 {
					t.Errorf("%s: row %d is %v (linf) and %v (l2) away, want %v", norm, row, worst, math.Sqrt(sum), eps)
				}
				moved = max(moved, worst)
				if oracle.Argmax(judge.said[i].Row(r)) != oracle.Argmax(g.valP.Row(row)) {
					lost[row] = true
				}
			}
			all := true
			for r := range 4 {
				all = all && lost[4*chunk+r]
			}
			if step++; step > steps || all {
				chunk, step = chunk+1, 0
			}
		}
		if chunk != 3 || moved == 0 {
			t.Errorf("%s: %d chunks, moved by %v; want 3 of 12 rows", norm, chunk, moved)
		}
		if want := 1 - float64(len(lost))/12; got != want {
			t.Errorf("%s: %v stand, want %v", norm, got, want)
		}
	}
}

// TestRobustAttackClimbs: each step brings the rows nearer to their target, for the
// classifier and through the reconstruction together.
func TestRobustAttackClimbs(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"guard": func(*Options) {},
		"noise": func(o *Options) { o.InputNoise, o.Smooth = .1, true },
		"units": func(o *Options) { o.Harden.EpsUnit = "std" },
	} {
		judge := &verdict{}
		g := testGuard(t, func(o *Options) {
			o.Harden = &Harden{Norm: "l2", Eps: .5, Steps: 1, Through: "guard", Weight: .5, Robust: Robust{Rows: 4, Steps: 12}}
			o.Judge = judge
			change(o)
		})
		if _, err := g.robust(t.Context()); err != nil {
			t.Fatal(err)
		}
		level := func(x *tensor.Tensor) float64 {
			n := x.N()
			noise := tensor.New(n, 3)
			keys := g.proof.b.examples
			normal(g.k, noise, g.o.Seed, streamVal, 0, keys)
			seen := x
			if g.o.Smooth {
				seen = g.noisy(tensor.New(n, 5), x, streamSmooth, 0, keys)
			}
			rebuilt, _, _ := g.valPass.Forward(seen, noise)
			sum, l := 0.0, make([]float64, 3)
			for _, rows := range []*tensor.Tensor{x, rebuilt} {
				out, err := g.o.Classifier.Predict(t.Context(), rows)
				if err != nil {
					t.Fatal(err)
				}
				for i := range n {
					oracle.LogProbabilities(l, out.Row(i), g.classifier.Info().Output, 1)
					sum += l[g.proof.target[i]]
				}
			}
			return sum
		}
		if from, to := level(judge.attacked[0]), level(judge.attacked[len(judge.attacked)-1]); !(to > from+.01) {
			t.Errorf("%s: the attack took the target from %v to %v", name, from, to)
		}
	}
}

// TestRobustByVotes: a guard that votes is judged by votes: a row is lost if and only if
// its class changes and it has the quorum of votes, which is that of the clean rows.
func TestRobustByVotes(t *testing.T) {
	for _, sigma := range []float64{.02, .3} {
		g := testGuard(t, func(o *Options) {
			o.Harden = &Harden{Norm: "linf", Eps: 1, Steps: 1, Through: "guard", Weight: .5, Robust: Robust{Rows: 12, Steps: 12}}
			o.InputNoise, o.Smooth = sigma, true
		})
		if g.proof.votes == nil || g.proof.judge != nil {
			t.Fatal("one copy judges")
		}
		if err := g.validate(t.Context(), make([]float64, 1+len(g.reports()))); err != nil {
			t.Fatal(err)
		}
		first, err := g.robust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if again, err := g.robust(t.Context()); err != nil || again != first {
			t.Errorf("%v stand, then %v (%v)", first, again, err)
		}
		b, n := g.proof.votes, len(g.proof.b.rows)
		x := g.attack.both.of(2*n).Rows(0, n).Clone() // the last rows that were attacked
		said, err := g.o.Classifier.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		changed := 0
		for _, quorum := range []int{0, b.quorum, ballotVotes + 1} {
			b.quorum = quorum
			got, err := b.lost(t.Context(), g.proof, x, said)
			if err != nil {
				t.Fatal(err)
			}
			want := 0
			for i, r := range g.proof.b.rows {
				class, votes, key := oracle.Argmax(said.Row(i)), 0, []uint64{uint64(r)}
				for c := range ballotVotes { // by hand, a row at a time
					noise := tensor.New(1, 3)
					normal(g.k, noise, g.o.Seed, streamVal, 0, key)
					rebuilt, _, _ := g.valPass.Forward(g.noisy(tensor.New(1, 5), x.Rows(i, i+1), streamSmooth, ballotFrom+c, key), noise)
					out, err := g.o.Classifier.Predict(t.Context(), rebuilt.Clone())
					if err != nil {
						t.Fatal(err)
					}
					if oracle.Argmax(out.Row(0)) == class {
						votes++
					}
				}
				if class != oracle.Argmax(g.valP.Row(r)) {
					if changed++; votes >= quorum {
						want++
					}
				}
			}
			if got != want || quorum > ballotVotes && got != 0 {
				t.Errorf("σ %g, quorum %d: %d rows are lost, want %d", sigma, quorum, got, want)
			}
		}
		if changed == 0 {
			t.Errorf("σ %g: no row changes its class: the test shows nothing", sigma)
		}
	}
}

// TestRobustPlan: what is measured costs at most a twentieth of the training, at the first
// and the last epoch and at even distances between them, of evenly spaced rows.
func TestRobustPlan(t *testing.T) {
	for _, c := range []struct {
		rows, every, training, validation, epochs int // 0 rows and every: as the training has to spare
		want, times                               int
	}{
		{0, 0, 50_000, 5000, 10, 500, 10}, {0, 0, 24_000, 5000, 10, 363, 10}, {0, 0, 5000, 5000, 20, 101, 11},
		{0, 0, 1000, 5000, 60, 101, 9}, {0, 0, 300, 60, 60, 54, 5}, {0, 0, 1000, 30, 60, 30, 21}, {0, 0, 100, 60, 40, 20, 3},
		{0, 0, 100, 60, 27, 20, 2}, {0, 0, 100, 60, 26, 0, 0}, {0, 0, 5000, 500, 1, 75, 1}, {0, 0, 1000, 500, 2, 0, 0}, {0, 0, 200, 8, 20, 8, 6},
		{7, 0, 500, 5000, 4, 7, 4}, {900, 0, 500, 800, 4, 800, 4}, {50, 3, 500, 800, 10, 50, 4}, {0, 5, 1000, 5000, 20, 60, 5}, {0, 1, 100, 5000, 20, 20, 20},
	} {
		h := &Harden{Steps: 2, Robust: Robust{Rows: c.rows, Every: c.every, Steps: 10}}
		p := h.plan(c.training, c.validation, c.epochs)
		var due []int
		for epoch := 1; epoch <= c.epochs; epoch++ {
			if p.due(epoch) {
				due = append(due, epoch)
			}
		}
		if p.rows != c.want || len(due) != c.times {
			t.Errorf("%+v: %d rows after epochs %v", c, p.rows, due)
			continue
		}
		if c.want == 0 {
			continue
		}
		if p.times() != len(due) {
			t.Errorf("%+v: times are %d, of epochs %v", c, p.times(), due)
		}
		if due[len(due)-1] != c.epochs || due[0] != 1 && c.epochs > 1 && len(due) > 1 {
			t.Errorf("%+v: epochs %v", c, due)
		}
		if cost := float64(len(due)*p.rows) * h.robustPasses() / (float64(c.epochs*c.training) * h.passes()); c.rows == 0 && c.every == 0 && cost > robustShare {
			t.Errorf("%+v: %.3f of the training", c, cost)
		}
		got := p.among(c.validation)
		if got[0] != 0 || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != p.rows || got[len(got)-1] >= c.validation {
			t.Errorf("%+v: rows %v", c, got[:min(5, len(got))])
		}
	}
	if p := (&Harden{Steps: 2}).plan(50_000, 5000, 10); p.rows != 0 || p.due(1) {
		t.Errorf("no steps, and %+v", p)
	}
}

// TestKLJudge: the threshold is that of 5 % false alarms, and clean rows of the next epoch
// take the place of the last one's.
func TestKLJudge(t *testing.T) {
	g := testGuard(t, func(o *Options) {
		o.Harden = &Harden{Norm: "linf", Eps: .1, Steps: 1, Through: "guard", Weight: .5, Robust: Robust{Rows: 12, Steps: 1}}
	})
	j := g.proof.judge.(*klJudge)
	for range 2 {
		if err := g.validate(t.Context(), make([]float64, 1+len(g.reports()))); err != nil {
			t.Fatal(err)
		}
		if len(j.clean) != 12 {
			t.Fatalf("%d clean rows, want 12", len(j.clean))
		}
		if _, err := g.robust(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if j.threshold != slices.Max(j.clean) {
		t.Errorf("threshold of 12 rows is %v, want the largest, %v", j.threshold, slices.Max(j.clean))
	}
	j.clean, j.settled = j.clean[:0], false
	for i := range 99 {
		j.clean = append(j.clean, float64(i))
	}
	j.Flagged(make([]bool, 0), &Step{X: tensor.New(0, 5)})
	if j.threshold != 94 { // k = 100 − 5 = 95
		t.Errorf("threshold of 0 … 98 at 5 %% is %v, want 94", j.threshold)
	}
}

// record is an epoch with its figures.
func record(epoch int, loss, accuracy, robust float64) Record {
	return Record{Epoch: epoch, Metrics: []Value{{"loss", loss}, {"val_accuracy", accuracy}, {NameRobust, robust}}}
}

func TestParted(t *testing.T) {
	for name, c := range map[string]struct {
		robust        []float64
		before, after int // epochs; 0: none
	}{
		"rises":              {[]float64{.1, .3, .5, .6}, 0, 0},
		"within chance":      {[]float64{.1, .5, .42, .45}, 0, 0},
		"one epoch":          {[]float64{.1, .5, .2}, 0, 0},
		"stays down":         {[]float64{.1, .5, .2, .22}, 2, 4},
		"not each epoch":     {[]float64{.1, .5, -1, .2, -1, .22}, 2, 6},
		"now and then":       {[]float64{.1, .5, .2, .45, .2}, 0, 0},
		"recovers":           {[]float64{.1, .5, .2, .2, .49}, 2, 4},
		"falls from the new": {[]float64{.1, .5, .2, .6, .1, .1}, 4, 6},
	} {
		var h []Record
		for i, v := range c.robust {
			h = append(h, record(i+1, 1, .9, v))
			if v < 0 {
				h[i].Metrics = h[i].Metrics[:2]
			}
		}
		before, after := parted(h, 200)
		if c.before == 0 {
			if before != nil {
				t.Errorf("%s: parted from %d to %d", name, before.Epoch, after.Epoch)
			}
			continue
		}
		if before == nil || before.Epoch != c.before || after.Epoch != c.after {
			t.Errorf("%s: parted %v %v, want %d and %d", name, before, after, c.before, c.after)
		}
	}
	if b, _ := parted([]Record{record(1, 1, .9, .5), record(2, 1, .9, .2), record(3, 1, .9, .2)}, 10); b != nil {
		t.Error("ten rows are enough")
	}
	if text := partedText(record(3, .5, .9, .6), record(4, .4, .9, .2)); !strings.Contains(text, "fell from 0.60 in epoch 3 to 0.20 in epoch 4 while") || !strings.Contains(text, "train.harden.steps") {
		t.Error(text)
	}
	if text := partedText(record(3, .5, .9, .6), record(4, .8, .5, .2)); strings.Contains(text, "while") {
		t.Error(text)
	}
}

// proven is a learner whose robust shares are given, by epoch; of a negative one it is not
// due, and finds its size if it is asked all the same.
type proven struct {
	*guard
	shares []float64
	at     int
}

func (p *proven) proves() int { return 100 }

func (p *proven) due(epoch int) bool {
	p.at = epoch
	return p.shares[epoch-1] >= 0
}

func (p *proven) robust(context.Context) (float64, error) { return math.Abs(p.shares[p.at-1]), nil }

// TestKeep: the last epoch is kept that is within a standard error of the best, what it
// had is restored, and a fall is told once.
func TestKeep(t *testing.T) {
	for name, c := range map[string]struct {
		shares   []float64
		keep     string
		stopping *EarlyStopping
		kept     int // 0: the last one's, by Result
		warnings int
		parted   bool
	}{
		"the best":              {[]float64{.2, .6, .3, .1}, "robust", nil, 2, 1, true},
		"the last within error": {[]float64{.2, .6, .58, .1}, "robust", nil, 3, 0, false},
		"the last of all":       {[]float64{.2, .6, .57, .59}, "robust", nil, 4, 0, false},
		"the last, as asked":    {[]float64{.2, .6, .3, .1}, "last", nil, 0, 1, true},
		"nobody asked":          {[]float64{.2, .6, .3, .1}, "", nil, 0, 1, true},
		"recovered":             {[]float64{.6, .2, .2, .6}, "robust", nil, 4, 1, false},
		"early stopping":        {[]float64{.2, .6, .59, .58}, "robust", &EarlyStopping{Patience: 9}, 2, 0, false},
		"stopped":               {[]float64{.6, .2, .2}, "robust", &EarlyStopping{Patience: 2}, 1, 1, true},
		"another monitor":       {[]float64{.6, .2, .1, .1}, "robust", &EarlyStopping{Monitor: NameRobust, Mode: "min", Patience: 9}, 3, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			var each [][]float32
			var warnings []string
			var o *Options
			g := testGuard(t, func(opts *Options) {
				o = opts
				o.Epochs, o.EarlyStopping = max(4, len(c.shares)), c.stopping
				o.Harden = &Harden{Norm: "linf", Eps: .1, Steps: 1, Through: "guard", Weight: .5, Robust: Robust{Steps: 1}, Keep: c.keep}
				o.Events = func(e Event) {
					if e.Warning != "" {
						warnings = append(warnings, e.Warning)
					}
				}
			})
			all := func() (out []float32) {
				for _, p := range g.params() {
					out = append(out, p.Value.Data...)
				}
				return out
			}
			o.Save = func(s *State) error {
				each = append(each, all())
				if len(each) == c.kept && !s.IsBest() {
					t.Error("the state of the epoch to keep is not the best")
				}
				return nil
			}
			r, err := newLoop(o, &proven{guard: g, shares: c.shares}).run(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			kept := c.kept
			if r.BestEpoch != kept {
				t.Errorf("epoch %d is kept, want %d", r.BestEpoch, kept)
			}
			if kept == 0 {
				kept = len(each)
			}
			if !slices.Equal(all(), each[kept-1]) {
				t.Errorf("the weights are not those of epoch %d", kept)
			}
			if len(warnings) != c.warnings {
				t.Errorf("warnings %q, want %d", warnings, c.warnings)
			}
			if b := r.Robustness; b == nil || b.Epoch != kept || b.Share != c.shares[kept-1] || b.Last != c.shares[len(r.History)-1] || b.Best != slices.Max(c.shares) || b.Parted != c.parted || b.Epochs != len(r.History) {
				t.Errorf("robustness %+v", b)
			}
			if v, ok := r.History[1].Get(NameRobust); ok != (c.shares[1] >= 0) || ok && v != c.shares[1] {
				t.Errorf("history has %v", r.History[1])
			}
		})
	}
}
