package attacks

import (
	"context"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
)

// norms are the balls that each attack is tested in; the first is its default.
var norms = map[string][]attack.Norm{
	"fgsm": {attack.Linf, attack.L2, attack.L1}, "bim": {attack.Linf, attack.L2}, "pgd": {attack.Linf, attack.L2},
	"slide": {attack.L1}, "cw": {attack.L2}, "deepfool": {attack.L2, attack.Linf}, "apgd": {attack.Linf, attack.L2},
	"square": {attack.Linf, attack.L2}, "spsa": {attack.Linf, attack.L2}, "hop_skip_jump": {attack.L2, attack.Linf}, "boundary": {attack.L2},
	"noise": {attack.Linf, attack.L2, attack.L1},
}

// quick cuts the query budgets of the slow attacks.
func quick(a attack.Attack) attack.Attack {
	switch a := a.(type) {
	case *Square:
		c := *a
		c.Queries = 200
		return &c
	case *SPSA:
		c := *a
		c.Steps, c.Samples = 10, 16
		return &c
	case *HopSkipJump:
		c := *a
		c.Queries = 600
		return &c
	case *Boundary:
		c := *a
		c.Steps = 300
		return &c
	}
	return a
}

var radius = map[attack.Norm]float64{attack.Linf: .1, attack.L2: .3, attack.L1: .8}

func TestConformance(t *testing.T) {
	for _, e := range Table().Entries() {
		if _, ok := e.Default.(attack.Adaptive); ok {
			continue
		}
		if norms[e.Name] == nil {
			t.Errorf("%s: no norms listed", e.Name)
		}
		for _, n := range norms[e.Name] {
			t.Run(e.Name+" "+string(n), func(t *testing.T) {
				attacktest.Run(t, quick(e.Default), attack.Options{Norm: n, Eps: radius[n], Seed: 5})
			})
		}
	}
}

func rate(t *testing.T, a attack.Attack, o attack.Options) float64 {
	t.Helper()
	adv, err := attack.Run(context.Background(), attacktest.NewMLP(12, 16, 4, 7), attacktest.Uniform(60, 12, 0, 1, 4), nil, a, o)
	if err != nil {
		t.Fatal(err)
	}
	return attacktest.Rate(adv)
}

// More eps is never weaker for the iterated attacks, and a ball that holds
// the whole box lets every row be fooled.
func TestSuccessGrowsWithEps(t *testing.T) {
	for _, name := range []string{"bim", "pgd"} {
		a, _ := Table().Lookup(name)
		last := 0.0
		for _, eps := range []float64{.01, .03, .1, .3} {
			r := rate(t, a, attack.Options{Norm: attack.Linf, Eps: eps})
			if r < last {
				t.Errorf("%s: success %g at eps %g, %g below it", name, r, eps, last)
			}
			last = r
		}
		if r := rate(t, a, attack.Options{Norm: attack.Linf, Eps: 1, Restarts: 5}); r < 1 {
			t.Errorf("%s: success %g with no bound but the box, want 1", name, r)
		}
	}
}

func TestNoiseIsWeakerThanPGD(t *testing.T) {
	for n, eps := range map[attack.Norm]float64{attack.Linf: .1, attack.L2: .3} {
		o := attack.Options{Norm: n, Eps: eps}
		noise, pgd := rate(t, &Noise{Distribution: "uniform"}, o), rate(t, &PGD{RandomStart: true, Restarts: 1}, o)
		if noise >= pgd {
			t.Errorf("%s: noise succeeds on %g, PGD on %g", n, noise, pgd)
		}
	}
}

// A linear model z₁ − z₀ = w·x + b is fooled by FGSM exactly when eps exceeds
// |w·x + b|/‖w‖ of the dual norm.
func TestFGSMOnALinearModel(t *testing.T) {
	m := attacktest.Linear{W: [][]float32{{0, 0, 0}, {3, -4, 1}}, B: []float32{0, .5}, Lo: []float32{-9}, Hi: []float32{9}}
	x := attacktest.Uniform(20, 3, -1, 1, 2)
	dual := map[attack.Norm]float64{attack.Linf: 8, attack.L2: 5.0990195, attack.L1: 4}
	for n, d := range dual {
		for i := range x.N() {
			row := x.Rows(i, i+1)
			gap := 3*float64(row.Data[0]) - 4*float64(row.Data[1]) + float64(row.Data[2]) + .5
			if gap < 0 {
				gap = -gap
			}
			for _, f := range []float64{.99, 1.01} {
				adv, err := attack.Run(context.Background(), m, row, nil, &FGSM{}, attack.Options{Norm: n, Eps: f * gap / d})
				if err != nil {
					t.Fatal(err)
				}
				if adv.Success[0] != (f > 1) {
					t.Errorf("%s row %d: success %v at %g of the distance", n, i, adv.Success[0], f)
				}
			}
			adv, err := attack.Run(context.Background(), m, row, nil, &FGSM{Minimal: true, EpsSteps: 1000}, attack.Options{Norm: n, Eps: 2})
			if err != nil {
				t.Fatal(err)
			}
			if want := gap / d; adv.Norm[0] < want-1e-6 || adv.Norm[0] > want+2e-3+1e-6 {
				t.Errorf("%s row %d: minimal norm %g, want %g within a step of 0.002", n, i, adv.Norm[0], want)
			}
		}
	}
}

// Targeted attacks reach the class that was asked for.
func TestTargeted(t *testing.T) {
	x := attacktest.Uniform(30, 12, 0, 1, 4)
	targets := make([]int, 30)
	for i := range targets {
		targets[i] = i % 4
	}
	adv, err := attack.Run(context.Background(), attacktest.NewMLP(12, 16, 4, 7), x, nil, &PGD{RandomStart: true, Restarts: 3}, attack.Options{Norm: attack.Linf, Eps: .6, Targets: targets})
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range adv.Success {
		if s != (adv.PredictedAdv[i] == targets[i] && adv.Predicted[i] != targets[i]) {
			t.Errorf("row %d: success %v, predicted %d then %d, target %d", i, s, adv.Predicted[i], adv.PredictedAdv[i], targets[i])
		}
	}
	if r := attacktest.Rate(adv); r < .6 {
		t.Errorf("targeted success %g, want at least 0.6", r)
	}
}
