package nn_test

import (
	"fmt"
	"log"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// A layer that does not fit is named.
func ExampleBuild_error() {
	_, err := nn.Build([]nn.Maker{Gain{Start: 1}}, tensor.Shape{28, 28, 1}, nn.FreshRand(1))
	fmt.Println(err)
	// Output: layer 0: gain takes features, got an example of 28×28×1
}

// One step back: gradients at the params are added up in Grads, the one at the
// input is returned.
func ExampleSequence_Backward() {
	k := newEngine()
	defer k.Close()
	s := network()
	w, g := nn.NewWorkspace(k, s, 1, nn.Training), nn.NewGrads(s.Params())
	s.Forward(w, tensor.From([]float32{1, 3}, 1, 2))
	g.Zero()
	dx := s.Backward(w, tensor.From([]float32{1, 1}, 1, 2), g)
	for _, p := range s.Params() {
		fmt.Println(p.Name, g.Of(p).Data)
	}
	fmt.Println("input", dx.Data)
	// Output:
	// 0.factor [-1 -3]
	// 1.factor [2 6]
	// input [-2 -2]
}

// descent is plain gradient descent, an Optimizer without state.
type descent struct{ rate float64 }

func (d descent) Rate() float64 { return d.rate }
func (descent) Slots() []string { return nil }
func (descent) Update(k *kernel.Engine, p, g []float32, _ [][]float32, lr float64, _ int) {
	k.SGD(p, g, nil, float32(lr), 0, false)
}

// A whole training: find the factor 3 from a row and three times the row.
func ExampleOptimizerState() {
	k := newEngine()
	defer k.Close()
	s, err := nn.Build([]nn.Maker{Gain{Start: 1}}, tensor.Shape{2}, nn.FreshRand(1))
	if err != nil {
		log.Fatal(err)
	}
	w, g := nn.NewWorkspace(k, s, 1, nn.Training), nn.NewGrads(s.Params())
	rule := descent{rate: .25}
	state := nn.NewOptimizerState(rule, s.Params())
	x, want := tensor.From([]float32{1, -1}, 1, 2), tensor.From([]float32{3, -3}, 1, 2)
	for range 50 {
		y := s.Forward(w, x)
		dy := tensor.New(1, 2)
		for i := range dy.Data {
			dy.Data[i] = y.Data[i] - want.Data[i] // of ½(y − want)²
		}
		g.Zero()
		s.Backward(w, dy, g)
		state.Step(k, g, rule.Rate())
	}
	fmt.Printf("%.2f after %d steps\n", s.Params()[0].Value.Data, state.Steps())
	// Output: [3.00 3.00] after 50 steps
}

// The loss of classifiers, with its gradient at the logits.
func ExampleCrossEntropy() {
	k := newEngine()
	defer k.Close()
	logits := tensor.From([]float32{0, 0, 1, -1}, 2, 2)
	d := tensor.New(2, 2)
	loss, correct := nn.CrossEntropy(k, d, logits, []int{1, 0})
	fmt.Printf("loss %.3f, %d right, gradient %.2f\n", loss, correct, d.Data)
	// Output: loss 0.410, 1 right, gradient [0.25 -0.25 -0.06 0.06]
}

// Gradients that are too long are shortened together.
func ExampleGrads_ClipGlobalNorm() {
	k := newEngine()
	defer k.Close()
	p := &nn.Param{Name: "kernel", Value: tensor.New(2)}
	g := nn.NewGrads([]*nn.Param{p})
	g.Zero()
	copy(g.Of(p).Data, []float32{3, 4})
	before := g.ClipGlobalNorm(k, 1)
	fmt.Printf("%.1f, then %.1f\n", before, g.Of(p).Data)
	// Output: 5.0, then [0.6 0.8]
}

// Activations are named as in Keras.
func ExampleNewActivation() {
	k := newEngine()
	defer k.Close()
	for _, name := range []string{"relu", "leaky_relu", "softmax"} {
		a, err := nn.NewActivation(name)
		if err != nil {
			log.Fatal(err)
		}
		x := tensor.From([]float32{-1, 0, 1}, 1, 3)
		a.Apply(k, x, x)
		fmt.Printf("%s %.2f\n", name, x.Data)
	}
	_, err := nn.NewActivation("relo")
	fmt.Println(err)
	// Output:
	// relu [0.00 0.00 1.00]
	// leaky_relu [-0.20 0.00 1.00]
	// softmax [0.09 0.24 0.67]
	// unknown activation "relo"; known: linear, relu, leaky_relu, elu, selu, gelu, silu, softplus, tanh, sigmoid, softmax
}

// Params are loaded by name, all of them or none.
func ExampleLoad() {
	s := network()
	values := map[string]*tensor.Tensor{
		"0.factor": tensor.From([]float32{5, 6}, 2), "1.factor": tensor.From([]float32{7, 8}, 2),
	}
	if err := nn.Load(s.Params(), values); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Params()[1].Value.Data)
	delete(values, "1.factor")
	fmt.Println(nn.Load(s.Params(), values))
	// Output:
	// [7 8]
	// weights lack "1.factor" (2)
}

// What a network is made of and costs.
func ExampleDescribe() {
	for _, l := range nn.Describe(network()) {
		fmt.Println(l.Name, l.Out, l.Params, "params,", l.FLOPs, "FLOP")
	}
	// Output:
	// gain_0 2 2 params, 2 FLOP
	// gain_1 2 2 params, 2 FLOP
}
