package attacks

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// customers is a table scaled to [0, 1]: age from 18 to 80, income, whether the
// home is owned, three columns of one education, and a constant.
func customers(n int) (*tensor.Tensor, *attack.Constraints) {
	r := rand.New(rand.NewPCG(1, 5))
	x := tensor.New(n, 7)
	for i := range n {
		row := x.Row(i)
		row[0] = float32(float64(r.IntN(63)) / 62)
		row[1] = r.Float32()
		row[2] = float32(r.IntN(2))
		row[3+r.IntN(3)] = 1
		row[6] = .5
	}
	return x, &attack.Constraints{
		Columns: []attack.Column{
			{Integer: true, Min: 18, Max: 80, Scale: 62, Offset: 18}, {}, {Integer: true, Min: 0, Max: 1}, {}, {}, {}, {Immutable: true},
		},
		Groups: [][]int{{3, 4, 5}},
	}
}

// impossible counts the customers that cannot exist.
func impossible(adv *attack.Adversarial) int {
	count := 0
	for i := range adv.X.N() {
		x := adv.XAdv.Row(i)
		age := 18 + 62*float64(x[0])
		sum, ones := float32(0), 0
		for _, v := range x[3:6] {
			if sum += v; v == 1 {
				ones++
			}
		}
		if math.Abs(age-math.Round(age)) > 1e-5 || x[2] != 0 && x[2] != 1 || ones != 1 || sum != 1 || x[6] != .5 {
			count++
		}
	}
	return count
}

// TestCustomersExist runs every attack that ships on the table, with eps too
// short for another category and long enough, and in standard deviations where
// the attack knows them.
func TestCustomersExist(t *testing.T) {
	const n = 16
	x, c := customers(n)
	guard, _, _ := attacktest.NewGuard(7, 4, 3, 60, 3)
	ctx := context.Background()
	z, err := guard.Predict(ctx, x)
	if err != nil {
		t.Fatal(err)
	}
	labels := make([]int, n)
	for i := range labels {
		labels[i] = oracle.Argmax(z.Row(i))
	}
	guard.Threshold = 1
	illegal, categories, fooled := 0, 0, 0
	run := func(t *testing.T, a attack.Attack, eps float64) {
		o := attack.Options{Seed: 4, Eps: eps, Threshold: math.Inf(1), Pool: z, PoolLabels: labels, Deviations: attack.Deviations(x)}
		if ad, ok := a.(attack.Adaptive); ok {
			o.Threshold, o.Judge = guard.Threshold, guard.Judge(labels, ad.WantsFlag())
		}
		bare, err := attack.Run(ctx, guard, x, labels, a, o)
		if err != nil {
			t.Fatal(err)
		}
		illegal += impossible(bare)
		o.Constraints = c
		adv, err := attack.Run(ctx, guard, x, labels, a, o)
		if err != nil {
			t.Fatal(err)
		}
		if k := impossible(adv); k > 0 {
			t.Errorf("eps %g: %d of %d rows cannot exist", eps, k, n)
		}
		for i := range n {
			if d := adv.Norm[i]; d > adv.Eps+attacktest.Tolerance {
				t.Errorf("eps %g, row %d: %s norm %g", eps, i, adv.Ball, d)
			}
			if adv.Success[i] {
				fooled++
			}
			for j := 3; j < 6; j++ {
				if adv.XAdv.Row(i)[j] != x.Row(i)[j] {
					categories++
					break
				}
			}
		}
	}
	for _, e := range Table().Entries() {
		t.Run(e.Name, func(t *testing.T) {
			for _, eps := range []float64{.5, 1.5} {
				run(t, quick(e.Default), eps)
			}
		})
	}
	t.Run("in standard deviations", func(t *testing.T) {
		for _, eps := range []float64{.5, 3} {
			run(t, &PGD{Unit: attack.Unit{EpsUnit: "std"}, Norm: "linf", Steps: 20, Restarts: 1}, eps)
			run(t, &Joint{Unit: attack.Unit{EpsUnit: "std"}, Norm: "l2", Steps: 10, Step: .1, Lambdas: []float64{1}}, eps)
		}
	})
	if illegal == 0 || categories == 0 || fooled == 0 {
		t.Errorf("%d impossible rows without constraints, %d changes of category and %d fooled with them: the test says nothing", illegal, categories, fooled)
	}
	t.Logf("without constraints %d rows cannot exist; with them %d change their category and %d succeed", illegal, categories, fooled)
}
