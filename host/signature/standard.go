package signature

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Standard gives every number of a row zero mean and unit deviation over
// data.train: (x − mean)/std with the population deviation. A constant one
// becomes 0. Columns of one-hot categories stay 0 and 1.
type Standard struct{}

// Bind implements Step.
func (Standard) Bind(tensor.Shape) (Bound, error) {
	return nil, fmt.Errorf("standard is fitted on data.train, which there is none of")
}

const (
	stateMean = "mean"
	stateStd  = "std"
)

// Fit implements Fitter.
func (Standard) Fit(in tensor.Shape, indicators []int, rows Rows) (State, error) {
	if free(in) {
		return nil, fmt.Errorf("standard wants rows of one size: put resize before it")
	}
	n, d := 0, in.Size()
	sum := make([]float64, d)
	for row := range rows {
		n++
		for j, v := range row {
			sum[j] += float64(v)
		}
	}
	if n == 0 {
		return nil, fmt.Errorf("standard: no rows to fit on")
	}
	for j := range sum {
		sum[j] /= float64(n)
	}
	square := make([]float64, d)
	for row := range rows {
		for j, v := range row {
			e := float64(v) - sum[j]
			square[j] += float64(e * e)
		}
	}
	mean, std := tensor.New(d), tensor.New(d)
	for j := range sum {
		mean.Data[j] = float32(sum[j])
		std.Data[j] = float32(math.Sqrt(square[j] / float64(n)))
		// Rounding leaves a trace of a deviation where all values are equal.
		if float64(std.Data[j]) <= 1e-7*math.Abs(sum[j]) {
			std.Data[j] = 1
		}
	}
	for _, j := range indicators {
		mean.Data[j], std.Data[j] = 0, 1
	}
	return State{stateMean: mean, stateStd: std}, nil
}

// BindFitted implements Fitter.
func (Standard) BindFitted(in tensor.Shape, s State) (Bound, error) {
	mean, std := s[stateMean], s[stateStd]
	if mean == nil || std == nil || len(mean.Data) != in.Size() || len(std.Data) != in.Size() {
		return nil, fmt.Errorf("standard was fitted on other rows than %v", in)
	}
	return standardizing{in, mean.Data, std.Data}, nil
}

type standardizing struct {
	out       tensor.Shape
	mean, std []float32
}

func (b standardizing) Out() tensor.Shape { return b.out }

func (b standardizing) Apply(dst, src []float32, _ tensor.Shape) error {
	for j, v := range src {
		dst[j] = (v - b.mean[j]) / b.std[j]
	}
	return nil
}

func (b standardizing) Undo(src, dst []float32) {
	for j, v := range dst {
		src[j] = float32(float64(float64(v)*float64(b.std[j])) + float64(b.mean[j]))
	}
}

// Graph implements Graphed.
func (b standardizing) Graph(g *graph.Builder, x graph.Value, _ tensor.Shape) graph.Value {
	return g.Div(g.Sub(x, g.Floats(b.mean, b.out...)), g.Floats(b.std, b.out...))
}
