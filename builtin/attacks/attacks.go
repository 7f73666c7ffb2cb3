// Package attacks are the adversarial attacks that ship in the box: one file
// each. The runner of host/attack clips what they propose to ball and box,
// and judges.
package attacks

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table lists the attacks by name. norm and eps are options of every one.
func Table() registry.Table[attack.Attack] {
	return registry.NewTable[attack.Attack]("attack",
		registry.Entry[attack.Attack]{Name: "fgsm", Default: &FGSM{Norm: "linf", Eps: 0.1, EpsSteps: 1000}, Doc: "one step along the gradient (Goodfellow et al. 2015); minimal: true grows eps until it succeeds"},
		registry.Entry[attack.Attack]{Name: "bim", Default: &PGD{Norm: "linf", Eps: 0.1, Restarts: 1}, Doc: "iterated gradient steps from x itself (Kurakin et al. 2017)"},
		registry.Entry[attack.Attack]{Name: "pgd", Default: &PGD{Norm: "linf", Eps: 0.1, RandomStart: true, Restarts: 1}, Doc: "projected gradient descent from a random start (Madry et al. 2018)"},
		registry.Entry[attack.Attack]{Name: "slide", Default: &SLIDE{Norm: "l1", Eps: 10, Steps: 50, Step: 0.2, Quantile: 0.99, Dialect: "cleverhans", BinarySearch: 20}, Doc: "sparse L1 descent (Tramèr & Boneh 2019); dialect foolbox2 is the papers' variant"},
		registry.Entry[attack.Attack]{Name: "cw", Default: &CW{Norm: "l2", Steps: 200, BinarySearch: 5, LearningRate: 0.05, InitialConst: 0.01, EarlyAbort: true}, Doc: "smallest L2 perturbation by optimisation (Carlini & Wagner 2017)"},
		registry.Entry[attack.Attack]{Name: "deepfool", Default: &DeepFool{Norm: "l2", Steps: 50, Overshoot: 0.02, Candidates: 10}, Doc: "smallest perturbation by linearised boundaries (Moosavi-Dezfooli et al. 2016)"},
		registry.Entry[attack.Attack]{Name: "apgd", Default: &APGD{Norm: "linf", Eps: 0.1, Steps: 100, Loss: "ce", Rho: 0.75, Restarts: 1}, Doc: "Auto-PGD: momentum and a step that adapts (Croce & Hein 2020)"},
		registry.Entry[attack.Attack]{Name: "square", Default: &Square{Norm: "linf", Eps: 0.1, Queries: 5000, PInit: 0.8}, Doc: "random search over square patches, from predictions (Andriushchenko et al. 2020)"},
		registry.Entry[attack.Attack]{Name: "patch", Default: newPatch(), Doc: "one square of the input, changed at will (Karmon et al. 2018)"},
		registry.Entry[attack.Attack]{Name: "spsa", Default: &SPSA{Norm: "linf", Eps: 0.1, Steps: 50, Samples: 64, Delta: 0.01, LearningRate: 0.1}, Doc: "descent along gradients estimated from predictions (Uesato et al. 2018)"},
		registry.Entry[attack.Attack]{Name: "hop_skip_jump", Default: &HopSkipJump{Norm: "l2", Steps: 40, Evaluations: 100, Queries: 5000}, Doc: "walk along the boundary, from labels alone (Chen et al. 2020)"},
		registry.Entry[attack.Attack]{Name: "boundary", Default: &Boundary{Norm: "l2", Steps: 5000, SphericalStep: 0.01, SourceStep: 0.01}, Doc: "random walk on the far side of the boundary, from labels alone (Brendel et al. 2018)"},
		registry.Entry[attack.Attack]{Name: "noise", Default: &Noise{Norm: "linf", Eps: 0.1, Distribution: "uniform"}, Doc: "random noise of the same norm: the control that any attack must beat"},
		registry.Entry[attack.Attack]{Name: "joint", Default: &Joint{Norm: "linf", Eps: 0.1, Steps: 100, Step: 0.1, Lambdas: []float64{1, 0.1, 10, 100}, Rebuilt: 0.3}, Doc: "adaptive: classification and score together, the weight searched per instance"},
		registry.Entry[attack.Attack]{Name: "multi_targeted", Default: &MultiTargeted{Norm: "linf", Eps: 0.1, Steps: 40, Step: 2, Rho: 0.75, Targets: 3, Starts: 2, Rebuilt: 1, Score: 10}, Doc: "adaptive: input and reconstruction together toward one wrong class after the other (Gowal et al. 2019)"},
		registry.Entry[attack.Attack]{Name: "logit_match", Default: &LogitMatch{Norm: "linf", Eps: 0.1, Steps: 100, Step: 0.1, Restarts: 1}, Doc: "adaptive: input and reconstruction get the logits of a clean example of another class"},
		registry.Entry[attack.Attack]{Name: "orthogonal", Default: &Orthogonal{Norm: "linf", Eps: 0.1, Steps: 100, Step: 0.1, Restarts: 1}, Doc: "adaptive: classifier and detector in turn, along orthogonal gradients (Bryniarski et al. 2021)"},
		registry.Entry[attack.Attack]{Name: "selective", Default: &Orthogonal{Norm: "linf", Eps: 0.1, Steps: 100, Step: 0.1, Restarts: 1, Keep: true}, Doc: "adaptive: classifier and detector in turn (Bryniarski et al. 2021)"},
		registry.Entry[attack.Attack]{Name: "false_alarm", Default: &FalseAlarm{Norm: "linf", Eps: 0.1, Steps: 100, Step: 0.1}, Doc: "adaptive: raise the score of inputs that stay correctly classified"},
		registry.Entry[attack.Attack]{Name: "transfer", Default: &Transfer{Norm: "linf", Eps: 0.1, Steps: 100, Step: 0.1, Lambdas: []float64{1, 0.1, 10, 100}}, Doc: "adaptive: joint on a detector of another seed, judged by this one"},
		registry.Entry[attack.Attack]{Name: "joint_square", Default: &Blind{Norm: "linf", Eps: 0.1, Queries: 5000, PInit: 0.8, Lambda: 1}, Doc: "adaptive: random search from outputs and scores alone, to unmask gradients"},
		registry.Entry[attack.Attack]{Name: "joint_patch", Default: &JointPatch{Patch: *newPatch(), Rebuilt: 1, Lambda: 1}, Doc: "adaptive: one square of the input, changed at will, with classification, reconstruction and score together"},
	)
}

// ball turns the options norm and eps into a ball; eps 0 is no bound.
func ball(norm string, eps float64) (attack.Norm, float64) {
	if eps == 0 {
		eps = math.Inf(1)
	}
	return attack.Norm(norm), eps
}

// affordable are those of the rows whose query budget is not spent.
func affordable(p *attack.Probe, rows []int) []int {
	var left []int
	for _, i := range rows {
		if p.Affords(i, 1) {
			left = append(left, i)
		}
	}
	return left
}

// positive is for attacks that need a bound.
func positive(eps float64) error {
	if eps == 0 {
		return fmt.Errorf("eps is 0; want a positive number")
	}
	return nil
}
