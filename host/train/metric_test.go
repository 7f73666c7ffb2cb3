package train_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/train"
)

// rising is larger each time that it is asked.
type rising struct{ n *float64 }

func (rising) UsesClassifier() bool { return false }

func (r rising) Rows(dst []float64, _ *train.Step, _ train.Setup) {
	*r.n++
	for i := range dst {
		dst[i] = *r.n
	}
}

// gain is rising, of which more is better.
type gain struct{ rising }

func (gain) LargerIsBetter() bool { return true }

// Which way is better is for the metric to say, whatever its name.
func TestEarlyStoppingGoesByTheMetric(t *testing.T) {
	for _, c := range []struct {
		name, mode   string
		metric       train.Metric
		epochs, best int
	}{
		{"gain", "", gain{rising{new(float64)}}, 4, 4},
		{"loss", "", rising{new(float64)}, 2, 1},
		{"gain to be kept small", "min", gain{rising{new(float64)}}, 2, 1},
		{"loss to be made large", "max", rising{new(float64)}, 4, 4},
	} {
		o := options(t, 1)
		o.Epochs, o.Metrics = 4, []train.NamedMetric{{Name: "near_accuracy", Metric: c.metric}}
		o.EarlyStopping = &train.EarlyStopping{Monitor: "val_near_accuracy", Patience: 1, Mode: c.mode}
		r, err := train.Run(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.History) != c.epochs || r.BestEpoch != c.best {
			t.Errorf("%s: %d epochs, best %d; want %d, best %d", c.name, len(r.History), r.BestEpoch, c.epochs, c.best)
		}
	}
}

// The trainer's own metrics are reported once and in its own place, also where
// they are asked for.
func TestOwnMetricsAreReportedOnce(t *testing.T) {
	o := options(t, 1)
	o.Epochs, o.Validation = 1, nil
	o.Metrics = []train.NamedMetric{{Name: "mine", Metric: rising{new(float64)}}, {Name: train.NameAccuracy, Metric: train.Accuracy{}}}
	r, err := train.Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, v := range r.History[0].Metrics {
		got += v.Name + " "
	}
	if want := "loss kl accuracy mine "; got != want {
		t.Errorf("metrics %q, want %q", got, want)
	}
}
