package train_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/train"
)

// measured is a hardening that measures itself and keeps what is best.
func measured() *train.Harden {
	h := hardening()
	h.Robust, h.Keep, h.Also = train.Robust{Rows: 30, Steps: 4}, "robust", []train.Ball{{Norm: "l2", Eps: .3}}
	return h
}

// TestRobustChangesNoBit: the weights after each epoch are what they are without the
// measurement, and its figures are the same for any threads, in turns, and in any batch.
func TestRobustChangesNoBit(t *testing.T) {
	epochs := func(threads int, change func(*train.Options)) (each [][]float32, shares []float64) {
		o := options(t, threads)
		o.Harden = measured()
		change(&o)
		o.Save = func(*train.State) error {
			each = append(each, weights(o.Model.Params()))
			return nil
		}
		for _, rec := range run(t, o).History {
			if v, ok := rec.Get(train.NameRobust); ok {
				shares = append(shares, v)
			}
		}
		return each, shares
	}
	want, shares := epochs(1, func(*train.Options) {})
	if len(shares) != 3 {
		t.Fatalf("shares %v, want one for each of 3 epochs", shares)
	}
	for name, change := range map[string]func(*train.Options){
		"not measured":  func(o *train.Options) { o.Harden.Robust.Steps = 0 },
		"other steps":   func(o *train.Options) { o.Harden.Robust.Steps = 7 },
		"the last kept": func(o *train.Options) { o.Harden.Keep = "last" },
		"no validation": func(o *train.Options) { o.Validation = nil },
		"in turns":      func(o *train.Options) { o.InTurns = true },
		"threads":       func(*train.Options) {},
	} {
		threads := 1
		if name == "threads" {
			threads = 3
		}
		got, other := epochs(threads, change)
		if !slices.EqualFunc(got, want, slices.Equal[[]float32]) {
			t.Errorf("%s: other weights", name)
		}
		if (name == "in turns" || name == "threads" || name == "the last kept") && !slices.Equal(other, shares) {
			t.Errorf("%s: shares %v, want %v", name, other, shares)
		}
	}
}

// TestRobustMonitor: early stopping knows val_robust where it is measured, and only there.
func TestRobustMonitor(t *testing.T) {
	o := options(t, 1)
	o.Harden, o.EarlyStopping = measured(), &train.EarlyStopping{Monitor: train.NameRobust, Patience: 1}
	run(t, o)
	o = options(t, 1)
	o.Harden, o.EarlyStopping = hardening(), &train.EarlyStopping{Monitor: train.NameRobust, Patience: 1}
	if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), `"val_robust"; known: loss`) {
		t.Errorf("error is %v", err)
	}
	o = options(t, 1) // by default what it always was
	o.EarlyStopping = &train.EarlyStopping{Patience: 1}
	if r := run(t, o); r.BestEpoch == 0 || r.Robustness != nil {
		t.Errorf("best epoch %d, robustness %v", r.BestEpoch, r.Robustness)
	}
	for want, change := range map[string]func(*train.Harden){
		"train.harden.robust is -1 rows":    func(h *train.Harden) { h.Robust.Rows = -1 },
		"and -2 steps":                      func(h *train.Harden) { h.Robust.Steps = -2 },
		`train.harden.keep is "best", want`: func(h *train.Harden) { h.Keep = "best" },
	} {
		o := options(t, 1)
		o.Harden = measured()
		change(o.Harden)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}
