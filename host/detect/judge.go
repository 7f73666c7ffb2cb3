package detect

import (
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Judge is a train.Judge: the verdict of a detector while its opinion is trained. It
// has the detector's scores, fused by its rule, of one reconstruction a row, and its
// threshold for all classes together, from clean validation rows. A fusion takes every
// other row for its distributions and the rest for the threshold; where they are too
// few the first score stands for all.
type Judge struct {
	d       *Detector // as far as it gathers evidence
	weights []float64 // of the heads
	rule    Rule
	clean   [][]float64 // of each score, by clean row
	settled bool

	fusion    *Fusion // nil: the first score alone
	threshold float64
}

var _ train.Judge = (*Judge)(nil)

// defaultRate is the rate of false alarms where a detector has none.
const defaultRate = 0.05

// NewJudge makes a Judge of the scores, the fusion, the temperature, the clip and the
// heads in o, for a classifier. A rule without rate or threshold, and nil, stand for 5 %
// false alarms.
func NewJudge(o Options, info sdk.Info, rule *Rule) (*Judge, error) {
	if len(o.Scores) == 0 {
		return nil, fmt.Errorf("a detector needs a score")
	}
	if o.Temperature == 0 {
		o.Temperature = 1
	}
	read := oracle.Reading{Kind: info.Output, Temperature: o.Temperature, Clip: o.Clip}
	j := &Judge{clean: make([][]float64, len(o.Scores))}
	for _, h := range o.Hidden {
		j.weights = append(j.weights, h.Weight)
	}
	o.Hidden = nil // a step has the heads' logits
	j.d = &Detector{o: o, info: info, samples: 1, read: read}
	if rule != nil {
		j.rule = *rule
		j.rule.By, j.rule.ClassFPR = "", nil // thresholds by class want more rows than there may be
	}
	if j.rule.FPR == nil && j.rule.Percentile == nil && j.rule.Value == nil {
		rate := defaultRate
		j.rule = Rule{FPR: &rate}
	}
	return j, nil
}

// Clean implements train.Judge.
func (j *Judge) Clean(s *train.Step) {
	if j.settled {
		j.settled = false
		for i := range j.clean {
			j.clean[i] = j.clean[i][:0]
		}
	}
	for i, c := range j.scores(s) {
		j.clean[i] = append(j.clean[i], c...)
	}
}

// Flagged implements train.Judge.
func (j *Judge) Flagged(dst []bool, s *train.Step) {
	if !j.settled {
		j.settle()
		j.settled = true
	}
	for i, v := range j.fuse(j.scores(s)) {
		dst[i] = v > j.threshold
	}
}

// scores are those of the rows, score by score.
func (j *Judge) scores(s *train.Step) [][]float64 {
	v := &view{x: s.X, samples: 1, second: Second{Rebuilt: s.Rebuilt}, outP: s.P, outR: s.Q}
	j.d.gather(nil, v)
	for i := range s.HiddenP {
		v.evidence.HiddenP = append(v.evidence.HiddenP, j.logSoftmax(s.HiddenP[i]))
		v.evidence.HiddenQ = append(v.evidence.HiddenQ, j.logSoftmax(s.HiddenQ[i]))
	}
	v.evidence.HiddenWeights = j.weights
	out := make([][]float64, len(j.d.o.Scores))
	for i, score := range j.d.o.Scores {
		out[i] = make([]float64, s.N())
		score.Score.Score(out[i], v.evidence)
	}
	return out
}

func (j *Judge) logSoftmax(logits *tensor.Tensor) *tensor.Tensor {
	out, read := tensor.New(logits.Shape...), j.d.read.Logits()
	row := make([]float64, logits.Stride())
	for i := range logits.N() {
		read.LogP(row, logits.Row(i))
		read.Store(out.Row(i), row)
	}
	return out
}

// settle takes the threshold from the clean rows.
func (j *Judge) settle() {
	rows := j.clean
	j.fusion = nil
	if len(rows) > 1 {
		reference, rest := make([][]float64, len(rows)), make([][]float64, len(rows))
		for i, c := range rows {
			for r, v := range c {
				if r%2 == 0 {
					reference[i] = append(reference[i], v)
				} else {
					rest[i] = append(rest[i], v)
				}
			}
		}
		if f, err := NewFusion(j.d.o.Fusion, reference); err == nil {
			j.fusion, rows = f, rest
		}
	}
	sorted := slices.Clone(j.fuse(rows))
	slices.Sort(sorted)
	t, err := NewThreshold(j.rule, sorted)
	switch {
	case err == nil:
		j.threshold = t.Value
	case len(sorted) > 0: // too few for the rate
		j.threshold = sorted[len(sorted)-1]
	default:
		j.threshold = math.Inf(1)
	}
}

// fuse is one score of several.
func (j *Judge) fuse(scores [][]float64) []float64 {
	if j.fusion == nil {
		return scores[0]
	}
	out := make([]float64, len(scores[0]))
	j.fusion.Fuse(out, scores)
	return out
}
