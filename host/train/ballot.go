package train

import (
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ballot judges rows as a guard that votes over noisy copies does, with fewer of them:
// one is flagged if fewer than a quorum of its copies have the class that the classifier
// gives it. The quorum is that of the same number of votes on the clean rows that are
// attacked, at 5 % false alarms: how a score of one copy flags them says little of it.
type ballot struct {
	g             *guard
	quorum        int
	votes         []int // of the rows at hand
	clean         []int // of all clean rows
	top           []int
	seen, rebuilt view
}

const (
	ballotVotes = 8       // of a row, clean and attacked
	ballotFrom  = 1 << 20 // draws of noise of streamSmooth: those before are the attack's
)

func newBallot(g *guard, size int) *ballot {
	return &ballot{g: g, votes: make([]int, size), top: make([]int, size), seen: newView(size, g.m.Input), rebuilt: newView(size, g.m.Input)}
}

// settle takes the quorum from the clean rows of a proof.
func (b *ballot) settle(ctx context.Context, p *proof) error {
	b.clean = b.clean[:0]
	for lo := 0; lo < len(p.rows); lo += p.size {
		rows := p.rows[lo:min(lo+p.size, len(p.rows))]
		n := len(rows)
		x, examples := p.clean.of(n), p.b.examples[:0]
		for i, r := range rows {
			copy(x.Row(i), b.g.o.Validation.Row(r))
			examples = append(examples, uint64(r))
			b.top[i] = oracle.Argmax(b.g.valP.Row(r))
		}
		p.b.examples = examples
		if err := b.count(ctx, x, examples); err != nil {
			return err
		}
		b.clean = append(b.clean, b.votes[:n]...)
	}
	slices.Sort(b.clean)
	slices.Reverse(b.clean) // fewer votes are stranger
	n := len(b.clean)
	b.quorum = b.clean[min(n, n+1-int(.05*float64(n+1)))-1]
	return nil
}

// count counts the votes of the rows x for the classes top.
func (b *ballot) count(ctx context.Context, x *tensor.Tensor, examples []uint64) error {
	g, n := b.g, x.N()
	noise := g.valNoise(n)
	normal(g.k, noise, g.o.Seed, streamVal, 0, examples)
	clear(b.votes[:n])
	for c := range ballotVotes {
		out, _, _ := g.valPass.Forward(g.noisy(b.seen.of(n), x, streamSmooth, ballotFrom+c, examples), noise)
		if sum := g.k.SumSquares(out.Data); math.IsNaN(sum) || math.IsInf(sum, 0) {
			return errRebuilt
		}
		rebuilt := b.rebuilt.of(n)
		copy(rebuilt.Data, out.Data)
		a, err := g.classifier.predict(ctx, rebuilt)
		if err != nil {
			return err
		}
		for i := range n {
			if oracle.Argmax(a.Output.Row(i)) == b.top[i] {
				b.votes[i]++
			}
		}
	}
	return nil
}

// lost counts the attacked rows x, those of p.b, that pass with another class than they
// had; said is what the classifier says of them.
func (b *ballot) lost(ctx context.Context, p *proof, x, said *tensor.Tensor) (int, error) {
	for i := range x.N() {
		b.top[i] = oracle.Argmax(said.Row(i))
	}
	if err := b.count(ctx, x, p.b.examples); err != nil {
		return 0, err
	}
	n := 0
	for i, r := range p.b.rows {
		if b.votes[i] >= b.quorum && b.top[i] != oracle.Argmax(b.g.valP.Row(r)) {
			n++
		}
	}
	return n, nil
}
