package bench_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/bench"
)

func TestMain(m *testing.M) {
	host.ServeIfPlugin(builtin.Components())
	m.Run()
}

func measure(t *testing.T, spec string, set ...string) *bench.Result {
	t.Helper()
	e, err := host.Load(spec, set, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Bench(context.Background(), host.BenchOptions{Budget: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNetworkAlone: what is counted is exact, what is measured is there.
func TestNetworkAlone(t *testing.T) {
	r := measure(t, "../../specs/bench-tabular.yaml")
	if r.Threads != 1 || r.Level == "" || !(r.FMAPeak > 0) || !(r.FMAMedian > 0 && r.FMAMedian <= r.FMAPeak) {
		t.Errorf("threads %d, level %q, peak %v", r.Threads, r.Level, r.FMAPeak)
	}
	if r.Allocs != 0 {
		t.Errorf("a training step allocates %v times in the engine, want 0", r.Allocs)
	}
	// 24-32-(8, 8)-32-24: Σ 2·in·out, three times except for the first layer's
	// gradient at the input; biases count one each.
	forward := 2*24*32 + 32 + 2*(2*32*8) + 2*8*32 + 32 + 2*32*24 + 24
	want := float64(3*forward-(2*24*32+32)) / 1e6
	if math.Abs(r.Train.MFLOP-want) > 1e-9 {
		t.Errorf("%v MFLOP an image, want %v", r.Train.MFLOP, want)
	}
	if want := 24*32 + 32 + 2*(32*8+8) + 8*32 + 32 + 32*24 + 24; r.Train.Params != want {
		t.Errorf("%d params, want %d", r.Train.Params, want)
	}
	if len(r.Layers) != 5 || len(r.Gemm) == 0 {
		t.Errorf("%d layers and %d products", len(r.Layers), len(r.Gemm))
	}
	if r.Boundary != nil || r.Parts.Plugin != 0 || r.Asked != nil {
		t.Errorf("figures of a classifier that there is not: %+v", r)
	}
	if !(r.Train.MS > 0) || !(r.Score["1"].MS > 0) || !(r.Score["64"].MS > 0) {
		t.Errorf("no times: %+v, %+v", r.Train, r.Score)
	}
}

// TestPlugin measures with a classifier on both sides of the boundary.
func TestPlugin(t *testing.T) {
	r := measure(t, "../../specs/digits-mlp.yaml", "detector.samples=3")
	if r.Boundary == nil || !(r.Boundary.Ratio > 0) || !(r.Parts.Plugin > 0) {
		t.Fatalf("boundary %+v, parts %+v", r.Boundary, r.Parts)
	}
	if r.Asked == nil || r.Asked.Scoring != 4 || r.Asked.ScoringReference != 6 {
		t.Errorf("rows asked %+v, want 4 an instance scored, 6 in the reference", r.Asked)
	}
	if o := r.Overlap; o == nil || r.Verdict == "" {
		t.Errorf("overlap %v, verdict %q", o, r.Verdict)
	} else {
		if o.Attack == nil || o.AttackRows == 0 {
			t.Fatalf("no step of an attack: %+v", o)
		}
		for _, s := range []bench.Saved{o.Train, o.Score, *o.Attack} {
			if !(s.Turns > 0 && s.Both > 0 && s.Classifier > 0 && s.Ratio > 0 && s.Hidden >= 0 && s.Hidden <= 1) || s.Host != max(0, s.Turns-s.Classifier) {
				t.Errorf("overlap %+v", s)
			}
		}
	}
	if r.Allocs != 0 {
		t.Errorf("a training step allocates %v times in the engine, want 0", r.Allocs)
	}
}

// TestHardenedFigures: the arithmetic of a hardened step is that of twice the rows, and
// of passes forward and back to the input in each step of the inner attack; and a row is asked
// about as often.
func TestHardenedFigures(t *testing.T) {
	// 64-128-64-(16, 16)-64-128-64, as in TestNetworkAlone.
	forward := 2*64*128 + 128 + 2*128*64 + 64 + 2*(2*64*16) + 2*16*64 + 64 + 2*64*128 + 128 + 2*128*64 + 64
	step := 3*forward - (2*64*128 + 128)
	for through, want := range map[string]int{"guard": 2*step + 3*2*forward, "classifier": 2 * step} {
		r := measure(t, "../../specs/digits-mlp.yaml", "train.harden={eps: 0.1, steps: 3, through: "+through+"}")
		if math.Abs(r.Train.MFLOP-float64(want)/1e6) > 1e-9 {
			t.Errorf("through %s: %v MFLOP an image, want %v", through, r.Train.MFLOP, float64(want)/1e6)
		}
		if a := r.Asked; a == nil || math.Abs(a.Training-(5+1./30)) > 1e-9 || a.TrainingReference != 6 {
			t.Errorf("through %s: rows asked %+v, want 5 and a thirtieth, 6 without keeping answers", through, a)
		}
	}
}

// TestHiddenLayers: what is measured has the heads on hidden layers, and a score that reads
// nothing else.
func TestHiddenLayers(t *testing.T) {
	r := measure(t, "../../specs/digits-mlp.yaml", "detector.hidden_layers=[{name: dense_0}]", "detector.score=hidden_kl", "detector.samples=2")
	if !(r.Score["1"].MS > 0) || r.Asked == nil || r.Asked.Scoring != 3 || r.Asked.TrainingReference != 2 {
		t.Errorf("score %+v, rows asked %+v", r.Score["1"], r.Asked)
	}
}

// TestHardenedStepAllocatesNothing: a hardened step, whose rows go to the classifier in
// parts, takes its memory once.
func TestHardenedStepAllocatesNothing(t *testing.T) {
	e, err := host.Load("../../specs/fashion-cnn.yaml", []string{"train.batch_size=32"}, builtin.Components(), host.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	r, err := e.Bench(context.Background(), host.BenchOptions{NoPlugin: true, StepsOnly: true, Budget: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r.Allocs != 0 {
		t.Errorf("it allocates %v times in the engine, want 0", r.Allocs)
	}
}

// BenchmarkSteps trains and scores the ready specs' networks for some seconds;
// with -cpuprofile it says where the time of a step goes.
func BenchmarkSteps(b *testing.B) {
	for _, spec := range []string{"bench-conv", "bench-dense", "bench-tabular", "mnist-cnn"} {
		b.Run(spec, func(b *testing.B) {
			e, err := host.Load("../../specs/"+spec+".yaml", nil, builtin.Components(), host.Options{Threads: 1})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				r, err := e.Bench(context.Background(), host.BenchOptions{StepsOnly: true, Budget: 3 * time.Second})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(r.Train.MS, "ms/step")
				b.ReportMetric(r.Train.Best, "best-ms/step")
				b.ReportMetric(r.Train.Share, "share")
				b.ReportMetric(r.Score["64"].MS, "ms/64")
				b.ReportMetric(r.Score["1"].MS, "ms/1")
			}
		})
	}
}
