package detect

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The pullback of every output of every method agrees with central
// differences through classifier, auto-encoder and score.
func TestGuardGradients(t *testing.T) {
	const h, tolerance = 2e-3, 2e-2
	ctx := context.Background()
	for name, o := range variants() {
		if o.Fusion != NoFusion {
			// Few reference values, so that no difference straddles a kink.
			coarse := []float64{-9, -8, -7, -6, -5, -4, -3, -2, 0.011, 9.3}
			o.State.Reference = [][]float64{coarse, coarse}
		}
		g := build(t, o).Guard(GuardOptions{})
		for _, output := range g.OutputNames() {
			x := inputs(30, 2)
			outs, pull, err := g.Forward(ctx, x, output)
			if err != nil {
				t.Fatalf("%s, %s: %v", name, output, err)
			}
			cot := tensor.New(outs[output].Shape...)
			for i := range cot.Data {
				cot.Data[i] = float32(math.Cos(float64(3 * i)))
			}
			dx, err := pull(ctx, map[string]*tensor.Tensor{output: cot})
			if err != nil {
				t.Fatalf("%s, %s: %v", name, output, err)
			}
			total := func() float64 {
				outs, _, err := g.Forward(ctx, x, output)
				if err != nil {
					t.Fatal(err)
				}
				sum := 0.0
				for i, v := range outs[output].Data {
					sum += float64(v) * float64(cot.Data[i])
				}
				return sum
			}
			wrong, norm := 0.0, 0.0
			for i, v := range x.Data {
				x.Data[i] = v + h
				up := total()
				x.Data[i] = v - h
				down := total()
				x.Data[i] = v
				want := (up - down) / (2 * h)
				wrong += (want - float64(dx.Data[i])) * (want - float64(dx.Data[i]))
				norm += want * want
			}
			if math.Sqrt(wrong) > tolerance*(0.05+math.Sqrt(norm)) {
				t.Errorf("%s, %s: gradient off by %.3g of %.3g", name, output, math.Sqrt(wrong), math.Sqrt(norm))
			}
		}
	}
}

// The guard says what the detector says.
func TestGuardAgreesWithDetector(t *testing.T) {
	ctx := context.Background()
	for name, o := range variants() {
		d := calibrated(t, o)
		g := d.Guard(GuardOptions{})
		x := inputs(31, 20)
		r, err := d.Detect(ctx, x, Include{})
		if err != nil {
			t.Fatal(err)
		}
		outs, _, err := g.Forward(ctx, x, g.OutputNames()...)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range r.Score {
			if outs[OutputScore].Data[i] != float32(s) {
				t.Errorf("%s, row %d: guard's score %g, detector's %g", name, i, outs[OutputScore].Data[i], s)
			}
			if oracle.Argmax(outs[sdk.Output].Row(i)) != r.Predicted[i] || oracle.Argmax(outs[OutputReconstructed].Row(i)) != r.Reconstructed[i] {
				t.Errorf("%s, row %d: other classes", name, i)
			}
		}
	}
}

func TestGuardNoise(t *testing.T) {
	ctx := context.Background()
	d := calibrated(t, options())
	x := inputs(32, 3)
	score := func(g *Guarded) []float32 {
		outs, _, err := g.Forward(ctx, x, OutputScore)
		if err != nil {
			t.Fatal(err)
		}
		return outs[OutputScore].Data
	}
	stored := score(d.Guard(GuardOptions{}))
	other := score(d.Guard(GuardOptions{Noise: DrawNoise(77, 8, testLatent)}))
	if slices.Equal(stored, other) {
		t.Error("other noise, same scores")
	}
	// More fresh samples than are stored, new ones each time, reproducibly.
	a, b := d.Guard(GuardOptions{Fresh: true, Samples: 10, Seed: 1}), d.Guard(GuardOptions{Fresh: true, Samples: 10, Seed: 1})
	first, second := score(a), score(a)
	if slices.Equal(first, second) {
		t.Error("fresh noise is the same twice")
	}
	if !slices.Equal(first, score(b)) || !slices.Equal(second, score(b)) {
		t.Error("same seed, other fresh noise")
	}
	outs, pull, err := a.Forward(ctx, x, OutputSampled)
	if err != nil || !outs[OutputSampled].Shape.Equal(tensor.Shape{3, 10, testClasses}) {
		t.Fatalf("sampled: %v, %v", outs[OutputSampled].Shape, err)
	}
	if _, err := pull(ctx, map[string]*tensor.Tensor{OutputSampled: tensor.New(3, 10, testClasses)}); err != nil {
		t.Error(err)
	}
}

func TestGuardRefuses(t *testing.T) {
	ctx := context.Background()
	g := build(t, options()).Guard(GuardOptions{})
	if _, _, err := g.Forward(ctx, inputs(1, 1), "logits"); err == nil || !strings.Contains(err.Error(), `unknown output "logits"; known: ["output" "reconstructed"`) {
		t.Error(err)
	}
	_, pull, err := g.Forward(ctx, inputs(1, 2), OutputScore)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pull(ctx, map[string]*tensor.Tensor{OutputScore: tensor.New(3, 1)}); err == nil || !strings.Contains(err.Error(), "want 2 numbers") {
		t.Error(err)
	}
	if _, err := pull(ctx, map[string]*tensor.Tensor{"x": tensor.New(1)}); err == nil || !strings.Contains(err.Error(), "unknown output") {
		t.Error(err)
	}
}

// plain hides all but Predict, pulling all but Predict and Gradient.
type (
	plain   struct{ sdk.Classifier }
	pulling struct{ sdk.Differentiable }
)

// A classifier with Gradient alone gives the same gradients as a Forwarder;
// one without any gives none.
func TestGuardOfLesserClassifiers(t *testing.T) {
	ctx := context.Background()
	o := options()
	whole := o.Classifier.(sdk.Differentiable)
	x := inputs(40, 3)
	cot := map[string]*tensor.Tensor{OutputScore: tensor.From([]float32{1, 2, 3}, 3, 1)}
	var want []float32
	for _, c := range []sdk.Classifier{whole, pulling{whole}} {
		o.Classifier = c
		_, pull, err := build(t, o).Guard(GuardOptions{}).Forward(ctx, x, OutputScore)
		if err != nil {
			t.Fatal(err)
		}
		dx, err := pull(ctx, cot)
		if err != nil {
			t.Fatal(err)
		}
		if want != nil && !slices.Equal(dx.Data, want) {
			t.Error("Gradient and Forward differ")
		}
		want = dx.Data
	}
	o.Classifier = plain{whole}
	outs, pull, err := build(t, o).Guard(GuardOptions{}).Forward(ctx, x, OutputScore)
	if err != nil || pull != nil || outs[OutputScore].N() != 3 {
		t.Errorf("no gradient: pullback %v, %v", pull != nil, err)
	}
}
