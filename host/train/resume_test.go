package train_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestResume: from any checkpoint, through its written form, training ends
// with the same bits and history.
func TestResume(t *testing.T) {
	for name, change := range map[string]func(*train.Options){
		"plain":    func(*train.Options) {},
		"hardened": func(o *train.Options) { o.Harden = hardening() },
		"smoothed": func(o *train.Options) { o.Harden, o.InputNoise, o.Smooth = hardening(), .1, true },
		"measured": func(o *train.Options) { o.Epochs, o.Harden = 5, measured() },
		"early stopping": func(o *train.Options) {
			o.Epochs, o.EarlyStopping = 6, &train.EarlyStopping{Monitor: "val_kl", Patience: 1, MinDelta: .02}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var states []*train.State
			o := options(t, 1)
			change(&o)
			o.Checkpoint.Every = 2
			o.Save = func(s *train.State) error { states = append(states, s); return nil }
			r := run(t, o)
			want, history := weights(o.Model.Params()), metricsOf(r.History)
			if n := o.Epochs * 3; name == "plain" && len(states) != 9 {
				t.Errorf("%d checkpoints, want 9 (5 steps an epoch, %d epochs): %d", len(states), o.Epochs, n)
			}
			for i, s := range states {
				text, err := s.MarshalProgress()
				if err != nil {
					t.Fatal(err)
				}
				o := options(t, 1)
				change(&o)
				if o.Resume, err = train.ReadState(text, s.Tensors); err != nil {
					t.Fatal(err)
				}
				o.Model = model(t, 99, nil)
				again := run(t, o)
				if !slices.Equal(weights(o.Model.Params()), want) {
					t.Errorf("resumed from checkpoint %d (epoch %d, step %d): other weights", i, s.Progress.Epoch, s.Progress.Step)
				}
				if got := metricsOf(again.History); got != history {
					t.Errorf("resumed from checkpoint %d: history is %s, want %s", i, got, history)
				}
			}
		})
	}
}

func TestResumeRefused(t *testing.T) {
	o := options(t, 1)
	var state *train.State
	o.Save = func(s *train.State) error { state = s; return nil }
	run(t, o)
	for want, change := range map[string]func(*train.Options, *train.State){
		"another training":              func(o *train.Options, _ *train.State) { o.Seed++ },
		"version 9":                     func(_ *train.Options, s *train.State) { s.Progress.Version = 9 },
		`"params/mean.bias" is missing`: func(_ *train.Options, s *train.State) { delete(s.Tensors, "params/mean.bias") },
		`no tensor "mean.bias/m"`:       func(_ *train.Options, s *train.State) { delete(s.Tensors, "optimizer/mean.bias/m") },
		"at epoch 2, step 50":           func(_ *train.Options, s *train.State) { s.Progress.Epoch, s.Progress.Step = 2, 50 },
	} {
		o := options(t, 1)
		copied := &train.State{Tensors: map[string]*tensor.Tensor{}, Progress: state.Progress}
		for n, v := range state.Tensors {
			copied.Tensors[n] = v
		}
		o.Resume = copied
		change(&o, copied)
		if _, err := train.Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q in it", err, want)
		}
	}
}

