package builtin_test

import (
	"context"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// On real rows that a guard was not trained on, parted into calibration and test
// rows at random 500 times, each class is flagged as often as promised: in
// expectation (n + 1 − k)/(n + 1) of its rows, which one threshold for all misses
// for some class.
func TestCoverageByClassOnRealRows(t *testing.T) {
	ctx := context.Background()
	e, err := host.Load("digits-mlp", []string{"classifier.train.epochs=10", "train.epochs=8"}, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	d, err := e.TrainTo(ctx, host.TrainOptions{Out: filepath.Join(t.TempDir(), "guard")})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var scores []float64
	var predicted []int
	for _, role := range []dataset.Role{dataset.RoleCalibration, dataset.RoleTest} {
		rows, err := e.Rows(role)
		if err != nil {
			t.Fatal(err)
		}
		r, err := d.Detector.Detect(ctx, rows.X, detect.Include{Scores: true})
		if err != nil {
			t.Fatal(err)
		}
		scores, predicted = append(scores, r.Scores[0]...), append(predicted, r.Predicted...)
	}
	const alpha, splits, classes = 0.1, 500, 10
	const deviations = 4 // of ten classes, both sides: chance exceeds them once in 1,500 seeds
	r := rand.New(rand.NewPCG(9, 9))
	var own, pooled, expected, draws, variance [classes]float64
	for range splits {
		order := r.Perm(len(scores))
		half := len(order) / 2
		cal := make([]int, half)
		copy(cal, order)
		slices.SortFunc(cal, func(a, b int) int {
			if scores[a] < scores[b] {
				return -1
			}
			return 1
		})
		s, p := make([]float64, half), make([]int, half)
		for i, row := range cal {
			s[i], p[i] = scores[row], predicted[row]
		}
		rate := alpha
		th, err := detect.NewClassThresholds(detect.Rule{FPR: &rate, By: detect.ByPredictedClass, MinRows: 15}, s, p, classes)
		if err != nil {
			t.Fatal(err)
		}
		var n, flagged, flaggedPooled [classes]float64
		for _, row := range order[half:] {
			c := predicted[row]
			n[c]++
			if th.Align(scores[row], c) > th.Value {
				flagged[c]++
			}
			if scores[row] > th.Value {
				flaggedPooled[c]++
			}
		}
		for c, one := range th.ByClass {
			if one.Own && n[c] > 0 {
				draws[c]++
				own[c] += flagged[c] / n[c]
				pooled[c] += flaggedPooled[c] / n[c]
				w := float64(one.N+1-one.Rank) / float64(one.N+1)
				expected[c] += w
				variance[c] += w * (1 - w) * (1/n[c] + 1/float64(one.N+2)) // beta-binomial: of the rows, and of the threshold
			}
		}
	}
	worst := 0.0
	for c := range classes {
		if draws[c] < splits/2 {
			t.Fatalf("class %d has a threshold of its own in %g of %d splits", c, draws[c], splits)
		}
		rate, want, one := own[c]/draws[c], expected[c]/draws[c], pooled[c]/draws[c]
		t.Logf("class %d: %.3f flagged by its own threshold, expected %.3f; by that of all %.3f", c, rate, want, one)
		if e := deviations * math.Sqrt(variance[c]) / draws[c]; math.Abs(rate-want) > e || rate > alpha+e {
			t.Errorf("class %d: %.3f of its rows flagged, expected %.3f, promised %.2f", c, rate, want, alpha)
		}
		worst = max(worst, math.Abs(one-alpha))
	}
	if worst < 0.05 {
		t.Errorf("one threshold for all is within %.3f of the promise for every class: the rows show nothing", worst)
	}
}

// The guard of thresholds by class is what attacks aim at: a row's aligned score
// is that of the guarded classifier.
func TestGuardByClass(t *testing.T) {
	ctx := context.Background()
	e, err := host.Load("breast-cancer-mlp", []string{"classifier.train.epochs=8", "train.epochs=4", "threshold.by=predicted_class", "threshold.min_rows=20"}, builtin.Components(), host.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	out := filepath.Join(t.TempDir(), "guard")
	d, err := e.TrainTo(ctx, host.TrainOptions{Out: out})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	again, err := host.Open(out, builtin.Components())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	rows, err := e.Rows(dataset.RoleTest)
	if err != nil {
		t.Fatal(err)
	}
	r, err := again.Detector.Detect(ctx, rows.X, detect.Include{})
	if err != nil {
		t.Fatal(err)
	}
	var outs map[string]*tensor.Tensor
	if outs, _, err = d.Guard(detect.GuardOptions{}).Forward(ctx, rows.X, detect.OutputScore); err != nil {
		t.Fatal(err)
	}
	for i, s := range r.Score {
		if got := outs[detect.OutputScore].Data[i]; got != float32(s) {
			t.Fatalf("row %d: the guard's score is %g, the opened detector's %g", i, got, s)
		}
	}
	if th := again.Threshold(); len(th.ByClass) != 2 || !th.ByClass[0].Own || !th.ByClass[1].Own {
		t.Errorf("%+v", th)
	}
}
