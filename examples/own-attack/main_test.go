package main

import (
	"math"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/cli/clitest"
)

// TestMain makes the test binary the program of the scripts, and the plugins
// that it starts.
func TestMain(m *testing.M) {
	clitest.Main(m, builtin.Components(), map[string]func(){"own-attack": main})
}

// TestConformance holds the attack to what the runner expects of every attack.
func TestConformance(t *testing.T) {
	attacktest.Run(t, Brightness{Norm: "linf", Eps: 0.3, Steps: 9}, attack.Options{Seed: 5})
}

// TestFindsTheWorstShift attacks a classifier of which the answer is known.
func TestFindsTheWorstShift(t *testing.T) {
	mlp := attacktest.NewMLP(12, 16, 4, 7)
	x := attacktest.Uniform(30, 12, 0, 1, 3)
	wide := attack.Box{Lo: []float32{-9}, Hi: []float32{9}}
	few, err := attack.Run(t.Context(), mlp, x, nil, Brightness{Norm: "linf", Eps: 3, Steps: 2}, attack.Options{Box: wide})
	if err != nil {
		t.Fatal(err)
	}
	many, err := attack.Run(t.Context(), mlp, x, nil, Brightness{Norm: "linf", Eps: 3, Steps: 41}, attack.Options{Box: wide})
	if err != nil {
		t.Fatal(err)
	}
	successes := 0
	for i, ok := range few.Success {
		if ok && !many.Success[i] {
			t.Errorf("row %d: 2 shifts succeed, and 41 that include them do not", i)
		}
		if ok {
			successes++
		}
		if q := many.Queries[i]; q != 41 {
			t.Errorf("row %d: %d queries, want 41", i, q)
		}
		if d := many.XAdv.Row(i)[0] - x.Row(i)[0]; math.Abs(float64(many.XAdv.Row(i)[11]-x.Row(i)[11]-d)) > 1e-6 {
			t.Errorf("row %d: features 0 and 11 are shifted by different amounts", i)
		}
	}
	if successes == 0 {
		t.Error("a shift of 3 succeeds on no row")
	}
}

func TestProgram(t *testing.T) { clitest.Run(t, "testdata", []string{"guard.yaml"}, nil) }
