package evaluate

import (
	"context"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Details are the rows behind a Report: for plots, for pictures, and for
// paired tests between detectors.
type Details struct {
	X                    *tensor.Tensor
	Labels               []int
	Shape                tensor.Shape // of one example
	ClassNames, Features []string     // may be nil
	Threshold            float64
	Clean                []float64      // scores of the clean rows
	CleanResult          *detect.Result // of the clean rows; nil: not known
	Attacks              []*AttackDetails
}

// AttackDetails are one attack, row by row.
type AttackDetails struct {
	ID, Name    string
	Adaptive    bool
	Control     bool  // expected not to succeed
	FalseAlarm  bool  // succeeds where a correctly classified row is flagged
	Rows        []int // of the test set
	Adversarial *attack.Adversarial
	Result      *detect.Result // on Adversarial.XAdv
	Success     []bool         // right before, wrong after
	Evaded      []bool         // of adaptive attacks
	Examples    []Example
}

// Example is one attacked row with its reconstructions, which are nil for
// detectors that do not reconstruct.
type Example struct {
	Row                               int // of the test set
	Original, Adversarial             []float32
	Reconstruction, ReconstructionAdv []float32 // of Original and of Adversarial; nil: none
	Label, Predicted, PredictedAdv    int
	Reconstructed, ReconstructedAdv   int // classes of the reconstructions
	CorrectedAdv                      int // the answer to Adversarial
	Score, ScoreAdv                   float64
	Flagged, FlaggedAdv               bool
}

// Scores are the scores of the attacked rows, of the successful ones alone if
// asked for.
func (a *AttackDetails) Scores(successful bool) []float64 {
	var out []float64
	for k, s := range a.Result.Score {
		if !successful || a.Success[k] {
			out = append(out, s)
		}
	}
	return out
}

// examplesPerAttack is how many rows of each attack a report shows.
const examplesPerAttack = 4

// examples picks rows of each attack, detected and undetected ones in turn,
// and asks the detector for their reconstructions.
func (e *evaluation) examples(ctx context.Context) error {
	for _, a := range e.details.Attacks {
		picked := a.pick()
		if len(picked) == 0 {
			continue
		}
		rows := make([]int, len(picked))
		for j, k := range picked {
			rows[j] = a.Rows[k]
		}
		include := detect.Include{Reconstruction: true, AllVotes: true}
		clean, err := e.o.Guard.Detect(ctx, e.o.X.Gather(rows), include)
		if err != nil {
			return err
		}
		adv, err := e.o.Guard.Detect(ctx, a.Adversarial.XAdv.Gather(picked), include)
		if err != nil {
			return err
		}
		for j, k := range picked {
			ex := Example{
				Row: e.number(rows[j]), Original: e.o.X.Row(rows[j]), Adversarial: a.Adversarial.XAdv.Row(k),
				Label: e.o.Labels[rows[j]], Predicted: clean.Predicted[j], PredictedAdv: adv.Predicted[j],
				Reconstructed: clean.Reconstructed[j], ReconstructedAdv: adv.Reconstructed[j], CorrectedAdv: adv.Corrected[j],
				Score: clean.Score[j], ScoreAdv: adv.Score[j], Flagged: clean.Adversarial[j], FlaggedAdv: adv.Adversarial[j],
			}
			if clean.Reconstruction != nil && adv.Reconstruction != nil {
				ex.Reconstruction, ex.ReconstructionAdv = clean.Reconstruction.Row(j), adv.Reconstruction.Row(j)
			}
			a.Examples = append(a.Examples, ex)
		}
	}
	return nil
}

// pick chooses successful rows, detected and undetected ones in turn; without
// any success, the first row.
func (a *AttackDetails) pick() []int {
	var detected, undetected, out []int
	for k, s := range a.Success {
		switch {
		case s && a.Result.Adversarial[k]:
			detected = append(detected, k)
		case s:
			undetected = append(undetected, k)
		}
	}
	for k := 0; len(out) < examplesPerAttack && (k < len(detected) || k < len(undetected)); k++ {
		if k < len(detected) {
			out = append(out, detected[k])
		}
		if k < len(undetected) && len(out) < examplesPerAttack {
			out = append(out, undetected[k])
		}
	}
	if len(out) == 0 && len(a.Rows) > 0 {
		return []int{0}
	}
	return out
}