// TestCancel: an ended context finishes the batch and leaves a checkpoint.
func TestCancel(t *testing.T) {
	whole := options(t, 1)
	run(t, whole)
	o := options(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	o.Events = func(e train.Event) {
		if e.Stage == train.StageStep && e.Epoch == 2 && e.Step == 3 {
			cancel()
		}
	}
	var state *train.State
	o.Save = func(s *train.State) error { state = s; return nil }
	if _, err := train.Run(ctx, o); !errors.Is(err, context.Canceled) {
		t.Fatalf("error is %v, want %v", err, context.Canceled)
	}
	if state.Progress.Epoch != 1 || state.Progress.Step != 3 {
		t.Fatalf("checkpoint at epoch %d, step %d, want 1, 3", state.Progress.Epoch, state.Progress.Step)
	}
	o = options(t, 1)
	o.Resume = state
	run(t, o)
	if !slices.Equal(weights(o.Model.Params()), weights(whole.Model.Params())) {
		t.Error("cut short and resumed: other weights")
	}
}

// TestNaN: a loss that is not a number ends the training with the batch's
// rows, and no checkpoint holds it.
func TestNaN(t *testing.T) {
	o := options(t, 1)
	sgd, err := optimizers.Table().Lookup("sgd")
	if err != nil {
		t.Fatal(err)
	}
	o.Optimizer = sgd
	o.Schedule = blast{}
	o.Model = model(t, 1, func(v *vae.Options) { v.Decoder = []nn.Maker{dense(features, "linear")} })
	o.Loss = loss(t, "mse")
	o.Checkpoint.Every = 1
	o.Save = func(s *train.State) error {
		for name, v := range s.Tensors {
			for _, x := range v.Data {
				if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
					t.Errorf("checkpoint holds %v in %s", x, name)
					return nil
				}
			}
		}
		return nil
	}
	_, err = train.Run(t.Context(), o)
	var at *train.BatchError
	if !errors.As(err, &at) && (err == nil || !strings.Contains(err.Error(), "no longer finite")) {
		t.Fatalf("error is %v, want one of the batch or of the params", err)
	}
	if at != nil && (at.Epoch != 1 || len(at.Rows) != 32) {
		t.Errorf("error is at epoch %d with %d rows, want 1 and 32", at.Epoch, len(at.Rows))
	}
}

// blast is a learning rate that no training survives.
type blast struct{}

// At implements nn.Schedule.
func (blast) At(float64, int, int) float64 { return 1e12 }

// TestPluginDies: a failing classifier leaves a checkpoint of the last whole
// step.
func TestPluginDies(t *testing.T) {
	o := options(t, 1)
	o.Classifier = &mortal{Fake: fake(sdk.Logits), calls: 8}
	var state *train.State
	o.Save = func(s *train.State) error { state = s; return nil }
	_, err := train.Run(t.Context(), o)
	if !errors.Is(err, errDied) || !strings.Contains(err.Error(), "epoch 2, step 3") {
		t.Fatalf("error is %v, want %v at epoch 2, step 3", err, errDied)
	}
	if state == nil || state.Progress.Epoch != 1 || state.Progress.Step != 2 {
		t.Fatalf("checkpoint is %+v, want epoch 1, step 2", state)
	}
}

var errDied = errors.New("died")

type mortal struct {
	*sdktest.Fake
	calls int // 7 steps succeed
}

func (m *mortal) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	if m.calls--; m.calls == 0 {
		return nil, nil, errDied
	}
	return m.Fake.Forward(ctx, x, outputs...)
}

// Predict does not go through Forward's count.
func (m *mortal) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return m.Fake.Predict(ctx, x)
}

// TestResumeWithAnotherJudge: epochs that were measured by one judge are not compared with
// those of another; once all are made nothing is measured any more.
func TestResumeWithAnotherJudge(t *testing.T) {
	var states []*train.State
	with := func(name string, resume *train.State) error {
		o := options(t, 1)
		o.Harden, o.JudgeName, o.Resume = measured(), name, resume
		o.Save = func(s *train.State) error { states = append(states, s); return nil }
		_, err := train.Run(t.Context(), o)
		return err
	}
	if err := with("a", nil); err != nil {
		t.Fatal(err)
	}
	first, last := states[0], states[len(states)-1]
	if err := with("b", first); err == nil || !strings.Contains(err.Error(), "detector.score") {
		t.Errorf("resumed after an epoch with another judge: error %v", err)
	}
	for _, name := range []string{"a", ""} {
		if err := with(name, first); err != nil {
			t.Errorf("resumed with judge %q: %v", name, err)
		}
	}
	if err := with("b", last); err != nil {
		t.Errorf("resumed after the last epoch with another judge: %v", err)
	}
}
