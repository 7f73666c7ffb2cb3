package evaluate_test

import (
	"context"
	"fmt"
	"log"
	"math"
	"strings"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/evaluate"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// nudge moves every feature by Eps towards one half.
type nudge struct{ eps float64 }

func (n nudge) Ball() (attack.Norm, float64) { return attack.Linf, n.eps }
func (nudge) Needs() attack.Need             { return attack.NeedsNothing }

func (n nudge) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ attack.Objective, _ attack.Budget) (*tensor.Tensor, error) {
	adv := x.Clone()
	for i, v := range x.Data {
		adv.Data[i] += float32(math.Copysign(n.eps, .5-float64(v)))
	}
	return adv, nil
}

// A small evaluation: a guard and its classifier, clean rows, and one attack.
func ExampleRun() {
	guard, x, labels := attacktest.NewGuard(6, 2, 3, 80, 1)
	report, details, err := evaluate.Run(context.Background(), evaluate.Options{
		Name: "toy", Guard: guard, Classifier: guard.M, Threshold: guard.Threshold,
		X: x, Labels: labels, Seed: 1,
		Attacks: []evaluate.NamedAttack{{Name: "nudge", Attack: nudge{.2}}},
		Section: evaluate.Section{Bootstrap: 50, CurveRows: -1},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Clean.N, "clean rows, accuracy", report.Clean.Accuracy)
	a := report.Attacks[0]
	fmt.Println(a.ID, "on", a.N, "rows;", len(details.Attacks[0].Result.Score), "scores")
	var text strings.Builder
	if err := report.WriteJSON(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Println("report.json names the attack:", strings.Contains(text.String(), `"id": "nudge"`))
	// Output:
	// 80 clean rows, accuracy 1
	// nudge on 80 rows; 80 scores
	// report.json names the attack: true
}
