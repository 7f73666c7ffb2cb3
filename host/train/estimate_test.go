package train_test

import (
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Each row is asked for once, and where the guard is hardened in each step of the inner attack,
// for it and for what came out; then also where it measures how robust it is.
func TestGradientRows(t *testing.T) {
	s := &train.Section{BatchSize: 32, Epochs: 3}
	rows := func() int64 { return s.Estimate(nil, 300, 100, 0).GradientRows }
	if got := rows(); got != 900 {
		t.Errorf("%d rows, want 900", got)
	}
	s.Harden = &train.Harden{Steps: 2}
	if got := rows(); got != 4*900 {
		t.Errorf("hardened: %d rows, want %d", got, 4*900)
	}
	s.Harden.Robust = train.Robust{Rows: 50, Every: 2, Steps: 10}
	if got, want := rows(), int64(4*900+2*50*2*10); got != want {
		t.Errorf("measured: %d rows, want %d", got, want)
	}
}

// What is measured takes time.
func TestEstimateTime(t *testing.T) {
	layers := []nn.LayerInfo{{Out: tensor.Shape{100}, Params: 100, FLOPs: 1e7}}
	s := &train.Section{BatchSize: 50, Epochs: 3, Harden: &train.Harden{Steps: 2}}
	before := s.Estimate(layers, 300, 100, 0).Time
	s.Harden.Robust = train.Robust{Rows: 100, Steps: 10}
	// 33 passes of 100 rows three times, at 150 GFLOPS, and 11 calls of 1 ms for each half.
	if more := s.Estimate(layers, 300, 100, 0).Time - before; more < 710*time.Millisecond || more > 740*time.Millisecond {
		t.Errorf("%v more, want 660 ms of arithmetic and 66 ms of calls", more)
	}
}

// Memory is of what grows: rows, params, and the rows of a step, twice where the guard is
// hardened.
func TestEstimateMemory(t *testing.T) {
	layers := []nn.LayerInfo{{Out: tensor.Shape{1 << 14}, Params: 1 << 22}}
	const mib = 1 << 20
	s := &train.Section{BatchSize: 128, Epochs: 1}
	of := func(rows int, held int64) int { return s.Estimate(layers, rows, 0, held).MemoryMiB }
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
