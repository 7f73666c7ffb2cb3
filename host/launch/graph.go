package launch

import (
	"context"
	"errors"

	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/preprocess"
	"github.com/vaeguard/vaeguard/sdk"
)

// Graphed is a classifier that can be exported, once it is configured.
type Graphed interface {
	sdk.Classifier
	// Graph writes Predict, and the named hidden layers, as nodes of an ONNX graph:
	// x, (n, example…), float32, in the order of the dimensions that Info says, gives
	// (n, classes) and (n, layer…), float32. What has no form in ONNX is an error.
	Graph(b *graph.Builder, x graph.Value, hidden ...string) (output graph.Value, layers []graph.Value, err error)
}

// ErrNotGraphed is of a classifier that is not Graphed.
var ErrNotGraphed = errors.New("the classifier has no form in ONNX")

// Graph writes a configured classifier of this process as nodes of an ONNX graph,
// for rows as the host has them: NHWC, before the preprocessing of s, which may be
// nil.
func Graph(ctx context.Context, c sdk.Classifier, s *preprocess.Section, b *graph.Builder, x graph.Value, hidden ...string) (graph.Value, []graph.Value, error) {
	g, ok := c.(Graphed)
	if !ok {
		return x, nil, ErrNotGraphed
	}
	info, err := c.Info(ctx)
	if err != nil {
		return x, nil, err
	}
	f, _, err := faceOf(s, info)
	if err != nil {
		return x, nil, err
	}
	x = f.pre.Graph(b, x)
	if f.Layout == sdk.NCHW && len(f.InputShape) == 3 {
		x = b.Planes(x)
	}
	return g.Graph(b, x, hidden...)
}
