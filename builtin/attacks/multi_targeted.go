package attacks

import (
	"context"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// MultiTargeted aims at one wrong class after the other, those first that the
// classifier takes the input and its reconstructions for soonest (MultiTargeted of
// Gowal et al. 2019, arXiv:1910.09338, for a guarded classifier): it raises the
// target's margin on the input and on the reconstructions, and, where the input
// already has the target's class, lowers the score. Its steps are those of Auto-PGD
// (Croce and Hein 2020, arXiv:2003.01690, section 3), where any iterate of the target's class
// is better than those of another.
//
// A score follows the predicted class, so until that flips its gradient pulls back to
// the right one. Joint has this fault, and here the top class is the target from the
// first step on. Nor does it matter in which unit a detector scores: the weight of a row's
// score is in units of the way from its clean score to the threshold.
type MultiTargeted struct {
	attack.Unit
	Norm    string  `yaml:"norm" enum:"linf|l2" doc:"norm of the ball"`
	Eps     float64 `yaml:"eps" check:"> 0" doc:"radius, in the input's units"`
	Steps   int     `yaml:"steps" check:">= 1" doc:"gradient steps for each target and start"`
	Step    float64 `yaml:"step" check:"> 0" doc:"first length of a step in units of eps; it halves where steps gain too little"`
	Rho     float64 `yaml:"rho" check:"> 0, <= 1" doc:"fraction of steps that must lower the loss, or they are halved"`
	Targets int     `yaml:"targets" check:">= 1" doc:"wrong classes tried, the nearest first"`
	Starts  int     `yaml:"starts" check:">= 1" doc:"random starts for each target, on the rows where no earlier run evaded the detector"`
	Rebuilt float64 `yaml:"rebuilt" check:">= 0" doc:"weight of the margin on the reconstructions"`
	Score   float64 `yaml:"score" check:">= 0" doc:"weight of the score, where the input has the target's class, in units of the way from the clean score to the threshold; every second start weighs it a hundredth"`
	Fresh   bool    `yaml:"fresh_noise" doc:"the attacker does not know the detector's noise and draws its own at each step (EOT)"`
}

var (
	_ attack.Adaptive = (*MultiTargeted)(nil)
	_ attack.Chooser  = (*MultiTargeted)(nil)
)

// Ball implements attack.Attack.
func (a *MultiTargeted) Ball() (attack.Norm, float64) { return ball(a.Norm, a.Eps) }

// Needs implements attack.Attack.
func (a *MultiTargeted) Needs() attack.Need { return attack.NeedsGradients }

// FreshNoise implements attack.Adaptive.
func (a *MultiTargeted) FreshNoise() bool { return a.Fresh }

// WantsFlag implements attack.Adaptive.
func (a *MultiTargeted) WantsFlag() bool { return false }

// Objective implements attack.Chooser.
func (a *MultiTargeted) Objective(g attack.Goal) (attack.Objective, error) {
	o, err := newGuardLoss(g)
	if err != nil {
		return nil, err
	}
	o.margin, o.rebuilt = 1, a.Rebuilt
	return o, nil
}

// Perturb implements attack.Attack.
func (a *MultiTargeted) Perturb(ctx context.Context, m sdk.Forwarder, x *tensor.Tensor, o attack.Objective, b attack.Budget) (*tensor.Tensor, error) {
	goal, ok := o.(*guardLoss)
	if !ok {
		return nil, errNoGuard
	}
	switch b.Queries { // one of them is for the outputs on x
	case 0:
	case 1:
		return x.Clone(), nil
	default:
		b.Queries--
	}
	outputs, _, err := m.Forward(ctx, x, sdk.Output, detect.OutputSampled, detect.OutputScore)
	if err != nil {
		return nil, err
	}
	near, weights := a.nearest(outputs, goal), a.weights(outputs[detect.OutputScore], goal.threshold)
	q := newPursuit(x, goal, b)
	for start := range a.Starts {
		for k := range near[0] {
			loss := *goal
			loss.targets, loss.weights = make([]int, x.N()), slices.Clone(weights)
			for i := range loss.targets {
				loss.targets[i] = near[i][k]
				if start%2 == 1 {
					loss.weights[i] /= 100
				}
			}
			p := attack.NewProbe(m, x.N(), &loss, b)
			if err := q.halve(ctx, p, &loss, q.open(), a.Steps, a.Step, a.Rho, uint64(start*len(near[0])+k)); err != nil {
				return nil, err
			}
		}
	}
	return q.best, nil
}

// weights are those of the rows' scores: a.Score for the way from the clean score to the
// threshold, at least a tenth of the threshold.
func (a *MultiTargeted) weights(scores *tensor.Tensor, threshold float64) []float64 {
	weights := make([]float64, scores.N())
	for i := range weights {
		unit := math.Abs(float64(scores.Row(i)[0]) - threshold)
		if math.IsNaN(unit) || math.IsInf(unit, 0) {
			unit = math.Abs(threshold)
		}
		weights[i] = a.Score / max(unit, math.Abs(threshold)/10, 1e-6)
	}
	return weights
}

// nearest are the targets of each row: the wrong classes that lag least, on the input
// and on the mean of the reconstructions; the label's, if that is the target.
func (a *MultiTargeted) nearest(outputs map[string]*tensor.Tensor, goal *guardLoss) [][]int {
	near := make([][]int, len(goal.labels))
	if goal.targeted {
		for i, y := range goal.labels {
			near[i] = []int{y}
		}
		return near
	}
	for i := range near {
		z, all := outputs[sdk.Output].Row(i), outputs[detect.OutputSampled].Row(i)
		level := make([]float64, len(z))
		for c := range z {
			level[c], _ = oracle.Level(goal.kind, z[c])
			for s := c; s < len(all); s += len(z) {
				l, _ := oracle.Level(goal.kind, all[s])
				level[c] += a.Rebuilt * l * float64(len(z)) / float64(len(all))
			}
		}
		for c := range z {
			if c != goal.labels[i] {
				near[i] = append(near[i], c)
			}
		}
		slices.SortStableFunc(near[i], func(c, d int) int {
			switch {
			case level[c] > level[d]:
				return -1
			case level[c] < level[d]:
				return 1
			}
			return 0
		})
		near[i] = near[i][:min(a.Targets, len(near[i]))]
	}
	return near
}
