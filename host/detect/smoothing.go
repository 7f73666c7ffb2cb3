package detect

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Smoothing is an Opinion that votes: its versions of an input x are
// reconstructions G(x + σ·n_j) of noisy copies, and each votes for the class that
// the classifier gives it (randomized smoothing: Cohen, Rosenfeld and Kolter 2019,
// arXiv:1902.02918; with a denoiser in front of a classifier that stays as it is:
// Salman et al. 2020, arXiv:2003.01908). Its passes are Drawers.
//
// The noise n_j ~ N(0, I) is made from the bits of x, the opinion's seed and j, so
// that a row has the same votes in any batch, process or shard, and rows that differ
// have votes of their own.
type Smoothing interface {
	Opinion
	Votes() Votes
}

// Votes say how a Smoothing opinion votes, and what is proved of it.
type Votes struct {
	Sigma float64 // standard deviation of the noise, in the input's units; > 0
	N     int     // votes of a row, the Form's Rebuilt
	// Stop is the chance per row, < 1, that Detect may take for passing a row that
	// all N votes would flag, where it ends the votes early; 0: it ends them only
	// where the rest cannot change the verdict. See Detector.Detect.
	Stop  float64
	Proof Proof
}

// Proof says how certificates are made: see Detector.Certify.
type Proof struct {
	Votes int     // noisy copies of a row, other ones than it votes with; ≥ 1
	Alpha float64 // chance that a certificate does not hold, 0 to 1; more than 2·Votes.Stop
}

// Validate reports what cannot be worked with.
func (v Votes) Validate() error {
	switch {
	case !(v.Sigma > 0) || math.IsInf(v.Sigma, 0):
		return fmt.Errorf("sigma is %v, want a number above 0", v.Sigma)
	case v.N < 1:
		return fmt.Errorf("%d votes, want at least 1", v.N)
	case !(v.Stop >= 0 && v.Stop < 1):
		return fmt.Errorf("stop is %v, want 0 to below 1", v.Stop)
	}
	return v.Proof.validate(v.Stop)
}

func (p Proof) validate(stop float64) error {
	switch {
	case p.Votes < 1:
		return fmt.Errorf("a proof of %d votes, want at least 1", p.Votes)
	case !(p.Alpha > 0 && p.Alpha < 1):
		return fmt.Errorf("alpha is %v, want between 0 and 1", p.Alpha)
	case p.Alpha/2 <= stop:
		return fmt.Errorf("alpha is %v, want more than %v: half of it covers the votes of the detector, which may end early with a chance of %v", p.Alpha, 2*stop, stop)
	}
	return nil
}

// Draws are some of the noisy copies of a row.
type Draws struct {
	// Use keeps noise for one purpose from that for another: they are
	// independent.
	Use      NoiseUse
	From, To int  // copies From ≤ j < To
	Bare     bool // x + σ·n_j itself, not its reconstruction
}

// NoiseUse is what noise is for.
type NoiseUse uint64

// The uses.
const (
	ForVotes NoiseUse = iota // a row's verdict
	ForProof                 // a row's certificate
)

// Drawer is the Pass of a Smoothing opinion. Its Forward writes the copies 0 … N−1
// for votes.
type Drawer interface {
	Pass
	// Draw writes copies of each row of x to dst, (n·(To−From), example…), those of
	// row i at rows i·(To−From) ….
	Draw(dst, x *tensor.Tensor, d Draws)
}

// VoteScore is a Score that only counts: of how many of a row's versions the
// classifier says what it says of the row.
type VoteScore interface {
	Score
	// OfVotes is the score of a row with a number of such votes, 0 to of. It falls
	// as they grow.
	OfVotes(votes, of int) float64
}

// voting is what a detector with a Smoothing opinion knows of it.
type voting struct {
	Votes
	score int // that counts, of Options.Scores; −1: none does
	early bool
}

