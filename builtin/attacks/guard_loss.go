package attacks

import (
	"errors"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// guardLoss is what adaptive attacks minimise over a guarded classifier's
// outputs: a sum of
//
//	margin  max(gap(M(x)), −lead): make the classifier wrong
//	rebuilt the same of the mean gap of M(x'_s): make the reconstruction wrong too
//	score   the detector's score: stay unflagged
//	match   ‖z(x) − target‖² and its mean over samples: have another example's outputs
//
// each with its weight, where gap is z_y − max_{j≠y} z_j. With targets the gaps are
// those to have each row's target for the class, and the score counts only where the
// classifier says so already: elsewhere it would pull back to the class that there is.
// It is done when the class is wrong and the score does not exceed the threshold.
type guardLoss struct {
	labels                        []int
	targeted                      bool
	targets                       []int     // wrong classes to aim at; nil: any
	weights                       []float64 // of each row's score; nil: score
	kind                          sdk.OutputKind
	threshold                     float64
	lead                          float64
	margin, rebuilt, score, match float64 // weights
	target                        *tensor.Tensor
	alarm                         bool // the goal is a flag on an input that stays right
	pool                          *tensor.Tensor
	poolLabels                    []int
}

var errNoGuard = errors.New("this attack targets a detector: evaluate it on a calibrated one")

func newGuardLoss(g attack.Goal) (*guardLoss, error) {
	if math.IsInf(g.Threshold, 1) || math.IsNaN(g.Threshold) {
		return nil, errNoGuard
	}
	return &guardLoss{labels: g.Labels, targeted: g.Targeted, kind: g.Kind, threshold: g.Threshold, lead: 2, pool: g.Pool, poolLabels: g.PoolLabels}, nil
}

// Outputs implements attack.Objective.
func (o *guardLoss) Outputs() []string {
	if o.rebuilt == 0 && o.match == 0 {
		return []string{sdk.Output, detect.OutputScore}
	}
	return []string{sdk.Output, detect.OutputScore, detect.OutputSampled}
}

// Select implements attack.Objective.
func (o *guardLoss) Select(rows []int) attack.Objective {
	out := *o
	out.labels = make([]int, len(rows))
	for k, r := range rows {
		out.labels[k] = o.labels[r]
	}
	if o.targets != nil {
		out.targets = make([]int, len(rows))
		for k, r := range rows {
			out.targets[k] = o.targets[r]
		}
	}
	if o.weights != nil {
		out.weights = make([]float64, len(rows))
		for k, r := range rows {
			out.weights[k] = o.weights[r]
		}
	}
	if o.target != nil {
		out.target = o.target.Gather(rows)
	}
	return &out
}

// gap is level(y) − level(j) of the best other class j, negated if targeted,
// and adds weight times its derivative to g.
func (o *guardLoss) gap(z, g []float32, y int, weight, floor float64) float64 {
	j := oracle.ArgmaxBut(z, y)
	ly, sy := oracle.Level(o.kind, z[y])
	lj, sj := oracle.Level(o.kind, z[j])
	gap, sign := ly-lj, 1.
	if o.targeted || o.targets != nil {
		gap, sign = -gap, -1
	}
	if gap > floor && g != nil {
		g[y] += float32(sign * weight * sy)
		g[j] -= float32(sign * weight * sj)
	}
	return max(gap, floor)
}

// Loss implements attack.Objective.
func (o *guardLoss) Loss(dst []float64, outputs, grad map[string]*tensor.Tensor) {
	z, score, sampled := outputs[sdk.Output], outputs[detect.OutputScore], outputs[detect.OutputSampled]
	row := func(name string, i int) []float32 {
		if grad == nil || grad[name] == nil {
			return nil
		}
		return grad[name].Row(i)
	}
	for i := range dst {
		y, zi, gi := o.labels[i], z.Row(i), row(sdk.Output, i)
		weight := o.score
		if o.weights != nil {
			weight = o.weights[i]
		}
		if o.targets != nil {
			y = o.targets[i]
		}
		if !o.scored(zi, i) {
			weight = 0
		}
		loss := 0.0
		if o.margin != 0 {
			loss += o.margin * o.gap(zi, gi, y, o.margin, -o.lead)
		}
		if weight != 0 { // a score may be infinite
			loss += weight * float64(score.Row(i)[0])
		}
		if g := row(detect.OutputScore, i); g != nil {
			g[0] += float32(weight)
		}
		if o.match != 0 {
			loss += o.match * o.distance(zi, gi, o.target.Row(i), o.match)
		}
		if sampled != nil {
			classes, g := len(zi), row(detect.OutputSampled, i)
			all := sampled.Row(i)
			n := float64(len(all) / classes)
			for s := 0; s < len(all); s += classes {
				var gs []float32
				if g != nil {
					gs = g[s : s+classes]
				}
				if o.rebuilt != 0 {
					loss += o.rebuilt / n * o.gap(all[s:s+classes], gs, y, o.rebuilt/n, -o.lead)
				}
				if o.match != 0 {
					loss += o.match / n * o.distance(all[s:s+classes], gs, o.target.Row(i), o.match/n)
				}
			}
		}
		dst[i] = loss
	}
}

// distance is ‖level(z) − target‖² and adds weight times its derivative to g.
func (o *guardLoss) distance(z, g, target []float32, weight float64) float64 {
	s := 0.0
	for k, v := range z {
		l, slope := oracle.Level(o.kind, v)
		t, _ := oracle.Level(o.kind, target[k])
		d := l - t
		s += float64(d * d)
		if g != nil {
			g[k] += float32(2 * weight * d * slope)
		}
	}
	return s
}

// scored reports whether the score counts in row i's loss, where the classifier says z.
func (o *guardLoss) scored(z []float32, i int) bool {
	return o.targets == nil || oracle.Argmax(z) == o.targets[i]
}

// wrong reports whether the class is one that the attacker wants.
func (o *guardLoss) wrong(z []float32, i int) bool {
	return (oracle.Argmax(z) == o.labels[i]) == o.targeted
}

// Done implements attack.Objective.
func (o *guardLoss) Done(dst []bool, outputs map[string]*tensor.Tensor) {
	z, score := outputs[sdk.Output], outputs[detect.OutputScore]
	for i := range dst {
		flagged := float64(score.Row(i)[0]) > o.threshold
		if o.alarm {
			dst[i] = flagged && oracle.Argmax(z.Row(i)) == o.labels[i]
		} else {
			dst[i] = !flagged && o.wrong(z.Row(i), i)
		}
	}
}

// aim chooses for each row the pool's outputs of another class that are
// nearest to its own.
func (o *guardLoss) aim(z *tensor.Tensor) error {
	if o.pool == nil || o.pool.N() == 0 {
		return &attack.InapplicableError{Reason: "logit matching needs clean examples to imitate"}
	}
	o.target = tensor.New(z.Shape...)
	for i := range z.N() {
		best, at := math.Inf(1), -1
		for k := range o.pool.N() {
			if (o.poolLabels[k] == o.labels[i]) != o.targeted {
				continue
			}
			if d := o.distance(z.Row(i), nil, o.pool.Row(k), 0); d < best {
				best, at = d, k
			}
		}
		if at < 0 {
			return &attack.InapplicableError{Reason: "logit matching needs clean examples of another class to imitate"}
		}
		copy(o.target.Row(i), o.pool.Row(at))
	}
	return nil
}
