// Package scores holds the shipped scores: how strange an input is, given the
// classifier's opinion of it and of its reconstruction. Sums are float64 and
// run row by row, so that a score has the same bits in any batch.
//
// To add one, write a struct with its options and the methods Needs, Score and
// ScoreGrad (detect.Requirer, detect.DifferentiableScore) in a file of its own,
// and name it in Table.
package scores

import (
	"math"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table lists the shipped scores. The first is the default.
func Table() registry.Table[detect.Score] {
	return registry.NewTable("score",
		registry.Entry[detect.Score]{Name: "kl", Default: &KL{Hidden: true},
			Doc: "KL(P‖Q) of the prediction on the input from that on its reconstruction, mean over samples; hidden layers add their weighted terms."},
		registry.Entry[detect.Score]{Name: "reverse_kl", Default: &ReverseKL{},
			Doc: "KL(Q‖P), mean over samples: grows where the classifier is more certain of the reconstruction than of the input."},
		registry.Entry[detect.Score]{Name: "symmetric_kl", Default: &SymmetricKL{},
			Doc: "½ KL(P‖Q) + ½ KL(Q‖P), mean over samples."},
		registry.Entry[detect.Score]{Name: "js", Default: &JS{Temperature: 1},
			Doc: "Jensen–Shannon divergence of P and Q in nats, at most ln 2, mean over samples; a temperature softens both."},
		registry.Entry[detect.Score]{Name: "js_10", Default: &JS{Temperature: 10},
			Doc: "js at temperature 10, as in MagNet."},
		registry.Entry[detect.Score]{Name: "js_40", Default: &JS{Temperature: 40},
			Doc: "js at temperature 40, as in MagNet."},
		registry.Entry[detect.Score]{Name: "ce_top", Default: &CETop{},
			Doc: "−ln Q of the class predicted on the input, mean over samples: cannot be dodged by softening P."},
		registry.Entry[detect.Score]{Name: "cross_entropy", Default: &CrossEntropy{},
			Doc: "−Σ P ln Q, mean over samples: KL plus the entropy of P."},
		registry.Entry[detect.Score]{Name: "margin", Default: &Margin{},
			Doc: "the best other logit minus the logit of the class predicted on the input, on the reconstruction, mean over samples."},
		registry.Entry[detect.Score]{Name: "prediction_l1", Default: &PredictionL1{Reduce: "mean"},
			Doc: "Σ |P − Q|, mean or largest over samples."},
		registry.Entry[detect.Score]{Name: "squeeze_l1", Default: &PredictionL1{Reduce: "max"},
			Doc: "prediction_l1, the largest over samples: the score of feature squeezing."},
		registry.Entry[detect.Score]{Name: "reconstruction_error", Default: &ReconstructionError{Norm: "l2"},
			Doc: "mean over features of the squared (l2) or absolute (l1) error of the reconstruction, mean over samples."},
		registry.Entry[detect.Score]{Name: "hidden_kl", Default: &HiddenKL{},
			Doc: "weighted sum over hidden layers of the KL between softmax heads, mean over samples."},
		registry.Entry[detect.Score]{Name: "votes", Default: &Votes{},
			Doc: "1 minus the share of samples whose top class is the one predicted on the input: the score of method smoothed."},
		registry.Entry[detect.Score]{Name: "max_softmax", Default: &MaxSoftmax{},
			Doc: "1 minus the largest probability on the input: needs no reconstruction (Hendrycks and Gimpel 2017)."},
	)
}

// klTerm is one class's part of KL(P‖Q): p·ln(p/q) − p + q, whose last two
// parts cancel over a row of probabilities. Written so, no term is negative
// and rounding of the logarithms enters in the second order only.
func klTerm(lp, lq float64) float64 {
	r := lq - lp
	if r < 1 {
		return math.Exp(lp) * (math.Expm1(r) - r)
	}
	p := math.Exp(lp)
	return math.Exp(lq) - p - p*r
}

// kl is KL(P‖Q) of two rows of log-probabilities. Clipped ones do not add up
// to one; for them it is the plain sum, as the reference implementations have it.
func kl(p, q []float32, clipped bool) float64 {
	sum := 0.0
	for c := range p {
		lp, lq := float64(p[c]), float64(q[c])
		if clipped {
			sum += math.Exp(lp) * (lp - lq)
		} else {
			sum += klTerm(lp, lq)
		}
	}
	return sum
}

// klGrad adds w·∂KL(P‖Q) to the cotangents dp and dq of the log-probabilities.
func klGrad(dp, dq, p, q []float32, w float64, clipped bool) {
	for c := range p {
		lp, lq := float64(p[c]), float64(q[c])
		ep := math.Exp(lp)
		if clipped {
			dp[c] += float32(w * ep * (lp - lq + 1))
			dq[c] -= float32(w * ep)
			continue
		}
		dp[c] += float32(w * ep * (lp - lq))
		dq[c] += float32(w * (math.Exp(lq) - ep))
	}
}
