package detect

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/mathext"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// ErrNoVotes is the error of certifying what does not vote.
var ErrNoVotes = errors.New("nothing can be proved: the detector does not flag by votes over noisy copies of a row")

// CertifyOptions of Detector.Certify. The zero value is what the detector says.
type CertifyOptions struct {
	Votes int     // noisy copies of each row; 0: Proof.Votes
	Alpha float64 // 0: Proof.Alpha
	// Alone proves the same of the classifier by itself, without reconstructions:
	// further copies of each row.
	Alone    bool
	Progress func(done, of int) // receives the number of rows done; nil: none
}

// Certificate is what is proved of one row x and one class y. Radii are distances
// in the L2 norm, in the units of the rows that the detector takes; 0: nothing is
// proved.
type Certificate struct {
	Class int     // y
	Votes int     // of the proof's noisy copies, for y
	Share float64 // lower bound of y's share of all votes, with confidence 1 − α/2
	// Radius: any single x′ nearer to x is both misclassified, M(x′) ≠ y, and unflagged
	// with a chance of at most α.
	Radius float64
	// Corrected: of any single x′ nearer to x the most votes are for y, and with them the
	// corrected answer is y, but for a chance of at most α, and unless Options.Correct
	// keeps it from being taken.
	Corrected float64
	// Smoothed is the usual certificate of Cohen et al.: for every x′ nearer to x,
	// y has the majority of infinitely many votes. Alone is that of the classifier
	// by itself, 0 where it was not asked for. Both have all of α for themselves.
	Smoothed, Alone float64
}

// Certificates are those of a number of rows, with what they rest on.
type Certificates struct {
	Sigma float64
	Alpha float64 // chance that a certificate does not hold
	Votes int     // that a verdict rests on
	Proof int     // that a certificate rests on
	// Quorum is the fewest of Votes with which a row may be unflagged, over classes;
	// ShareOf is the least share of infinitely many votes with which that happens
	// with a chance of α/2 or more: τ′.
	Quorum  int
	ShareOf float64
	Rows    []Certificate
}

// Certify proves, for each row x of n and a class of each, within which distance
// any single row is both misclassified and unflagged with a chance of at most α.
//
// The statement. Let p_c(x) be the probability that G(x + σ·n), n ~ N(0, I), is
// classified as c, and y the class of a row x. A row x′ that the classifier gives a
// class c ≠ y is unflagged only if c has at least the quorum of the detector's own
// votes at x′. By Neyman and Pearson's lemma (Cohen et al. 2019) p_y(x′) ≥ Φ(Φ⁻¹(p_y(x)) −
// ‖x′−x‖/σ), whatever the networks are, so c's share at x′ is at most one less that.
// It is below τ′ for all x′ with ‖x′−x‖ < σ·(Φ⁻¹(p_y(x)) + Φ⁻¹(τ′)): the Radius,
// with a lower bound for p_y(x).
//
// What α means. p_y(x) is bounded by Clopper and Pearson's method from
// CertifyOptions.Votes copies with noise of their own, with confidence 1 − α/2. τ′ is the
// largest share with which the quorum is reached with a chance of at most α/2 less
// Votes.Stop. So for each row x, and each x′ within its radius that was chosen
// without knowledge of the noise at x′, the chance over noise that x′ is
// misclassified and unflagged is at most α. It is a statement of each x′, not of all at
// once: who tries k of them, as who knows the detector's seed can, has k times the chance. And
// of n rows, αn certificates are expected not to hold: count them, and let no
// single one decide.
//
// What it rests on: noise that is Gaussian and independent from one row's bits to
// another's (here it comes from a counter-based generator, in float32), a classifier
// that gives a row the same class whenever asked, and rows as the detector takes them, after preparation.
func (d *Detector) Certify(ctx context.Context, x *tensor.Tensor, classes []int, o CertifyOptions) (*Certificates, error) {
	st := d.state.Load()
	c, err := d.newCertifier(st, o)
	if err != nil {
		return nil, err
	}
	if len(classes) != x.N() {
		return nil, fmt.Errorf("certify: %d classes for %d rows", len(classes), x.N())
	}
	for i, y := range classes {
		if y < 0 || y >= d.info.NumClasses {
			return nil, fmt.Errorf("certify: row %d has class %d, want 0 to %d", i, y, d.info.NumClasses-1)
		}
	}
	if err := d.checkInput(x); err != nil {
		return nil, err
	}
	p, err := d.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	defer d.pool.put(p)
	for i, y := range classes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		one, err := c.row(ctx, p.second.(Drawer), x.Rows(i, i+1), y)
		if err != nil {
			return nil, fmt.Errorf("certify: row %d: %w", i, err)
		}
		c.out.Rows = append(c.out.Rows, one)
		if o.Progress != nil {
			o.Progress(i+1, len(classes))
		}
	}
	return c.out, nil
}

// Voting says how the detector votes; nil: its score counts no votes.
func (d *Detector) Voting() *Votes {
	if d.voting == nil || d.voting.score < 0 {
		return nil
	}
	v := d.voting.Votes
	return &v
}

