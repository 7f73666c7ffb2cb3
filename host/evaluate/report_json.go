package evaluate

import (
	"encoding/json"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/health"
)

// Number is a float64 that JSON shows as null where it is not finite: a
// figure that the data do not define.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) || math.IsInf(float64(n), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler: null is NaN.
func (n *Number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = Number(math.NaN())
		return nil
	}
	var f float64
	err := json.Unmarshal(b, &f)
	*n = Number(f)
	return err
}

// Report is report.json. Rates are fractions between 0 and 1; figures that the
// data do not define are null.
//
// Its words: an attack succeeds on a row that is classified correctly before
// and wrongly after. A row is flagged if its score is above the threshold;
// detected, if it is a successful attack and flagged; evaded, if it is
// misclassified and not flagged. The corrected answer is that of the
// reconstruction where the row is flagged, and the classifier's elsewhere.
type Report struct {
	Name       string           `json:"name"`
	Classifier ClassifierReport `json:"classifier"`
	Detector   DetectorReport   `json:"detector"`
	Clean      CleanReport      `json:"clean"`
	// Constraints are what every attack was held to, those of the data; absent:
	// none. Unconstrained: the data have some, which were set aside.
	Constraints   *attack.Count      `json:"constraints,omitempty"`
	Unconstrained bool               `json:"unconstrained,omitempty"`
	Attacks       []AttackReport     `json:"attacks"`
	Adaptive      []AdaptiveReport   `json:"adaptive"`
	AdaptiveUnion *UnionReport       `json:"adaptive_union"`
	Corruptions   []CorruptionReport `json:"corruptions"`
	WorstCase     *WorstReport       `json:"worst_case"`
	Curves        []Curve            `json:"curves"`
	Warnings      []string           `json:"warnings"`
	// Certified is what is proved of clean rows; absent: the detector does not flag by
	// votes, or no rows were certified.
	Certified *CertifiedReport `json:"certified,omitempty"`
	// Health is what the detector did with clean rows when it was calibrated;
	// null: not known.
	Health     *health.Report `json:"health"`
	Seed       uint64         `json:"seed"`
	SpecSHA256 string         `json:"spec_sha256"`
	Version    string         `json:"version"`
	Seconds    float64        `json:"seconds"`
}

// ClassifierReport is the classifier without the detector.
type ClassifierReport struct {
	Name     string  `json:"name"`
	Digest   string  `json:"digest"`
	Classes  int     `json:"classes"`
	Accuracy float64 `json:"accuracy"` // on the clean test rows
	// Gradient says where the attacks' gradients came from; absent: from the
	// classifier itself.
	Gradient *gradient.Report `json:"gradient,omitempty"`
}

// DetectorReport is the detector that was evaluated.
type DetectorReport struct {
	Method        string  `json:"method"`
	Digest        string  `json:"digest"`
	Threshold     Number  `json:"threshold"`
	PromisedFPR   Number  `json:"promised_fpr"`
	ClassFPR      Number  `json:"promised_class_fpr"` // of each predicted class; null: nothing else than of all
	Calibration   int     `json:"n_calibration"`
	MsPerInstance float64 `json:"ms_per_instance"` // of detection, classifier included
}

// CleanReport is classifier and detector on clean test rows.
type CleanReport struct {
	N                     int                 `json:"n"`
	FPR                   float64             `json:"fpr"`
	Accuracy              float64             `json:"accuracy"`
	AccuracyReconstructed float64             `json:"accuracy_reconstructed"` // always answering from the reconstruction
	AccuracyCorrected     float64             `json:"accuracy_corrected"`     // only where flagged
	CI95                  map[string]Interval `json:"ci95"`
	// Classes are the predicted classes of a detector with thresholds by class;
	// absent: it has one threshold.
	Classes []ClassRate `json:"classes,omitempty"`
}

// Detection are the figures of one group of attacked rows against all clean
// test rows.
type Detection struct {
	Detected  Number            `json:"detected"` // at the deployed threshold
	AUC       Number            `json:"auc"`
	PRAUC     Number            `json:"pr_auc"`
	TPRAtFPR  map[string]Number `json:"tpr_at_fpr"`
	FPRAtTPR5 Number            `json:"fpr_at_tpr95"`
}

// AttackReport is one attack. The detection figures of the top level count
// the N_success rows that were right before and wrong after; All counts every
// attacked row.
type AttackReport struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Control     bool           `json:"control,omitempty"` // expected not to succeed
	Norm        string         `json:"norm"`
	Eps         Number         `json:"eps"` // null: no bound
	Params      map[string]any `json:"params"`
	N           int            `json:"n"`
	NSuccess    int            `json:"n_success"`
	NIllegal    int            `json:"n_illegal,omitempty"` // proposals that broke a constraint and were projected
	SuccessRate Number         `json:"success_rate"`        // n_success over the rows that were right before
	Accuracy    float64        `json:"accuracy"`
	// AccuracyReconstructed and AccuracyCorrected: as in CleanReport, on all
	// attacked rows.
	AccuracyReconstructed float64 `json:"accuracy_reconstructed"`
	AccuracyCorrected     float64 `json:"accuracy_corrected"`
	Detection
	All        AllReport           `json:"all"`
	MedianNorm Number              `json:"median_norm"`    // perturbation norm, of the successful rows
	Queries    float64             `json:"queries"`        // rows sent to the model per instance, mean
	Gradients  float64             `json:"gradients"`      // rows differentiated per instance, mean
	ZeroShare  Number              `json:"zero_gradients"` // fraction of those that were exactly zero; null if none was asked for
	Seconds    float64             `json:"seconds"`
	CI95       map[string]Interval `json:"ci95"`
}

