package evaluate

import (
	"cmp"
	"context"
	"math"
	"time"

	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Cost is what an evaluation asks, in rows.
type Cost struct {
	Judged         int64 // by the detector
	Asked          int64 // of the classifier, gradients not among them
	Gradients      int64 // of the classifier
	GuardAsked     int64 // of classifier and auto-encoder together, by attacks that know the detector
	GuardGradients int64
	Certified      int64    // clean rows, where the detector flags by votes
	Left           []string // attacks whose cost could not be counted
}

// add adds n times a cost per row.
func (c *Cost) add(one Cost, n int64) {
	c.Judged += one.Judged * n
	c.Asked += one.Asked * n
	c.Gradients += one.Gradients * n
	c.GuardAsked += one.GuardAsked * n
	c.GuardGradients += one.GuardGradients * n
}

// countTime bounds the trial of one attack.
const countTime = 500 * time.Millisecond

// CostOf counts what Run would ask on so many test rows of a shape. Each attack is tried
// on one row of a model that nothing deceives, so that what stops early is counted as if it
// did not.
func CostOf(ctx context.Context, s Section, attacks []NamedAttack, corruptions, rows int, shape tensor.Shape, classes int) Cost {
	few := func(limit, of int) int {
		if limit <= 0 {
			return of
		}
		return min(limit, of)
	}
	if s.Adaptive == 0 {
		s.Adaptive = 200
	}
	if s.CurveRows == 0 {
		s.CurveRows = 200
	}
	clean := rows
	if s.Limit > 0 && s.Clean >= 0 {
		clean = min(rows, max(s.Limit, s.Clean))
	}
	out := Cost{Judged: int64(clean)}
	if s.Certified >= 0 {
		out.Certified = int64(min(cmp.Or(s.Certified, defaultCertified), clean))
	}
	seen := map[string]bool{}
	for _, n := range attacks {
		_, adaptive := n.Attack.(attack.Adaptive)
		if attack.IsTransferred(n.Attack) && s.Transfer == "" {
			continue
		}
		one, ok := costOf(ctx, n.Attack, shape, classes)
		if !ok {
			out.Left = append(out.Left, n.Name)
			continue
		}
		attacked := few(s.Limit, clean)
		if adaptive {
			attacked = few(s.Adaptive, attacked)
		}
		if l, ok := n.Attack.(attack.Limited); ok {
			attacked = few(l.RowLimit(), attacked)
		}
		out.add(one, int64(attacked))
		norm, eps := n.Attack.Ball()
		kind := string(norm) + " " + n.Attack.Needs().String()
		if adaptive {
			kind = string(norm) + " adaptive " + n.Name
		}
		if s.CurveRows < 0 || math.IsInf(eps, 1) || !curved(n.Attack) || seen[kind] {
			continue
		}
		seen[kind] = true
		curve := few(s.Limit, min(s.CurveRows, clean))
		if adaptive {
			curve = min((curve+1)/2, s.Adaptive)
		}
		out.add(one, int64(curve*len(curveFactors())))
	}
	out.Judged += int64(few(s.Limit, clean)) * int64(corruptions)
	return out
}

// curveFactors are the multiples of eps of a security curve.
func curveFactors() []float64 { return []float64{.25, .5, 1, 1.5, 2} }

// costOf is the cost of an attack for one row.
func costOf(ctx context.Context, a attack.Attack, shape tensor.Shape, classes int) (Cost, bool) {
	ctx, cancel := context.WithTimeout(ctx, countTime)
	defer cancel()
	small := shape.Clone()
	if len(small) == 3 { // how often an attack asks is no matter of the size
		small[0], small[1] = min(small[0], 16), min(small[1], 16)
	}
	m := firm{shape: small, classes: max(classes, 2)}
	x := tensor.Batch(1, small)
	for i := range x.Data {
		x.Data[i] = .5
	}
	o := attack.Options{Box: attack.Box{Lo: []float32{0}, Hi: []float32{1}}, Threshold: math.Inf(1), Deviations: make([]float64, small.Size())}
	for i := range o.Deviations {
		o.Deviations[i] = 1
	}
	var judged int64
	if _, ok := a.(attack.Adaptive); ok {
		o.Threshold, o.Pool, o.PoolLabels = 1, tensor.New(1, m.classes), []int{0}
		o.Judge = func(_ context.Context, rows []int, _ *tensor.Tensor) ([]bool, error) {
			judged += int64(len(rows))
			return make([]bool, len(rows)), nil
		}
	}
	adv, err := attack.Run(ctx, m, x, []int{0}, a, o)
	if err != nil {
		return Cost{}, false
	}
	asked, gradients := max(adv.Queries[0]-adv.Gradients[0], 0), adv.Gradients[0]
	if o.Judge != nil {
		return Cost{Judged: judged + 1, Asked: 1, GuardAsked: asked, GuardGradients: gradients}, true
	}
	return Cost{Judged: 1, Asked: asked, Gradients: gradients}, true
}

// firm is a model that answers class 0 whatever it is shown.
type firm struct {
	shape   tensor.Shape
	classes int
}

func (m firm) Info(context.Context) (sdk.Info, error) {
	return sdk.Info{Name: "firm", InputShape: m.shape, NumClasses: m.classes, Output: sdk.Logits, Gradient: sdk.ExactGradient, Ready: true, BatchInvariant: true}, nil
}

func (m firm) Predict(_ context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	z := tensor.New(x.N(), m.classes)
	for i := range x.N() {
		z.Row(i)[0] = 5
	}
	return z, nil
}

func (m firm) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	out := map[string]*tensor.Tensor{}
	for _, name := range append(outputs, sdk.Output) {
		if name == detect.OutputScore {
			out[name] = tensor.New(x.N(), 1)
			for i := range out[name].Data {
				out[name].Data[i] = 2
			}
			continue
		}
		out[name], _ = m.Predict(ctx, x)
	}
	n := x.N()
	return out, func(context.Context, map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx := tensor.Batch(n, m.shape)
		for i := range dx.Data {
			dx.Data[i] = 1e-3
		}
		return dx, nil
	}, nil
}
