package gradient_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/attack/attacktest"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// guarded are the options of a short training against a model that answers
// predictions only.
func guarded(t *testing.T, kind gradient.Kind, threads int) (train.Options, *gradient.Source) {
	fake := &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5, Output: sdk.Probabilities}
	x := attacktest.Uniform(120, 6, .1, .9, 1)
	s := source(t, attacktest.PredictionsOnly{C: fake}, gradient.Options{Section: gradient.Section{Differences: &gradient.Differences{Pairs: 8}, Surrogate: &gradient.SurrogateSection{Layers: []nn.Maker{dense(16), layers.Dropout{Rate: .1}}, Noise: .1, RefitEvery: 1, Epochs: 2}, Kind: kind}, Train: dataset.InMemory(x), Validation: attacktest.Uniform(30, 6, .1, .9, 2),
		Threads: threads})
	k, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	sigmoid := layers.NewDense(6)
	sigmoid.Activation = nn.Activation{Name: "sigmoid"}
	m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 2, Encoder: []nn.Maker{dense(12)}, Decoder: []nn.Maker{dense(12), sigmoid}}, Input: tensor.Shape{6}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	loss, err := losses.Table().Lookup("adversarial")
	if err != nil {
		t.Fatal(err)
	}
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		t.Fatal(err)
	}
	return train.Options{Section: train.Section{Loss: loss, Optimizer: adam, Epochs: 3, BatchSize: 32, Harden: &train.Harden{Norm: "linf", Eps: .1, Steps: 2, Through: "guard", Weight: .5}},
		Engine: k, Model: m, Classifier: s, Train: dataset.InMemory(x), Validation: attacktest.Uniform(30, 6, .1, .9, 2),
		Seed: 7,
	}, s
}

// outcome is all that a training leaves, as text.
func outcome(t *testing.T, o train.Options, s *gradient.Source) string {
	t.Helper()
	r, err := train.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, h := range r.History {
		text += fmt.Sprintln(h.Epoch, h.Metrics)
	}
	for _, p := range o.Model.Params() {
		text += fmt.Sprintln(p.Name, p.Value.Data)
	}
	report, tensors, err := s.State()
	if err != nil {
		t.Fatal(err)
	}
	text += string(report)
	for _, n := range slices.Sorted(maps.Keys(tensors)) {
		text += fmt.Sprintln(n, tensors[n].Data)
	}
	return text
}

// TestTraining: every kind trains, hardened; any number of threads gives the
// same bits, of guard, surrogate and counts; and so does a training that is
// resumed from any of its checkpoints, in their written form.
func TestTraining(t *testing.T) {
	for _, kind := range []gradient.Kind{gradient.Surrogate, gradient.Difference, gradient.NES} {
		t.Run(string(kind), func(t *testing.T) {
			var states []*train.State
			o, s := guarded(t, kind, 1)
			o.Checkpoint.Every = 3
			o.Save = func(s *train.State) error { states = append(states, s); return nil }
			want := outcome(t, o, s)
			if r := s.Report(); r.Kind != kind || r.Queries.Predictions < 3*120 || r.Queries.Gradients == 0 || (r.Refits == 3) != (kind == gradient.Surrogate) {
				t.Errorf("report %+v", r)
			}
			o, s = guarded(t, kind, 3)
			if outcome(t, o, s) != want {
				t.Error("three threads give other bits than one")
			}
			if len(states) < 5 {
				t.Fatalf("%d checkpoints, want at least 5", len(states))
			}
			for i, state := range states {
				text, err := state.MarshalProgress()
				if err != nil {
					t.Fatal(err)
				}
				o, s := guarded(t, kind, 1)
				if o.Resume, err = train.ReadState(text, state.Tensors); err != nil {
					t.Fatal(err)
				}
				if outcome(t, o, s) != want {
					t.Errorf("resumed from checkpoint %d (epoch %d, step %d): other bits", i, state.Progress.Epoch, state.Progress.Step)
				}
			}
		})
	}
}

// TestRobust: what a hardened training asks to measure itself teaches the source nothing:
// the same weights as without, after each epoch; and it is resumed as ever.
func TestRobust(t *testing.T) {
	for _, kind := range []gradient.Kind{gradient.Surrogate, gradient.Difference, gradient.NES} {
		var want [2]string
		for i, steps := range []int{0, 3} {
			o, _ := guarded(t, kind, 1)
			o.Harden.Robust = train.Robust{Rows: 20, Steps: steps}
			var states []*train.State
			o.Save = func(s *train.State) error {
				states = append(states, s)
				for _, p := range o.Model.Params() {
					want[i] += fmt.Sprintln(p.Name, p.Value.Data)
				}
				return nil
			}
			r, err := train.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := r.History[0].Get(train.NameRobust); ok != (steps > 0) {
				t.Errorf("%s: %d steps: history %v", kind, steps, r.History)
			}
			again, _ := guarded(t, kind, 1)
			again.Harden.Robust, again.Resume = o.Harden.Robust, states[1]
			if _, err := train.Run(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			for j, p := range o.Model.Params() {
				if !slices.Equal(p.Value.Data, again.Model.Params()[j].Value.Data) {
					t.Errorf("%s: %d steps: resumed, %s has other bits", kind, steps, p.Name)
				}
			}
		}
		if want[0] != want[1] {
			t.Errorf("%s: the measurement changes the weights", kind)
		}
	}
}

// TestReopen: the gradients of a saved Source are those of the one at work.
func TestReopen(t *testing.T) {
	for _, kind := range []gradient.Kind{gradient.Surrogate, gradient.Difference, gradient.NES} {
		_, s := guarded(t, kind, 1)
		if err := s.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.Freeze()
		again, err := gradient.Reopen(t.Context(), attacktest.PredictionsOnly{C: &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5, Output: sdk.Probabilities}},
			gradient.Options{Section: gradient.Section{Surrogate: &gradient.SurrogateSection{Layers: []nn.Maker{dense(16), layers.Dropout{Rate: .1}}}}, Seed: 3}, s.Report(), s.Saved())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = again.Close() }()
		x := attacktest.Uniform(50, 6, .1, .9, 1)
		y, err := s.Predict(t.Context(), x)
		if err != nil {
			t.Fatal(err)
		}
		dy := cotangents(y, sdk.Probabilities)
		if !slices.Equal(gradientAt(t, s, x, dy).Data, gradientAt(t, again, x, dy).Data) {
			t.Errorf("%s: reopened, it gives another gradient", kind)
		}
		saved := s.Saved()
		delete(saved, gradient.SavedPrefix+"spread")
		if _, err := gradient.Reopen(t.Context(), attacktest.PredictionsOnly{C: &sdktest.Fake{Shape: tensor.Shape{6}, Classes: 3, Seed: 5}}, gradient.Options{}, s.Report(), saved); err == nil {
			t.Errorf("%s: no error without the features' ranges", kind)
		}
	}
}
