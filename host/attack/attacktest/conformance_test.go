package attacktest_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
)

// TestConformance is the example of RunAll at work.
func TestConformance(t *testing.T) {
	attacktest.RunAll(t, &Uniform{Norm: "linf", Eps: .1}, attack.Options{Seed: 1})
}
