package detect

import (
	"context"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Step begins a step of a detection and gives the context of what is done in it, and its
// end, which has the step's error or nil. Steps are, for each part of the rows: encode and
// decode, or opinion for a method without an auto-encoder; then P and Q, the classifier's
// answers on inputs and on their reconstructions, or "P and Q" where it is asked about both at
// once.
type Step func(ctx context.Context, name string) (inner context.Context, end func(error))

type stepKey struct{}

// WithSteps is a context in which Detect and DetectGiven tell of their steps, for traces.
func WithSteps(ctx context.Context, s Step) context.Context {
	return context.WithValue(ctx, stepKey{}, s)
}

func begin(ctx context.Context, name string) (context.Context, func(error)) {
	if s, ok := ctx.Value(stepKey{}).(Step); ok {
		return s(ctx, name)
	}
	return ctx, func(error) {}
}

// stages is a Coder whose Forward is Decode of Sample of Encode, to the bit.
type stages interface {
	Encode(x *tensor.Tensor) (mu, logvar *tensor.Tensor)
	Sample(noise *tensor.Tensor) (z *tensor.Tensor)
	Decode(z *tensor.Tensor) (rebuilt *tensor.Tensor)
}
