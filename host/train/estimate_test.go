package train_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
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

// Memory is of what grows: rows, params, and the rows of a step, twice where the guard is
// hardened.
func TestEstimateMemory(t *testing.T) {
	layers := []nn.LayerInfo{{Out: tensor.Shape{1 << 14}, Params: 1 << 22}}
	const mib = 1 << 20
	s := &train.Section{BatchSize: 128, Epochs: 1}
	of := func(rows int, held int64) int { return s.Estimate(layers, rows, held).MemoryMiB }
	base := of(1000, 0)
	if got := of(1000, 32*mib) - base; got != 256 {
		t.Errorf("32 Mi numbers of rows cost %d MiB, want 256", got)
	}
	step := 3 * 4 * (1 << 14) * 128 / mib
	if got := base - of(64, 0); got != step/2 {
		t.Errorf("half a batch less saves %d MiB, want %d", got, step/2)
	}
	s.Harden = &train.Harden{Steps: 1}
	if got := of(1000, 0) - base; got != step {
		t.Errorf("hardening costs %d MiB, want %d", got, step)
	}
	layers[0].Params *= 2
	s.Harden = nil
	if got := of(1000, 0) - base; got != 4*2*4*7 {
		t.Errorf("4 Mi params cost %d MiB, want 224", got)
	}
}
