package train_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/train"
)

// Each row is asked for once, and where the guard is hardened in each step of the inner attack,
// for it and for what came out.
func TestGradientRows(t *testing.T) {
	s := &train.Section{BatchSize: 32, Epochs: 3}
	if got := s.GradientRows(10); got != 960 {
		t.Errorf("%d rows, want 960", got)
	}
	s.Harden = &train.Harden{Steps: 2}
	if got := s.GradientRows(10); got != 4*960 {
		t.Errorf("hardened: %d rows, want %d", got, 4*960)
	}
}
