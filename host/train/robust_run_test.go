package train_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/sdk"
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

// TestRobustSeldom: with every, what is measured is what is measured then without it, by the same
// threshold; the rest of the history, and a training that is resumed in between, are the same.
func TestRobustSeldom(t *testing.T) {
	history := func(change func(*train.Options)) (*train.Result, []*train.State) {
		o := options(t, 1)
		o.Epochs, o.Harden = 6, measured()
		o.Harden.Eps, o.Harden.Also[0].Eps = .09, .3
		adam := o.Optimizer.(optimizers.Adam)
		adam.LearningRate = .1
		o.Optimizer = adam
		var states []*train.State
		o.Save = func(s *train.State) error {
			states = append(states, s)
			return nil
		}
		change(&o)
		return run(t, o), states
	}
	shares := func(r *train.Result) map[int]float64 {
		out := map[int]float64{}
		for _, rec := range r.History {
			if v, ok := rec.Get(train.NameRobust); ok {
				out[rec.Epoch] = v
			}
		}
		return out
	}
	seldom := func(o *train.Options) { o.Harden.Robust.Every = 2 }
	each, _ := history(func(*train.Options) {})
	some, states := history(seldom)
	want := shares(each)
	if slices.Max(slices.Collect(maps.Values(want))) == slices.Min(slices.Collect(maps.Values(want))) {
		t.Fatalf("all shares are the same: %v", want)
	}
	for _, epoch := range []int{3, 5} {
		delete(want, epoch)
	}
	if got := shares(some); !maps.Equal(got, want) || len(got) != 4 {
		t.Errorf("shares %v, want %v", got, want)
	}
	if r := some.Robustness; r == nil || r.Last != want[6] || r.Share != want[some.BestEpoch] {
		t.Errorf("%+v of epoch %d, shares %v", r, some.BestEpoch, want)
	}
	for i, state := range states[:5] {
		again, _ := history(func(o *train.Options) {
			seldom(o)
			o.Resume = state
		})
		if got := shares(again); !maps.Equal(got, want) || *again.Robustness != *some.Robustness || again.BestEpoch != some.BestEpoch {
			t.Errorf("resumed after epoch %d: shares %v, %+v; want %v, %+v", i+1, got, again.Robustness, want, some.Robustness)
		}
	}
	// Another metric that chooses an epoch in between: its share is measured in the end.
	between := 0
	for _, monitor := range []string{"loss", "accuracy", "val_loss", "val_accuracy"} {
		for _, mode := range []string{"min", "max"} {
			other, _ := history(func(o *train.Options) {
				o.Harden.Robust.Every = 5
				o.EarlyStopping = &train.EarlyStopping{Monitor: monitor, Mode: mode, Patience: 9}
			})
			if _, ok := shares(other)[other.BestEpoch]; !ok {
				between++
			}
			if r, want := other.Robustness, shares(each)[other.BestEpoch]; r.Epoch != other.BestEpoch || r.Share != want {
				t.Errorf("%s, %s: %+v, the share of epoch %d is %v", monitor, mode, r, other.BestEpoch, want)
			}
		}
	}
	if between == 0 {
		t.Error("only measured epochs were chosen")
	}
}

// TestEstimateAsks: a dry run counts each row that the classifier is asked about, those to
// measure how robust the guard is among them, which are few beside the training's.
func TestEstimateAsks(t *testing.T) {
	for name, change := range map[string]func(*train.Options){
		"plain":        func(o *train.Options) { o.Harden = nil },
		"not measured": func(o *train.Options) { o.Harden = hardening() },
		"each epoch":   func(*train.Options) {},
		"as cheap":     func(o *train.Options) { o.Harden.Robust, o.Epochs = train.Robust{Steps: 10}, 60 },
	} {
		o := options(t, 1)
		c := &counter{Fake: fake(sdk.Logits)}
		o.Classifier, o.Harden, o.Judge = c, measured(), strict{}
		change(&o)
		run(t, o)
		e := o.Estimate(nil, o.Train.N(), o.Validation.N(), 0)
		if got := c.forward.Load() + c.predict.Load(); got != e.Queries {
			t.Errorf("%s: %d rows were sent, the estimate is %d", name, got, e.Queries)
		}
		if measures := e.RobustRows > 0; measures != (name == "each epoch" || name == "as cheap") || measures != (e.RobustTimes > 0) {
			t.Errorf("%s: %+v", name, e)
		}
		if name == "as cheap" {
			bare := o
			bare.Harden = hardening()
			if without := bare.Estimate(nil, o.Train.N(), o.Validation.N(), 0); float64(e.Queries) > 1.1*float64(without.Queries) {
				t.Errorf("%d rows are sent, without the measurement %d", e.Queries, without.Queries)
			}
		}
	}
}

// strict is a Judge that flags every row, so that no attack ends early.
type strict struct{}

func (strict) Clean(*train.Step) {}

func (strict) Flagged(dst []bool, _ *train.Step) {
	for i := range dst {
		dst[i] = true
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
		"every -3 epochs":                   func(h *train.Harden) { h.Robust.Every = -3 },
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
