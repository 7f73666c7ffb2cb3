package attacks

import (
	"context"
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

var dump = flag.String("dump", "", "write the network and inputs of TestFoolbox here, for testdata/compare.py")

// foolboxModel is the network and the inputs of the comparison.
func foolboxModel() (*attacktest.MLP, *tensor.Tensor) {
	return attacktest.NewMLP(30, 32, 5, 21), attacktest.Uniform(400, 30, 0, 1, 22)
}

// Foolbox 3.3.4 on the same network and inputs, untargeted from the network's
// own predictions (testdata/compare.py): success within a point where nothing
// is random, within sampling error elsewhere, and the median norm of minimal
// attacks within 2 %; C&W may be better than its.
func TestFoolbox(t *testing.T) {
	m, x := foolboxModel()
	if *dump != "" {
		b, err := json.Marshal(map[string]any{"w1": m.W1, "b1": m.B1, "w2": m.W2, "b2": m.B2, "x": x.Data})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(*dump, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("testdata/foolbox.json")
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]struct{ Success, Median float64 }
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		a      attack.Attack
		points float64 // of success that may differ, in per cent
	}{
		{"fgsm linf 0.05", &FGSM{Norm: "linf", Eps: .05}, .5},
		{"fgsm l2 0.2", &FGSM{Norm: "l2", Eps: .2}, .5},
		{"bim linf 0.05", &PGD{Norm: "linf", Eps: .05, Steps: 10, Step: .2, Restarts: 1}, 1},
		{"pgd linf 0.05", &PGD{Norm: "linf", Eps: .05, RandomStart: true, Restarts: 1}, 1},
		{"pgd l2 0.2", &PGD{Norm: "l2", Eps: .2, RandomStart: true, Restarts: 1}, 1},
		{"deepfool l2", &DeepFool{Norm: "l2", Steps: 50, Overshoot: .02, Candidates: 10}, 1},
		{"deepfool linf", &DeepFool{Norm: "linf", Steps: 50, Overshoot: .02, Candidates: 10}, 1},
		{"cw l2", &CW{Norm: "l2", Steps: 300, BinarySearch: 9, LearningRate: .01, InitialConst: .01, EarlyAbort: true}, 1},
		{"cw l2 confidence 2", &CW{Norm: "l2", Steps: 300, BinarySearch: 9, LearningRate: .01, InitialConst: .01, EarlyAbort: true, Confidence: 2}, 1},
	} {
		w, ok := want[c.name]
		if !ok {
			t.Errorf("%s: testdata/foolbox.json lacks it", c.name)
			continue
		}
		rows := x
		if _, slow := c.a.(*CW); slow {
			rows = x.Rows(0, 80)
		}
		adv, err := attack.Run(context.Background(), m, rows, nil, c.a, attack.Options{Seed: 1, Batch: 400})
		if err != nil {
			t.Fatal(err)
		}
		if got := attacktest.Rate(adv); math.Abs(got-w.Success) > c.points/100+1e-9 {
			t.Errorf("%s: success %.4f, Foolbox %.4f", c.name, got, w.Success)
		}
		var norms []float64
		for i, s := range adv.Success {
			if s {
				norms = append(norms, adv.Norm[i])
			}
		}
		slices.Sort(norms)
		got := (norms[(len(norms)-1)/2] + norms[len(norms)/2]) / 2
		t.Logf("%s: success %.4f, median %.5f; Foolbox %.4f, %.5f", c.name, attacktest.Rate(adv), got, w.Success, w.Median)
		if r := got / w.Median; r > 1.02 || r < .98 {
			t.Errorf("%s: median norm %.5f, Foolbox %.5f", c.name, got, w.Median)
		}
	}
}
