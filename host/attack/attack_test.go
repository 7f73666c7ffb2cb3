package attack

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/sdktest"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestProject(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for _, n := range []Norm{Linf, L2, L1, L0} {
		for _, unit := range []float64{1, 255} {
			for trial := range 50 {
				x, y := make([]float32, 300), make([]float32, 300)
				for j := range x {
					x[j], y[j] = float32(unit*r.Float64()), float32(unit*(3*r.Float64()-1))
				}
				b := Budget{Norm: n, Eps: unit * r.Float64(), Box: Box{[]float32{0}, []float32{float32(unit)}}}
				if n == L0 {
					b.Eps = float64(trial)
				}
				b.Project(x, y)
				if d := n.Distance(x, y); d > b.Eps+1e-6 {
					t.Errorf("%s: distance %g, want ≤ %g", n, d, b.Eps)
				} else if n != L0 && d < b.Eps*.99 {
					t.Errorf("%s: distance %g, want about %g", n, d, b.Eps)
				}
				for _, v := range y {
					if v < 0 || v > float32(unit) {
						t.Errorf("%s: %g is outside the box", n, v)
					}
				}
			}
		}
	}
}

// The nearest point of the L1 ball of radius 1 to (2, 1.5, 0.1) is
// (0.75, 0.25, 0): soft-thresholding at 1.25.
func TestSimplexProjection(t *testing.T) {
	x, y := []float32{0, 0, 0}, []float32{2, -1.5, .1}
	Budget{Norm: L1, Eps: 1}.Project(x, y)
	for j, want := range []float32{.75, -.25, 0} {
		if math.Abs(float64(y[j]-want)) > 1e-6 {
			t.Errorf("projection = %v, want [0.75 -0.25 0]", y)
		}
	}
}

// Cotangents agree with central differences of the loss.
func TestObjectiveGradients(t *testing.T) {
	const h = 1e-3
	r := rand.New(rand.NewPCG(3, 1))
	for _, kind := range []sdk.OutputKind{sdk.Logits, sdk.Probabilities} {
		for _, targeted := range []bool{false, true} {
			g := Goal{Labels: []int{1, 4, 0}, Kind: kind, Classes: 6, Targeted: targeted}
			ratio, err := g.DLR()
			if err != nil {
				t.Fatal(err)
			}
			for k, o := range []Objective{g.CrossEntropy(), g.Margin(50), ratio} {
				name := []string{"cross-entropy", "margin", "dlr"}[k]
				z := tensor.New(3, 6) // well apart: the losses have kinks where two are equal
				for i := range 3 {
					for j, v := range r.Perm(6) {
						z.Row(i)[j] = float32(.1 + .15*float64(v))
					}
				}
				out := map[string]*tensor.Tensor{sdk.Output: z}
				cot := map[string]*tensor.Tensor{sdk.Output: tensor.New(3, 6)}
				o.Loss(make([]float64, 3), out, cot)
				for i := range z.Data {
					up, down := make([]float64, 3), make([]float64, 3)
					v := z.Data[i]
					z.Data[i] = v + h
					o.Loss(up, out, nil)
					z.Data[i] = v - h
					o.Loss(down, out, nil)
					z.Data[i] = v
					want := (up[i/6] - down[i/6]) / (2 * h)
					if got := float64(cot[sdk.Output].Data[i]); math.Abs(got-want) > 2e-2*(1+math.Abs(want)) {
						t.Errorf("%s, kind %d, targeted %v: gradient [%d] = %g, want %g", name, kind, targeted, i, got, want)
					}
				}
			}
		}
	}
}

// idle proposes its input.
type idle struct{}

func (idle) Ball() (Norm, float64) { return Linf, 1 }
func (idle) Needs() Need           { return NeedsPredictions }
func (idle) Perturb(_ context.Context, _ sdk.Forwarder, x *tensor.Tensor, _ Objective, _ Budget) (*tensor.Tensor, error) {
	return x, nil
}

// declares answers in another number of classes than it says.
type declares struct {
	sdk.Classifier
	classes int
}

func (d declares) Info(ctx context.Context) (sdk.Info, error) {
	info, err := d.Classifier.Info(ctx)
	info.NumClasses = d.classes
	return info, err
}

// TestAnswerOfAnotherShape: it is refused before its rows are read.
func TestAnswerOfAnotherShape(t *testing.T) {
	c := declares{&sdktest.Fake{Shape: tensor.Shape{2}, Classes: 3}, 4}
	_, err := Run(t.Context(), c, tensor.New(5, 2), nil, idle{}, Options{})
	if want := "classifier fake: it answered 5×3 for 5 rows and 4 classes"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error is %v, want %q", err, want)
	}
}

// An infinite range bounds nothing: it is as one that is not declared, the rows'.
func TestInfiniteRange(t *testing.T) {
	x := tensor.From([]float32{1, 2, 3, -4}, 2, 2)
	for _, hi := range []float32{5, float32(math.Inf(1))} {
		info := sdk.Info{InputShape: tensor.Shape{2}, Lo: []float32{-9}, Hi: []float32{hi}}
		want := Box{[]float32{-9}, []float32{5}}
		if hi > 5 {
			want = Box{[]float32{1, -4}, []float32{3, 2}}
		}
		one, err := BoxOf(Box{}, info, x)
		train, also := BoxOfTrain(info, dataset.InMemory(x))
		for _, b := range []Box{one, train} {
			if err != nil || also != nil || !slices.Equal(b.Lo, want.Lo) || !slices.Equal(b.Hi, want.Hi) {
				t.Errorf("up to %g: %v, %v %v, want %v", hi, b, err, also, want)
			}
		}
	}
}
