package nn_test

import (
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Gain is a layer of one's own: it multiplies each feature by a trained factor.
type Gain struct {
	Start float64 `yaml:"start" doc:"of the factors"`
}

// Make implements nn.Maker: the options meet a shape.
func (g Gain) Make(in tensor.Shape, _ *rand.Rand) (nn.Layer, error) {
	if len(in) != 1 {
		return nil, fmt.Errorf("gain takes features, got an example of %v", in)
	}
	factor := tensor.New(in...)
	for i := range factor.Data {
		factor.Data[i] = float32(g.Start)
	}
	return &gain{shape: in.Clone(), factor: &nn.Param{Name: "factor", Value: factor}}, nil
}

type gain struct {
	shape  tensor.Shape
	factor *nn.Param
}

func (l *gain) Kind() string        { return "gain" }
func (l *gain) FLOPs() int64        { return int64(l.shape.Size()) }
func (l *gain) Out() tensor.Shape   { return l.shape }
func (l *gain) Params() []*nn.Param { return []*nn.Param{l.factor} }

// Plan claims buffer 0 for the input and buffer 1 for the result.
func (l *gain) Plan(p *nn.Plan) { p.Tensor(l, l.shape); p.Tensor(l, l.shape) }

func (l *gain) Forward(w *nn.Workspace, x *tensor.Tensor) *tensor.Tensor {
	w.Keep(l, 0, x)
	y := w.Tensor(l, 1, x.N())
	for i := range x.N() {
		w.K.Mul(y.Row(i), x.Row(i), l.factor.Value.Data)
	}
	return y
}

// Backward: dfactor = Σ_i x·dy, dx = factor·dy.
func (l *gain) Backward(w *nn.Workspace, dy *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	x := w.Kept(l, 0)
	for i := range dy.N() {
		for j, d := range dy.Row(i) {
			if g != nil {
				g.Of(l.factor).Data[j] += x.Row(i)[j] * d
			}
			dy.Row(i)[j] = l.factor.Value.Data[j] * d
		}
	}
	return dy
}

// newEngine is the arithmetic of these examples.
func newEngine() *kernel.Engine {
	k, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		log.Fatal(err)
	}
	return k
}

// network are two of these layers on two features.
func network() *nn.Sequence {
	s, err := nn.Build([]nn.Maker{Gain{Start: 2}, Gain{Start: -1}}, tensor.Shape{2}, nn.FreshRand(1))
	if err != nil {
		log.Fatal(err)
	}
	return s
}

// Layers are made in order, each for the shape that the one before it gives,
// and run in a workspace.
func ExampleBuild() {
	k := newEngine()
	defer k.Close()
	s := network()
	w := nn.NewWorkspace(k, s, 8, nn.Inference)
	y := s.Forward(w, tensor.From([]float32{1, 2, 3, 4}, 2, 2))
	fmt.Println(y.Shape, y.Data)
	for _, p := range s.Params() {
		fmt.Println(p.Name, p.Value.Shape)
	}
	// Output:
	// 2×2 [-2 -4 -6 -8]
	// 0.factor 2
	// 1.factor 2
}
