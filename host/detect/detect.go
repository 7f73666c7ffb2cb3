// Package detect scores, flags and corrects inputs.
package detect

import "github.com/vaeguard/vaeguard/sdk/tensor"

// Evidence is what a score sees of a batch of n instances with s noise
// samples each. Rebuilt, LogQ, ZQ and HiddenQ hold n·s rows, sample s of
// instance i at row i·Samples + s.
type Evidence struct {
	Samples int            // ≥ 1
	X       *tensor.Tensor // (n, example…)
	Rebuilt *tensor.Tensor // (n·s, example…); nil for methods that reconstruct nothing
	// LogP and LogQ are log-probabilities of the classifier on X and on
	// Rebuilt (of the student on X for distillation), LogPT those of P
	// sharpened by the temperature: (n, classes), (n·s, classes).
	LogP, LogPT, LogQ *tensor.Tensor
	// TopP and TopQ are the classes that come first in what the classifier answered;
	// nil: those of LogP and LogQ.
	TopP, TopQ []int
	// ZP and ZQ are the logits where the classifier has them, else LogP, LogQ.
	ZP, ZQ *tensor.Tensor
	// HiddenP and HiddenQ are log-softmax heads on hidden layers, in the
	// order of detector.hidden_layers.
	HiddenP, HiddenQ []*tensor.Tensor
	HiddenWeights    []float64
	// Clip is the floor of the probabilities in the logarithms above,
	// which then no longer add up to one; 0: none.
	Clip float64
}

// N is the number of instances.
func (e Evidence) N() int { return e.X.N() }

// Score measures how strange an instance is: higher is stranger.
type Score interface {
	// Score writes one number per instance. It reads row by row: the same
	// instance has the same bits in any batch.
	Score(dst []float64, e Evidence)
}

// Cotangents are gradients of a weighted sum of scores with respect to the
// evidence, zeroed by the caller, of the shapes of their counterparts.
//
// LogP and LogPT add up: what a score reads of LogPT it answers in LogPT, and
// the guarded classifier takes it through the temperature. What is read of the
// logits ZP and ZQ is answered in LogP and LogQ: a score must not depend on a
// shift of a row of logits, so the two gradients are the same.
type Cotangents struct {
	LogP, LogPT, LogQ *tensor.Tensor
	X, Rebuilt        *tensor.Tensor
	HiddenP, HiddenQ  []*tensor.Tensor
}

// Needs says which parts of the evidence a score reads, besides X and P.
type Needs struct {
	Q       bool // LogQ and ZQ: a second opinion of any kind
	Rebuilt bool // inputs reconstructed by the method
	Hidden  bool // hidden layers of the classifier
}

// Requirer is a Score that declares what it reads besides X and P. Of other
// scores Q is assumed.
type Requirer interface{ Needs() Needs }

// NeedsOf is what a score reads.
func NeedsOf(s Score) Needs {
	if r, ok := s.(Requirer); ok {
		return r.Needs()
	}
	return Needs{Q: true}
}

// DifferentiableScore is a Score that adaptive attacks can follow.
type DifferentiableScore interface {
	Score
	// ScoreGrad adds weight[i]·∂score[i] to c.
	ScoreGrad(c Cotangents, e Evidence, weight []float64)
}

// Names of the outputs of a guarded classifier, besides sdk.Output.
const (
	OutputReconstructed = "reconstructed" // log of the mean over samples of the probabilities M(x'), (n, classes)
	OutputSampled       = "sampled"       // M(x'_s) as the classifier gives it, (n, samples, classes)
	OutputScore         = "score"         // (n, 1)
	OutputRebuilt       = "rebuilt"       // decoder(mean), (n, example…)
)

// Result is the result of Detect for n instances.
type Result struct {
	Score         []float64 // aligned where thresholds are by class; nil if not asked for
	PValue        []float64 // nil without calibration scores; of a row whose votes ended early at least that of all its votes
	Statistic     []float64 // what to compare with Detector.Statistics, for drift; +Inf where not finite; nil if not asked for
	Adversarial   []bool    // score > threshold
	NotFinite     []bool    // score is +Inf: the reconstruction, or what is read of it, is not finite; nil: none
	Predicted     []int     // argmax M(x)
	Reconstructed []int     // argmax of the mean probability over samples
	Corrected     []int     // Reconstructed where flagged, and where Options.Correct lets it; else Predicted

	// On request (Include), else nil.
	Probabilities              *tensor.Tensor // (n, classes)
	ProbabilitiesReconstructed *tensor.Tensor // (n, classes)
	Reconstruction             *tensor.Tensor // decoder(mean), (n, example…)
	Latent                     *tensor.Tensor // mean, (n, latent_dim)
	Scores                     [][]float64    // each score before any fusion: [score][instance]
	// CertifiedRadius is the Radius of a row's Certificate for the class Corrected: if
	// that is the row's class, any single row nearer is both misclassified and unflagged
	// with a chance of at most Proof.Alpha. It wants a detector that flags by votes.
	CertifiedRadius []float64

	margin []float64 // log-odds of Reconstructed against Predicted in the second opinion; 0 where they are one
	first  []float64 // the scores of the votes counted first; nil: votes do not end early
	bound  []float64 // where votes ended early, the least score that all could give; nil: they did not
	passed []bool    // by votes that ended early, of a result that has all; nil: none
}

// Include names the optional parts of a Result.
type Include struct {
	Probabilities, ProbabilitiesReconstructed, Reconstruction, Latent bool
	Scores                                                            bool // each by itself
	CertifiedRadius                                                   bool
	// AllVotes counts all votes of rows that pass early as well: Score is theirs, as of
	// Scores and of calibration, and so are PValue and the second opinion. Verdicts stay
	// what they are without, so that a row that passed may have a score above the
	// threshold, with a chance of at most Votes.Stop. It is for ranking rows by score.
	AllVotes bool
}
