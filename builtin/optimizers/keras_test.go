package optimizers_test

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// tolerance of a number that Keras computed in float32, where 1−β₂ᵗ loses
// digits in the first steps; relative above 1.
const tolerance = 1e-5

// TestKeras compares with testdata/keras.json, which keras_reference.py wrote.
func TestKeras(t *testing.T) {
	var ref struct {
		Optimizers []struct {
			Optimizer json.RawMessage
			P         []float32
			G, After  [][]float32
		}
		Schedules []struct {
			Schedule json.RawMessage
			Rates    []float64
		}
	}
	data, err := os.ReadFile("testdata/keras.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	for _, c := range ref.Optimizers {
		var dst struct {
			Optimizer nn.Optimizer `yaml:"optimizer"`
		}
		if err := spec.DecodeJSON([]byte(`{"optimizer":`+string(c.Optimizer)+`}`), &dst, optimizers.Table()); err != nil {
			t.Fatal(err)
		}
		p := &nn.Param{Name: "p", Value: tensor.From(c.P, len(c.P))}
		g := nn.NewGrads([]*nn.Param{p})
		s := nn.NewOptimizerState(dst.Optimizer, []*nn.Param{p})
		for step, dp := range c.G {
			copy(g.Of(p).Data, dp)
			s.Step(k, g, dst.Optimizer.Rate())
			for i, v := range p.Value.Data {
				if want := c.After[step][i]; math.Abs(float64(v-want)) > tolerance*max(1, math.Abs(float64(want))) {
					t.Errorf("%s: after step %d p[%d] = %v, want %v", c.Optimizer, step+1, i, v, want)
				}
			}
		}
	}
	for _, c := range ref.Schedules {
		var dst struct {
			Schedule nn.Schedule `yaml:"schedule"`
		}
		if err := spec.DecodeJSON([]byte(`{"schedule":`+string(c.Schedule)+`}`), &dst, optimizers.Schedules()); err != nil {
			t.Fatal(err)
		}
		for step, want := range c.Rates {
			if got := dst.Schedule.At(0.7, step, 1000); math.Abs(got-want) > tolerance {
				t.Errorf("%s: rate at step %d is %v, want %v", c.Schedule, step, got, want)
			}
		}
	}
}

// TestSchedulesDefault holds what the schedules make of the optimiser's rate
// and of the length of the training when they are given no own.
func TestSchedulesDefault(t *testing.T) {
	for name, want := range map[string][2]float64{ // at the start, at the end
		"constant":           {0.1, 0.1},
		"exponential_decay":  {0.1, 0.096},
		"cosine_decay":       {0.1, 0},
		"polynomial_decay":   {0.1, 0.0001},
		"inverse_time_decay": {0.1, 0.1 / 1.5},
	} {
		s, err := optimizers.Schedules().Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, step := range []int{0, 50} {
			if got := s.At(0.1, step, 50); math.Abs(got-want[i]) > 1e-12 {
				t.Errorf("%s: rate at step %d of 50 is %v, want %v", name, step, got, want[i])
			}
		}
	}
}
