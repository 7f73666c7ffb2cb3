package layers_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func engine(t testing.TB, threads int) *kernel.Engine {
	t.Helper()
	k, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// TestTrain learns exclusive or, and continues from a checkpoint to the bit.
func TestTrain(t *testing.T) {
	x := tensor.From([]float32{0, 0, 0, 1, 1, 0, 1, 1}, 4, 2)
	labels := []int{0, 1, 1, 0}
	for _, entry := range optimizers.Table().Entries() {
		t.Run(entry.Name, func(t *testing.T) {
			hidden := layers.NewDense(16)
			hidden.Activation.Name = "tanh"
			seq, err := nn.Build([]nn.Maker{hidden, layers.NewDense(2)}, tensor.Shape{2}, nn.FreshRand(1))
			if err != nil {
				t.Fatal(err)
			}
			k := engine(t, 1)
			w := nn.NewWorkspace(k, seq, 4, nn.Training)
			w.ParamsOnly = true
			g := nn.NewGrads(seq.Params())
			opt := nn.NewOptimizerState(entry.Default, seq.Params())
			rate := 0.02
			if entry.Name == "sgd" {
				rate = 0.5
			}
			var loss float64
			dy := tensor.New(4, 2)
			step := func() {
				g.Zero()
				y := seq.Forward(w, x)
				loss, _ = nn.CrossEntropy(k, dy, y, labels)
				seq.Backward(w, dy, g)
				opt.Step(k, g, rate)
			}
			for range 300 {
				step()
			}
			if loss > 0.05 {
				t.Errorf("loss %v after 300 steps, want less than 0.05", loss)
			}
			if n := testing.AllocsPerRun(5, step); n != 0 {
				t.Errorf("a step allocates %v times, want 0", n)
			}

			state := opt.State()
			saved := seq.Params()[0].Value.Clone()
			weights := map[*nn.Param]*tensor.Tensor{}
			for _, p := range seq.Params() {
				weights[p] = p.Value.Clone()
			}
			step()
			want := seq.Params()[0].Value.Clone()
			for _, p := range seq.Params() {
				copy(p.Value.Data, weights[p].Data)
			}
			opt = nn.NewOptimizerState(entry.Default, seq.Params())
			if err := opt.Restore(state); err != nil {
				t.Fatal(err)
			}
			step()
			for i, v := range seq.Params()[0].Value.Data {
				if v != want.Data[i] {
					t.Fatalf("kernel[%d] = %v after restoring, want %v (before %v)", i, v, want.Data[i], saved.Data[i])
				}
			}
		})
	}
}