// AllReport is Detection over every attacked row, successful or not.
type AllReport struct {
	N int `json:"n"`
	Detection
	CI95 map[string]Interval `json:"ci95"`
}

// AdaptiveReport is an attack that knows the detector and aims at it too.
type AdaptiveReport struct {
	AttackReport
	FreshNoise bool `json:"fresh_noise"` // the attacker does not know the detector's noise
	// Evaded is the fraction of all attacked rows that are misclassified and
	// not flagged. Of a false-alarm attack it repeats FalseAlarms, and will be null in a
	// later version.
	Evaded Number `json:"evaded"`
	// FalseAlarms is the fraction of all attacked rows that are classified
	// correctly and flagged, which a false-alarm attack aims at; null of others.
	FalseAlarms *Number `json:"false_alarms"`
	// MedianEvasionNorm is the median, over rows that were right before, of
	// the smallest perturbation norm seen that evades; null if most never do.
	MedianEvasionNorm Number `json:"median_evasion_norm"`
	// MedianEvasionN is over how many rows that is: those of the security curve where the attack has
	// one, for only they were tried at several radii, else all of N that were right before.
	MedianEvasionN int `json:"median_evasion_n"`
}

// UnionReport is an attacker who tries every adaptive attack.
type UnionReport struct {
	N      int      `json:"n"` // rows common to all
	Evaded Number   `json:"evaded"`
	CI95   Interval `json:"ci95"`
}

// WorstReport joins all attacks on the rows common to them: a row is
// detected only if it is under every attack that succeeds on it.
type WorstReport struct {
	N                 int                 `json:"n"`
	NSuccess          int                 `json:"n_success"` // right before, wrong under some attack
	Detected          Number              `json:"detected"`  // of those
	Evaded            Number              `json:"evaded"`    // of all n: misclassified and not flagged under some attack
	Accuracy          Number              `json:"accuracy"`  // right under every attack
	AccuracyCorrected Number              `json:"accuracy_corrected"`
	CI95              map[string]Interval `json:"ci95"`
}

// CorruptionReport is one natural corruption at one severity.
type CorruptionReport struct {
	ID                string              `json:"id"`
	Name              string              `json:"name"`
	Severity          int                 `json:"severity"`
	N                 int                 `json:"n"`
	Accuracy          float64             `json:"accuracy"`
	AccuracyCorrected float64             `json:"accuracy_corrected"`
	Flagged           float64             `json:"flagged"`
	NHarmful          int                 `json:"n_harmful"`        // rows whose prediction changes
	FlaggedHarmless   Number              `json:"flagged_harmless"` // of the rows whose prediction stays: false alarms
	FlaggedHarmful    Number              `json:"flagged_harmful"`
	CI95              map[string]Interval `json:"ci95"`
}

// Curve is one attack over growing eps.
type Curve struct {
	ID         string       `json:"id"`
	Norm       string       `json:"norm"`
	Adaptive   bool         `json:"adaptive"`
	FalseAlarm bool         `json:"false_alarm"` // its points have false_alarms
	Points     []CurvePoint `json:"points"`
}

// CurvePoint is one eps of a Curve.
type CurvePoint struct {
	Eps               float64 `json:"eps"`
	N                 int     `json:"n"`
	SuccessRate       Number  `json:"success_rate"`
	AUC               Number  `json:"auc"`
	Detected          Number  `json:"detected"`
	Accuracy          float64 `json:"accuracy"`
	AccuracyCorrected float64 `json:"accuracy_corrected"`
	// Evaded and FalseAlarms are as in AdaptiveReport.
	Evaded      Number  `json:"evaded"`
	FalseAlarms *Number `json:"false_alarms"`
}

// rateKeys are the keys of tpr_at_fpr.
var rateKeys = [len(Rates)]string{"0.001", "0.01", "0.05"}

// ci names the intervals of a Detection.
func (i Intervals) ci(into map[string]Interval) {
	into["auc"], into["pr_auc"], into["fpr_at_tpr95"] = i.AUC, i.PRAUC, i.FPR95
	for k, key := range rateKeys {
		into["tpr_at_fpr."+key] = i.TPR[k]
	}
}

func ratio(k, n int) Number {
	if n == 0 {
		return Number(math.NaN())
	}
	return Number(float64(k) / float64(n))
}

func share(k, n int) float64 {
	if n == 0 {
		return 0
	}
	return float64(k) / float64(n)
}
