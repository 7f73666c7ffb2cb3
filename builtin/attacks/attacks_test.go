package attacks

import (
	"context"
	"math"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
)

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
	case *Blind:
		c := *a
		c.Queries = 200
		return &c
	case *Boundary:
		c := *a
		c.Steps = 300
		return &c
	}
	return a
}

func TestConformance(t *testing.T) {
	for _, e := range Table().Entries() {
		t.Run(e.Name, func(t *testing.T) { attacktest.RunAll(t, quick(e.Default), attack.Options{Seed: 5}) })
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

// A ball that holds the whole box lets the iterated attacks fool every row.
func TestIteratedAttacksFoolAllWithNoBoundButTheBox(t *testing.T) {
	n := 0
	for _, e := range Table().Entries() {
		if !attack.IsIterated(e.Default) {
			continue
		}
		n++
		if r := rate(t, e.Default, attack.Options{Norm: attack.Linf, Eps: 1, Restarts: 5}); r < 1 {
			t.Errorf("%s: success %g with no bound but the box, want 1", e.Name, r)
		}
	}
	if n == 0 {
		t.Error("no attack of the table is iterated")
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

// Auto-PGD's schedule goes back to the best iterate, and one that has reached the goal is better than all that
// have not, though its loss, which there is of another function, be higher.
func TestScheduleKeepsTheGoal(t *testing.T) {
	r := newAPGDRow(2, 1)
	for k, v := range []value{{false, 5}, {false, 1}, {true, 40}, {false, .5}, {true, 39}, {true, 39.5}, {false, .1}} {
		r.see([]float32{float32(k)}, []float32{float32(-k)}, v)
	}
	if r.improved != 4 { // the first, and those with 1, 40 and 39
		t.Errorf("%d steps got better, want 4", r.improved)
	}
	y, g := []float32{9}, []float32{9}
	if r.back(y, g); y[0] != 4 || g[0] != -4 {
		t.Errorf("back to iterate %v with gradient %v, want 4 with −4", y, g)
	}
	r.shortened = false
	if r.slow(.1, 7) {
		t.Error("the step was halved, though the goal was reached since the last checkpoint")
	}
	if r.see(y, g, value{false, 0}); !r.slow(.01, 7) {
		t.Error("the step was kept, though nothing was better than the best")
	}
}

// However short a gradient is, its step is of length 1, and a zero one moves nothing.
func TestSteepestOfShortGradients(t *testing.T) {
	for _, size := range []float32{1, 1e-20, 1e-35, 1e-44} {
		g := []float32{3 * size, 0, -4 * size}
		if steepest(g, attack.L2); math.Abs(attack.L2.Length(g)-1) > 1e-3 || g[0] >= 0 || g[2] <= 0 {
			t.Errorf("gradients of %g give the step %v", size, g)
		}
	}
	if g := []float32{0, 0}; true {
		if steepest(g, attack.L2); g[0] != 0 || g[1] != 0 {
			t.Errorf("no gradient gives the step %v", g)
		}
	}
}
