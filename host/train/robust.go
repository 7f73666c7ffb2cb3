package train

import (
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// NameRobust is the metric of hardened training on validation rows: the share that an
// attacker who knows the guard does not bring past it. A row is lost where the
// classifier says another class of the attacked row than of the row, and the guard
// does not flag it.
const NameRobust = "val_robust"

// Robust says how hardened training measures itself after epochs, where there are
// validation rows. The attack is stronger than that of the training and another: from a
// random start it goes for one wrong class, both of the classifier and through the
// reconstruction, and a row counts as lost if it was at any step. The random numbers
// are its own and the same in each epoch, so that no weight depends on it.
//
// Of a guard that votes over noisy copies each step of the attack goes through another
// copy, and where it ends the row's votes decide, eight of them and no more: that costs
// as much again.
//
// With Rows and Every 0 it may take a twentieth of the training's arithmetic, and so about
// a twelfth of the rows that the classifier is asked about: each epoch 100 to 500 rows, or
// 100 rows at least five times, or five times fewer rows, or 20 rows at least twice. A
// training that has not as much to spare is not measured, and its last epoch is kept.
type Robust struct {
	Rows  int `yaml:"rows" check:">= 0" doc:"validation rows that are attacked each time, evenly spaced; 0: up to 500, so many that all times cost at most a twentieth of the training (with every, but at least 20)"`
	Every int `yaml:"every" check:">= 0" doc:"epochs from one measurement to the next, counted back from the last one, which is measured as the first is; 0: 1 with rows, else as rows 0 says; a training too short for 20 rows twice is not measured"`
	Steps int `yaml:"steps" default:"10" check:">= 0" doc:"gradient steps of that attack; 0: nothing is measured"`
}

// What Robust.Rows 0 and Every 0 stand for: bounds of the rows at a time, the rows from
// which on fewer times are better than fewer rows, how many times those are, and the share
// of the training's arithmetic that all of it may take.
const (
	fewestRobust = 20
	usualRobust  = 100
	mostRobust   = 500
	usualTimes   = 5
	robustShare  = 0.05
)

// robustPlan is what a training is measured by: rows of data.validation, after the first,
// the last and every every-th epoch before that. No rows: it is not.
type robustPlan struct {
	rows, every, epochs int
}

// plan is that of a training on so many rows.
func (h *Harden) plan(training, validation, epochs int) robustPlan {
	p := robustPlan{h.Robust.Rows, h.Robust.Every, epochs}
	if h.Robust.Steps == 0 || validation == 0 {
		return robustPlan{}
	}
	// In rows that are attacked, all times together: of passes forward or back a training row
	// has 6 and two a step, as in Estimate, one of these two of the auto-encoder at each step,
	// and of the classifier for itself and its reconstruction.
	spare := robustShare * float64(epochs) * float64(training) * h.passes() / h.robustPasses()
	switch {
	case p.rows > 0:
		p.every = max(p.every, 1)
	case p.every > 0:
		p.rows = clamp(int(spare/float64(p.times())), fewestRobust, mostRobust)
	case spare < float64(min(epochs, 2)*min(fewestRobust, validation)):
		return robustPlan{}
	default:
		times := min(epochs, max(usualTimes, int(spare/float64(min(usualRobust, validation)))))
		p.rows = min(clamp(int(spare/float64(times)), fewestRobust, mostRobust), validation)
		for p.every = 1; p.every < epochs && float64(p.times()*p.rows) > spare; {
			p.every++
		}
	}
	p.rows = min(p.rows, validation)
	return p
}

func clamp(v, least, most int) int { return min(max(v, least), most) }

// passes are those through the auto-encoder that a training row takes an epoch.
func (h *Harden) passes() float64 { return 6 + 2*float64(h.Steps) }

// robustPasses are those of a row that is attacked to measure, the classifier's among them.
func (h *Harden) robustPasses() float64 { return 3 * float64(h.Robust.Steps+1) }

// due reports whether an epoch, the first being 1, is measured.
func (p robustPlan) due(epoch int) bool {
	return p.rows > 0 && (epoch == 1 || (p.epochs-epoch)%p.every == 0)
}

// times is how many epochs are.
func (p robustPlan) times() int {
	n := (p.epochs + p.every - 1) / p.every // counted back from the last one
	if (p.epochs-1)%p.every != 0 {
		n++
	}
	return n
}

// among are those of n validation rows that are attacked.
func (p robustPlan) among(n int) []int {
	rows := make([]int, p.rows)
	for i := range rows {
		rows[i] = i * n / p.rows
	}
	return rows
}

// Judge is the verdict of the guard that is being trained, as far as its training can
// have it: its scores, with the threshold that clean validation rows give. Of a Step it
// reads X, Rebuilt, P, Q, HiddenP and HiddenQ, and keeps none.
type Judge interface {
	// Clean takes further clean rows. The first after a call of Flagged begin anew.
	Clean(s *Step)
	// Flagged writes for each row of s whether it is flagged.
	Flagged(dst []bool, s *Step)
}

// Forgetful is a Companion that can forget what it saw since the last Step, so that
// what is asked besides the training teaches it nothing. Others are asked nothing besides.
type Forgetful interface {
	Companion
	Forget()
}

// prover is a learner that measures how robust it is.
type prover interface {
	// proves is the number of rows that it attacks; 0: it does not.
	proves() int
	// due reports whether it attacks them after an epoch.
	due(epoch int) bool
	// prepare is called before validate, and says whether robust will be after it.
	prepare(due bool)
	// robust is the share of them that stand; validate was called before.
	robust(ctx context.Context) (float64, error)
}

// proof attacks validation rows.
type proof struct {
	g     *guard
	judge Judge // nil: votes does
	votes *ballot
	plan  robustPlan
	rows  []int // of the validation rows
	asked bool  // the judge looks at the clean rows of this epoch
	size  int   // that are attacked together

	clean, seen      view
	b                batch
	target           []int
	flagged, evaded  []bool
	logP, logQ       []float64
	hiddenP, hiddenQ []*tensor.Tensor
}

// newProof is nil where nothing is to be measured.
func newProof(g *guard) *proof {
	h := g.o.Harden
	if h == nil || h.Robust.Steps == 0 || g.o.Validation == nil {
		return nil
	}
	if c, ok := g.o.Classifier.(Companion); ok {
		if _, ok := c.(Forgetful); !ok {
			return nil
		}
	}
	plan := h.plan(g.o.Train.N(), g.o.Validation.N(), g.o.Epochs)
	if plan.rows == 0 {
		return nil
	}
	p := &proof{g: g, judge: g.o.Judge, plan: plan, rows: plan.among(g.o.Validation.N()), asked: true}
	p.size = min(g.o.BatchSize, g.o.Train.N(), g.valPass.Batch(), len(p.rows))
	if balls := len(h.balls()); p.size > balls {
		p.size -= p.size % balls // so that rows take the balls in turn throughout
	}
	switch {
	case p.judge != nil:
	case g.attack.smooth():
		p.votes = newBallot(g, p.size)
	default:
		p.judge = &klJudge{setup: g.o.Setup}
	}
	p.clean, p.seen = newView(p.size, g.m.Input), newView(p.size, g.m.Input)
	p.target, p.flagged, p.evaded = make([]int, p.size), make([]bool, p.size), make([]bool, p.size)
	p.logP, p.logQ = make([]float64, g.p.Stride()), make([]float64, g.p.Stride())
	return p
}

func (g *guard) proves() int {
	if g.proof == nil {
		return 0
	}
	return len(g.proof.rows)
}

func (g *guard) due(epoch int) bool { return g.proof != nil && g.proof.plan.due(epoch) }

func (g *guard) prepare(due bool) {
	if g.proof != nil {
		g.proof.asked = due
	}
}

func (g *guard) robust(ctx context.Context) (float64, error) {
	p := g.proof
	if p.votes != nil {
		if err := p.votes.settle(ctx, p); err != nil {
			return 0, err
		}
	}
	lost := 0
	for lo := 0; lo < len(p.rows); lo += p.size {
		n, err := p.attack(ctx, p.rows[lo:min(lo+p.size, len(p.rows))])
		if err != nil {
			return 0, err
		}
		lost += n
	}
	if c, ok := g.o.Classifier.(Forgetful); ok {
		c.Forget()
	}
	return 1 - float64(lost)/float64(len(p.rows)), nil
}

// attack counts those of some rows that come past the guard.
func (p *proof) attack(ctx context.Context, rows []int) (int, error) {
	g, a, n := p.g, p.g.attack, len(rows)
	both := a.both.of(2 * n) // attacked rows, then their reconstructions
	x, rebuilt := both.Rows(0, n), both.Rows(n, 2*n)
	p.b.rows, p.b.examples, p.b.x = rows, p.b.examples[:0], p.clean.of(n)
	for i, r := range rows {
		p.b.examples = append(p.b.examples, uint64(r))
		copy(p.b.x.Row(i), g.o.Validation.Row(r))
	}
	delta := a.start.of(n)
	a.startIn(delta, &p.b, 1, streamRobust, streamRobustRadius)
	a.place(x.Data, p.b.x.Data, delta.Data)
	noise := g.valNoise(n)
	normal(g.k, noise, g.o.Seed, streamVal, 0, p.b.examples)
	clear(p.evaded)
	steps := g.o.Harden.Robust.Steps
	for step := 0; ; step++ {
		seen := x
		if a.smooth() {
			draw := 0
			if p.votes != nil {
				draw = 1 + step
			}
			seen = g.noisy(p.seen.of(n), x, streamSmooth, draw, p.b.examples)
		}
		out, _, _ := g.valPass.Forward(seen, noise)
		if sum := g.k.SumSquares(out.Data); math.IsNaN(sum) || math.IsInf(sum, 0) {
			return 0, errRebuilt
		}
		copy(rebuilt.Data, out.Data)
		ask := g.classifier.forward
		if step == steps {
			ask = g.classifier.predict
		}
		ans, err := ask(ctx, both)
		if err != nil {
			return 0, err
		}
		if step == 0 {
			p.aim(ans.Output, n)
		}
		switch {
		case p.votes == nil:
			if lost := p.look(x, rebuilt, ans, n); step == steps || lost == n {
				return lost, nil
			}
		case step == steps:
			return p.votes.lost(ctx, p, x, ans.Output)
		}
		back, err := p.climb(ctx, ans, n)
		if err != nil {
			return 0, err
		}
		a.ascend(x, back, &p.b, 0, 1, max(.5*float32(steps-step)/float32(steps), .05))
	}
}

// aim picks the wrong class of each row that classifier and reconstruction together
// are nearest to.
func (p *proof) aim(out *tensor.Tensor, n int) {
	kind := p.g.classifier.Info().Output
	for i, r := range p.b.rows {
		oracle.LogProbabilities(p.logP, out.Row(i), kind, 1)
		oracle.LogProbabilities(p.logQ, out.Row(n+i), kind, 1)
		for c, l := range p.logQ {
			p.logP[c] += l
		}
		p.target[i] = oracle.ArgmaxBut(p.logP, oracle.Argmax(p.g.valP.Row(r)))
	}
}

// look counts the rows that are lost by now.
func (p *proof) look(x, rebuilt *tensor.Tensor, ans answer, n int) int {
	s := Step{X: x, Rebuilt: rebuilt, P: ans.Output.Rows(0, n), Q: ans.Output.Rows(n, 2*n)}
	p.hiddenP, p.hiddenQ = p.hiddenP[:0], p.hiddenQ[:0]
	for _, l := range ans.logits {
		p.hiddenP, p.hiddenQ = append(p.hiddenP, l.Rows(0, n)), append(p.hiddenQ, l.Rows(n, 2*n))
	}
	s.HiddenP, s.HiddenQ = p.hiddenP, p.hiddenQ
	p.judge.Flagged(p.flagged[:n], &s)
	lost := 0
	for i, r := range p.b.rows {
		if !p.flagged[i] && oracle.Argmax(s.P.Row(i)) != oracle.Argmax(p.g.valP.Row(r)) {
			p.evaded[i] = true
		}
		if p.evaded[i] {
			lost++
		}
	}
	return lost
}

// certain is the lead, in nats, of the target over other classes from which on the
// attack leaves what the classifier says of the row alone.
const certain = 1

// climb is the gradient, at the attacked rows, of their target's lead over the next class:
// of the reconstruction always, and of the row itself as long as it is not certain. One
// who pulls at both to the end, or by cross-entropies, spends steps on what is reached: ten
// of them bring half as many rows past a guard of Fashion-MNIST.
func (p *proof) climb(ctx context.Context, ans answer, n int) (*tensor.Tensor, error) {
	g := p.g
	d, kind := g.dQ.of(2*n), g.classifier.Info().Output
	clear(d.Data)
	for i := range 2 * n {
		t, out := p.target[i%n], ans.Output.Row(i)
		next := oracle.ArgmaxBut(out, t)
		level, slope := oracle.Level(kind, out[t])
		other, fall := oracle.Level(kind, out[next])
		if i < n && level-other > certain {
			continue
		}
		d.Row(i)[t], d.Row(i)[next] = float32(slope), float32(-fall)
	}
	dx, err := g.classifier.pull(ctx, ans, d, nil)
	if err != nil {
		return nil, err
	}
	back := g.valPass.Backward(dx.Rows(n, 2*n), nil, nil, nil)
	g.k.Add(back.Data, dx.Rows(0, n).Data)
	return back, nil
}

// klJudge flags by KL(P ‖ Q) at 5 % false alarms, where nobody says how the guard
// will judge.
type klJudge struct {
	setup     Setup
	clean     []float64 // sorted once settled
	settled   bool
	threshold float64
}

// Clean implements Judge.
func (j *klJudge) Clean(s *Step) {
	if j.settled {
		j.clean, j.settled = j.clean[:0], false
	}
	at := len(j.clean)
	j.clean = append(j.clean, make([]float64, s.N())...)
	KL{}.Rows(j.clean[at:], s, j.setup)
}

// Flagged implements Judge.
func (j *klJudge) Flagged(dst []bool, s *Step) {
	if !j.settled {
		j.settled = true
		slices.Sort(j.clean)
		n := len(j.clean)
		j.threshold = j.clean[min(n, n+1-int(.05*float64(n+1)))-1]
	}
	score := make([]float64, len(dst))
	KL{}.Rows(score, s, j.setup)
	for i, v := range score {
		dst[i] = v > j.threshold
	}
}

var (
	_ prover = (*guard)(nil)
	_ Judge  = (*klJudge)(nil)
)
