package evaluate

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Certify proves what it can of rows and a class of each, as detect.Detector does.
type Certify func(ctx context.Context, x *tensor.Tensor, classes []int, o detect.CertifyOptions) (*detect.Certificates, error)

// CertifiedReport is what is proved of clean rows with their true classes, whatever
// an attacker does: "certified" of report.json, and what the verb certify writes. It
// stands beside its price, false alarms and clean accuracy: a detector that flags every
// row proves nothing.
//
// A curve counts certificates, each of which does not hold with a chance of at most
// alpha: of n rows alpha·n are expected to be counted wrongly. See
// detect.Detector.Certify for the statement and what it rests on.
type CertifiedReport struct {
	Sigma      float64 `json:"sigma"`       // of the noise, in the units of the rows that the detector takes
	Alpha      float64 `json:"alpha"`       // chance that a certificate does not hold
	Votes      int     `json:"votes"`       // that a verdict rests on
	ProofVotes int     `json:"proof_votes"` // that a certificate rests on, others than those
	// Quorum is the fewest votes with which a row is not flagged for them, QuorumShare
	// the share of all possible votes with which that happens by chance alpha/2: τ′.
	Quorum      int     `json:"quorum"`
	QuorumShare float64 `json:"quorum_share"`

	N                 int                 `json:"n"`
	FPR               float64             `json:"fpr"`
	Accuracy          float64             `json:"accuracy"`
	AccuracyCorrected float64             `json:"accuracy_corrected"`
	CleanCost         float64             `json:"clean_cost"` // accuracy less accuracy_corrected
	CI95              map[string]Interval `json:"ci95"`

	Curve []CertifiedPoint `json:"curve"`
	// Seconds are those of the proofs, without the verdicts.
	Seconds float64 `json:"seconds"`
}

// CertifiedPoint are the shares of rows of which something is proved within an L2
// radius: that any single row x′ that is no further away, with a chance of at most alpha, …
type CertifiedPoint struct {
	Radius float64 `json:"radius"`
	// … is both misclassified and unflagged: of all rows, and of those that the
	// classifier has right.
	RightOrFlagged      float64 `json:"right_or_flagged"`
	RightOrFlaggedRight Number  `json:"right_or_flagged_of_right"`
	// … has another corrected answer than the right one.
	Corrected      float64 `json:"corrected"`
	CorrectedRight Number  `json:"corrected_of_right"`
	// … has a majority of infinitely many votes against the right class: the usual
	// certificate of randomized smoothing, and that of the classifier by itself, null
	// where it was not asked for.
	Smoothed float64             `json:"smoothed"`
	Alone    Number              `json:"classifier_alone"`
	CI95     map[string]Interval `json:"ci95"` // of right_or_flagged and corrected
}

// pointsOfCurve and stepOfCurve are those of a curve where no radii are named: up
// to 4·sigma.
const (
	pointsOfCurve = 21
	stepOfCurve   = .2
)

// Radii are those of a curve for a sigma.
func Radii(sigma float64) []float64 {
	out := make([]float64, pointsOfCurve)
	for i := range out {
		out[i] = math.Round(stepOfCurve*sigma*float64(i)*1e9) / 1e9
	}
	return out
}

// NewCertifiedReport counts certificates of rows, whose classes are their labels, beside what
// the detector says of the same rows. alone: they have radii of the classifier by
// itself. No radii stands for Radii(sigma).
func NewCertifiedReport(c *detect.Certificates, r *detect.Result, labels []int, alone bool, radii []float64) *CertifiedReport {
	n := len(labels)
	right, corrected, flagged := agree(r.Predicted, labels), agree(r.Corrected, labels), count(r.Adversarial)
	out := &CertifiedReport{
		Sigma: c.Sigma, Alpha: c.Alpha, Votes: c.Votes, ProofVotes: c.Proof, Quorum: c.Quorum, QuorumShare: c.ShareOf,
		N: n, FPR: share(flagged, n), Accuracy: share(right, n), AccuracyCorrected: share(corrected, n),
		CleanCost: share(right-corrected, n),
		CI95:      map[string]Interval{"fpr": ClopperPearson(flagged, n), "accuracy": ClopperPearson(right, n), "accuracy_corrected": ClopperPearson(corrected, n)},
	}
	if radii == nil {
		radii = Radii(c.Sigma)
	}
	for _, radius := range radii {
		// proved counts rows, and those of them that the classifier has right.
		proved := func(of func(detect.Certificate) float64) (all, ofRight int) {
			for i, one := range c.Rows {
				if of(one) > radius {
					all++
					if r.Predicted[i] == labels[i] {
						ofRight++
					}
				}
			}
			return all, ofRight
		}
		guarded, guardedRight := proved(func(c detect.Certificate) float64 { return c.Radius })
		answered, answeredRight := proved(func(c detect.Certificate) float64 { return c.Corrected })
		smoothed, _ := proved(func(c detect.Certificate) float64 { return c.Smoothed })
		p := CertifiedPoint{
			Radius: radius, RightOrFlagged: share(guarded, n), RightOrFlaggedRight: ratio(guardedRight, right),
			Corrected: share(answered, n), CorrectedRight: ratio(answeredRight, right), Smoothed: share(smoothed, n), Alone: Number(math.NaN()),
			CI95: map[string]Interval{"right_or_flagged": ClopperPearson(guarded, n), "corrected": ClopperPearson(answered, n)},
		}
		if alone {
			k, _ := proved(func(c detect.Certificate) float64 { return c.Alone })
			p.Alone = Number(share(k, n))
		}
		out.Curve = append(out.Curve, p)
	}
	return out
}

// At is the point of a radius; nil: the curve has none.
func (c *CertifiedReport) At(radius float64) *CertifiedPoint {
	i := slices.IndexFunc(c.Curve, func(p CertifiedPoint) bool { return math.Abs(p.Radius-radius) < 1e-9 })
	if i < 0 {
		return nil
	}
	return &c.Curve[i]
}

// defaultCertified is Section.Certified for 0.
const defaultCertified = 100

// certify adds the section certified, where the detector can be certified.
func (e *evaluation) certify(ctx context.Context) error {
	n := e.o.Certified
	if e.o.Certify == nil || n < 0 {
		return nil
	}
	if n == 0 {
		n = defaultCertified
	}
	rows := Balanced(e.o.Labels, n, e.o.Seed)
	x, labels := tensor.Batch(len(rows), e.o.X.Example()), make([]int, len(rows))
	r := &detect.Result{}
	for i, row := range rows {
		copy(x.Row(i), e.o.X.Row(row))
		labels[i] = e.o.Labels[row]
		r.Predicted = append(r.Predicted, e.result.Predicted[row])
		r.Corrected = append(r.Corrected, e.result.Corrected[row])
		r.Adversarial = append(r.Adversarial, e.result.Adversarial[row])
	}
	start := time.Now()
	c, err := e.o.Certify(ctx, x, labels, detect.CertifyOptions{Alone: true, Progress: func(done, of int) { e.progress("certificates", done, of) }})
	if err != nil {
		return fmt.Errorf("certificates: %w", err)
	}
	e.report.Certified = NewCertifiedReport(c, r, labels, true, nil)
	e.report.Certified.Seconds = time.Since(start).Seconds()
	return nil
}