// newVoting is that of a detector; nil: its opinion does not vote.
func newVoting(o Options) (*voting, error) {
	s, ok := o.Opinion.(Smoothing)
	if !ok {
		return nil, nil
	}
	v := &voting{Votes: s.Votes(), score: -1}
	if err := v.Validate(); err != nil {
		return nil, err
	}
	if n := o.Opinion.Form().Rebuilt; n != v.N {
		return nil, fmt.Errorf("it has %d votes and %d versions of an input", v.N, n)
	}
	for j, one := range o.Scores {
		if _, ok := one.Score.(VoteScore); ok {
			v.score = j
			break
		}
	}
	v.early = v.score >= 0 && len(o.Scores) == 1 && len(o.Hidden) == 0
	return v, nil
}

// quorums are, by predicted class, the fewest of a row's votes with which it may be
// unflagged, whatever the other scores say: 0 where it is never flagged for its
// votes, N + 1 where it always is. Nil where votes are not counted or there is no
// threshold.
func (d *Detector) quorums(s *state) []int {
	v := d.voting
	if v == nil || v.score < 0 || s.Threshold == nil || d.o.Fusion != NoFusion && s.fusion == nil {
		return nil
	}
	score := d.o.Scores[v.score].Score.(VoteScore)
	raw := d.columns(1)
	for j := range raw {
		raw[j][0] = math.Inf(-1) // fusions grow with each score: this is the least that others add
	}
	out := make([]int, d.info.NumClasses)
	for class := range out {
		votes := v.N
		for ; votes >= 0; votes-- {
			raw[v.score][0] = score.OfVotes(votes, v.N)
			if s.align(s.fuse(raw), []int{class})[0] > s.Threshold.Value {
				break
			}
		}
		out[class] = votes + 1
	}
	return out
}

// stops says when a row's votes may end early.
type stops struct {
	looks []int // after how many votes they are counted, ascending; the last is all
	least []int // with how many of them a row passes then
}

// looksAt is how often votes are counted before the last.
const looksAt = 7

// newStops are those of a quorum of n votes, where a row that all n votes would flag
// passes with a chance of at most stop.
//
// Votes are exchangeable: given that k of all n are for the class, the number among
// the first m is hypergeometric, whatever their probability is. A row may pass with
// c of m votes where that number reaches c with a chance of at most stop, shared by
// the looks, even from the most votes that are flagged, quorum − 1.
func newStops(n, quorum int, stop float64) stops {
	s := stops{looks: looksOf(n)}
	early := s.looks[:len(s.looks)-1]
	each := stop / float64(max(1, len(early)))
	for _, m := range early {
		tail, c := 0.0, min(m, quorum-1)+1 // more than that is impossible
		for c > 0 {
			if tail += hypergeometric(n, quorum-1, m, c-1); tail > each {
				break
			}
			c--
		}
		s.least = append(s.least, max(0, c))
	}
	s.least = append(s.least, quorum)
	return s
}

// looksOf is after how many of n votes they are counted, ascending; the last is all.
func looksOf(n int) []int {
	var looks []int
	for j := 1; j <= looksAt; j++ {
		if m := (n*j + looksAt) / (looksAt + 1); m < n && (len(looks) == 0 || m > looks[len(looks)-1]) {
			looks = append(looks, m)
		}
	}
	return append(looks, n)
}

// hypergeometric is the chance that of m draws without replacement from n, of which
// good are good, k are.
func hypergeometric(n, good, m, k int) float64 {
	if good < 0 || k < 0 || k > good || k > m || m-k > n-good {
		return 0
	}
	return math.Exp(logChoose(good, k) + logChoose(n-good, m-k) - logChoose(n, m))
}

// logChoose is ln of n over k.
func logChoose(n, k int) float64 {
	f := func(i int) float64 { v, _ := math.Lgamma(float64(i) + 1); return v }
	return f(n) - f(k) - f(n-k)
}
