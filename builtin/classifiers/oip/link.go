package oip

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// link is a model that was found.
type link struct {
	transport transport
	caller    *caller
	plan      *plan
	columns   int // of an answer; 0: not known yet
	nearest   bool
}

// ask asks for the answers of rows, as many as go into one request.
func (l *link) ask(ctx context.Context, x *tensor.Tensor) (*answer, error) {
	q := &query{input: l.plan.input, dtype: l.plan.dtype, output: l.plan.output, columns: l.columns, data: x.Data}
	n := x.N()
	if q.dtype == typeU8 {
		var err error
		if q.data, err = whole(x, l.nearest); err != nil {
			return nil, err
		}
	}
	if l.plan.batch > n { // the model takes that many: the last row again and again
		q.data = slices.Concat(q.data, slices.Repeat(q.data[(n-1)*x.Stride():], l.plan.batch-n))
	}
	q.shape = append([]int{max(n, l.plan.batch)}, l.plan.row...)
	var a *answer
	err := l.caller.do(ctx, "infer", func(ctx context.Context) (f *fault) {
		a, f = l.transport.infer(ctx, q)
		return f
	})
	if err != nil {
		return nil, err
	}
	a.values = a.values[:n*a.columns]
	return a, nil
}

// try asks for two rows that are drawn from the legal range, and gives them.
func (l *link) try(ctx context.Context, s *settings) (*answer, *tensor.Tensor, error) {
	lo, hi := float32(0), float32(1)
	if len(s.Range) == 2 {
		lo, hi = s.Range[0], s.Range[1]
	} else if l.plan.dtype == typeU8 {
		hi = 255
	}
	x := tensor.Batch(min(2, l.plan.most), l.plan.wire)
	r := rand.New(rand.NewPCG(0x01b, 2))
	for i := range x.Data {
		x.Data[i] = lo + float32(r.Float32()*(hi-lo))
		if l.plan.dtype == typeU8 {
			x.Data[i] = float32(math.Floor(float64(x.Data[i])))
		}
	}
	a, err := l.ask(ctx, x)
	return a, x, err
}

// describe is what an answer to some rows tells of the model.
func (s *settings) describe(config sdk.Config, a *answer, rows int) (sdk.Info, error) {
	info := blank()
	info.NumClasses, info.Ready = a.columns, true
	if a.columns == 1 {
		info.NumClasses = 2
		if s.Kind == "auto" {
			return info, diagnose("/kind", "the model answers with one number a row: say logits or probabilities, of the second of two classes")
		}
	}
	for _, want := range []struct {
		pointer, who string
		n            int
	}{{"/classes", "the config", s.Classes}, {"/labels", "the list of names", len(s.Labels)}, {"", "the data", config.Classes}} {
		if want.n > 0 && want.n != info.NumClasses {
			return info, diagnose(want.pointer, "output %q of the model has %d classes, %s has %d", a.name, info.NumClasses, want.who, want.n)
		}
	}
	info.Classes = slices.Clone(s.Labels)
	if s.Kind == "probabilities" || s.Kind == "auto" && shares(a, rows) {
		info.Output = sdk.Probabilities
	}
	if len(s.Range) == 2 {
		info.Lo, info.Hi = []float32{s.Range[0]}, []float32{s.Range[1]}
	}
	return info, nil
}

// shares reports whether all rows are in [0, 1] and add up to 1.
func shares(a *answer, rows int) bool {
	const tolerance = 1e-3
	for i := range rows {
		sum := 0.0
		for _, v := range a.values[i*a.columns:][:a.columns] {
			if v < -tolerance || v > 1+tolerance {
				return false
			}
			sum += float64(v)
		}
		if math.Abs(sum-1) > tolerance {
			return false
		}
	}
	return true
}
