package attack

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Unit is the option eps_unit, embedded in an attack.
type Unit struct {
	EpsUnit string `yaml:"eps_unit" enum:"|std" doc:"std: eps and the norm are in standard deviations of each feature (of data.train); else in the input's units"`
}

// InDeviations reports whether eps is in standard deviations.
func (u Unit) InDeviations() bool { return u.EpsUnit == "std" }

// Deviations are the standard deviations of the features over the rows of x.
func Deviations(x *tensor.Tensor) []float64 {
	out, _ := dataset.Deviations(dataset.InMemory(x)) // memory is always read
	return out
}

// inDeviations asks an attack that may have a Unit, which it embeds.
func inDeviations(a Attack) bool {
	u, ok := a.(interface{ InDeviations() bool })
	return ok && u.InDeviations()
}

// runScaled attacks in standard deviations: features divided by theirs, with a
// model and a box to match. Constant features keep their unit.
func runScaled(ctx context.Context, c sdk.Classifier, x *tensor.Tensor, labels []int, a Attack, o Options) (*Adversarial, error) {
	if o.Deviations == nil {
		return nil, errors.New("eps_unit: std needs the standard deviations of data.train")
	}
	d := x.Stride()
	if len(o.Deviations) != d {
		return nil, fmt.Errorf("%d standard deviations for %d features", len(o.Deviations), d)
	}
	unit := make([]float32, d)
	for j, s := range o.Deviations {
		if unit[j] = float32(s); !(unit[j] > 0) {
			unit[j] = 1
		}
	}
	info, err := c.Info(ctx)
	if err != nil {
		return nil, err
	}
	box, err := BoxOf(o.Box, info, x)
	if err != nil {
		return nil, err
	}
	o.Box = Box{make([]float32, d), make([]float32, d)}
	for j := range d {
		lo, hi := box.At(j)
		o.Box.Lo[j], o.Box.Hi[j] = lo/unit[j], hi/unit[j]
	}
	small := x.Clone()
	for i := range x.N() {
		for j := range unit {
			small.Row(i)[j] /= unit[j]
		}
	}
	unscaled := o
	if judge := o.Judge; judge != nil {
		o.Judge = func(ctx context.Context, rows []int, adv *tensor.Tensor) ([]bool, error) {
			return judge(ctx, rows, grow(adv, unit))
		}
	}
	constraints := o.Constraints
	if constraints != nil {
		if err := constraints.Validate(d); err != nil {
			return nil, err
		}
		o.Constraints = constraints.divided(unit)
	}
	o.scaled = true
	out, err := Run(ctx, scaled{oracle.AsForwarder(c), unit}, small, labels, a, o)
	if err != nil {
		return nil, err
	}
	wide, _ := box.hold(x) // as Run widens it
	large := grow(out.XAdv, unit)
	for i := range x.N() {
		for j, v := range out.XAdv.Row(i) {
			if v == small.Row(i)[j] { // what stayed has its bits
				large.Row(i)[j] = x.Row(i)[j]
			}
		}
		wide.Clip(large.Row(i))
	}
	if constraints != nil {
		legal := newLegal(constraints, Budget{Norm: Linf, Eps: math.Inf(1), Box: wide})
		for i := range x.N() {
			legal.snap(x.Row(i), large.Row(i))
		}
	}
	out.X, out.XAdv = x, large
	again := &run{model: &meter{Forwarder: oracle.AsForwarder(c)}, info: info, o: unscaled, out: out}
	again.budget.Norm = out.Ball
	return out, again.rejudge(ctx, labels == nil)
}

// batch is the number of rows attacked together.
func (o Options) batch(info sdk.Info) int {
	n := o.Batch
	if n <= 0 {
		n = 100
	}
	if info.MaxBatch > 0 {
		n = min(n, info.MaxBatch)
	}
	return n
}

// rejudge judges the rows of the result as they are, and what the model says of those before: what runScaled
// asked about was rounded by the change of units. The norms stay.
func (r *run) rejudge(ctx context.Context, ownLabels bool) error {
	norms, adv := slices.Clone(r.out.Norm), r.out.XAdv.Clone()
	size := r.o.batch(r.info)
	for rows := range slices.Chunk(All(adv.N()), size) {
		if err := r.before(ctx, rows[0], rows[0]+len(rows), ownLabels); err != nil {
			return err
		}
		if err := r.judge(ctx, rows, adv.Gather(rows), 0); err != nil {
			return err
		}
	}
	copy(r.out.Norm, norms)
	return nil
}

// grow undoes the division.
func grow(x *tensor.Tensor, unit []float32) *tensor.Tensor {
	y := x.Clone()
	for i := range y.N() {
		for j, u := range unit {
			y.Row(i)[j] *= u
		}
	}
	return y
}

// scaled is a model of inputs in standard deviations.
type scaled struct {
	sdk.Forwarder
	unit []float32
}

func (s scaled) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return s.Forwarder.Predict(ctx, grow(x, s.unit))
}

func (s scaled) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	out, pull, err := s.Forwarder.Forward(ctx, grow(x, s.unit), outputs...)
	if err != nil || pull == nil {
		return out, nil, err
	}
	return out, func(ctx context.Context, cot map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		dx, err := pull(ctx, cot)
		if err != nil {
			return nil, err
		}
		return grow(dx, s.unit), nil // the chain rule has the same factor
	}, nil
}