// Quorums are, by predicted class, the fewest of a row's votes with which it may be
// unflagged, whatever other scores say: 0 where none are wanted, Votes.N + 1 where it is
// always flagged. Nil without votes or threshold.
func (d *Detector) Quorums() []int { return slices.Clone(d.state.Load().quorum) }

// Certifies reports whether Certify can prove anything: nil, or why not.
func (d *Detector) Certifies() error {
	switch st := d.state.Load(); {
	case d.voting == nil || d.voting.score < 0:
		return ErrNoVotes
	case st.Threshold == nil:
		return ErrNoThreshold
	}
	return nil
}

// certifier makes the certificates of rows.
type certifier struct {
	d     *Detector
	o     CertifyOptions
	slack float64 // chance that the detector's own votes mislead
	// quorum by the class that a row must not have: the least of the other classes.
	quorum []int
	out    *Certificates
}

func (d *Detector) newCertifier(st *state, o CertifyOptions) (*certifier, error) {
	if err := d.Certifies(); err != nil {
		return nil, err
	}
	v := d.voting
	if o.Votes == 0 {
		o.Votes = v.Proof.Votes
	}
	if o.Alpha == 0 {
		o.Alpha = v.Proof.Alpha
	}
	if err := (Proof{o.Votes, o.Alpha}).validate(v.Stop); err != nil {
		return nil, fmt.Errorf("certify: %w", err)
	}
	c := &certifier{d: d, o: o, slack: o.Alpha/2 - v.Stop}
	least := v.N + 1
	for y := range d.info.NumClasses {
		q := v.N + 1
		for other, k := range st.quorum {
			if other != y {
				q = min(q, k)
			}
		}
		c.quorum, least = append(c.quorum, q), min(least, q)
	}
	c.out = &Certificates{Sigma: v.Sigma, Alpha: o.Alpha, Votes: v.N, Proof: o.Votes, Quorum: least, ShareOf: lowerShare(least, v.N, c.slack)}
	return c, nil
}

// row is the certificate of one row.
func (c *certifier) row(ctx context.Context, draw Drawer, x *tensor.Tensor, y int) (Certificate, error) {
	out := Certificate{Class: y}
	var err error
	if out.Votes, err = c.count(ctx, draw, x, y, false); err != nil {
		return out, err
	}
	n, sigma := c.d.voting.N, c.d.voting.Sigma
	q := c.quorum[y]
	out.Share = lowerShare(out.Votes, c.o.Votes, c.o.Alpha/2)
	out.Radius = radius(sigma, out.Share, lowerShare(q, n, c.slack))
	// With more than half of the votes, y has the most; with more than n − q, no
	// other class has a quorum. The chance of fewer is that of n − enough + 1 others.
	enough := max(n/2+1, n-q+1)
	out.Corrected = radius(sigma, out.Share, lowerShare(n-enough+1, n, c.slack))
	out.Smoothed = radius(sigma, lowerShare(out.Votes, c.o.Votes, c.o.Alpha), .5)
	if c.o.Alone {
		votes, err := c.count(ctx, draw, x, y, true)
		if err != nil {
			return out, err
		}
		out.Alone = radius(sigma, lowerShare(votes, c.o.Votes, c.o.Alpha), .5)
	}
	return out, nil
}

// count is how many of a row's noisy copies are given the class y. One whose
// reconstruction is not finite is a vote for no class.
func (c *certifier) count(ctx context.Context, draw Drawer, x *tensor.Tensor, y int, bare bool) (votes int, err error) {
	d := c.d
	asked := d.rebuilt
	if bare {
		asked = d.oracle
	}
	step := max(1, chunkBytes/(4*d.input.Size()))
	for from := 0; from < c.o.Votes; from += step {
		to := min(from+step, c.o.Votes)
		copies := tensor.Batch(to-from, d.input)
		draw.Draw(copies, x, Draws{Use: ForProof, From: from, To: to, Bare: bare})
		void := make([]bool, copies.N())
		for j := range void {
			if void[j] = !finite(copies.Row(j)); void[j] {
				clear(copies.Row(j))
			}
		}
		a, err := asked.Predict(ctx, copies, nil)
		if err != nil {
			return 0, err
		}
		for j := range void {
			if !void[j] && oracle.Argmax(a.Output.Row(j)) == y {
				votes++
			}
		}
	}
	return votes, nil
}

// lowerShare is the largest p with P(Binomial(n, p) ≥ k) ≤ alpha: Clopper and
// Pearson's one-sided lower bound of a share of which k of n were seen. It is 0
// for k ≤ 0, and 1 for k > n.
func lowerShare(k, n int, alpha float64) float64 {
	switch {
	case k <= 0:
		return 0
	case k > n:
		return 1
	}
	return mathext.InvRegIncBeta(float64(k), float64(n-k+1), alpha)
}

// radius is σ·(Φ⁻¹(p) + Φ⁻¹(q)), at least 0; and 0 where that is infinite, as where
// every row is flagged: that proves nothing.
func radius(sigma, p, q float64) float64 {
	if p <= 0 || q <= 0 || p >= 1 || q >= 1 {
		return 0
	}
	return max(0, sigma*(distuv.UnitNormal.Quantile(p)+distuv.UnitNormal.Quantile(q)))
}
