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
		registry.Entry[attack.Attack]{Name: "noise", Default: &Noise{Norm: "linf", Eps: 0.1, Distribution: "uniform"}, Doc: "random noise of the same norm: the control that any attack must beat"},
	)
}

// ball turns the options norm and eps into a ball; eps 0 is no bound.
func ball(norm string, eps float64) (attack.Norm, float64) {
	if eps == 0 {
		eps = math.Inf(1)
	}
	return attack.Norm(norm), eps
}

// positive is for attacks that cannot do without a bound.
func positive(eps float64) error {
	if eps == 0 {
		return fmt.Errorf("eps is 0; want a positive number")
	}
	return nil
}
