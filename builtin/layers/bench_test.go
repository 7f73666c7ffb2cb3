package layers_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// BenchmarkStep is a training step of the classifier of specs/fashion-cnn.yaml.
func BenchmarkStep(b *testing.B) {
	var t testing.T
	seq, err := nn.Build(decode(&t, `[
		{"conv2d": {"filters": 64, "kernel_size": 2, "padding": "same", "activation": "relu"}},
		{"max_pooling2d": {"pool_size": 2}}, {"dropout": {"rate": 0.3}}, "flatten",
		{"dense": {"units": 256, "activation": "relu"}}, {"dense": {"units": 10}}]`),
		tensor.Shape{28, 28, 1}, nn.FreshRand(1))
	if err != nil {
		b.Fatal(err)
	}
	const batch = 128
	k := engine(b, 1)
	w := nn.NewWorkspace(k, seq, batch, nn.Training)
	w.ParamsOnly = true
	w.Draw.Examples = make([]uint64, batch)
	g := nn.NewGrads(seq.Params())
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		b.Fatal(err)
	}
	opt := nn.NewOptimizerState(adam, seq.Params())
	x, dy, labels := tensor.New(batch, 28, 28, 1), tensor.New(batch, 10), make([]int, batch)
	for i := range x.Data {
		x.Data[i] = float32(i%17) / 17
	}
	var flops int64
	for _, i := range nn.Describe(seq) {
		flops += i.FLOPs
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Zero()
		nn.CrossEntropy(k, dy, seq.Forward(w, x), labels)
		seq.Backward(w, dy, g)
		opt.Step(k, g, 0.001)
	}
	b.ReportMetric(float64(flops)*3*batch*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
