package network

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func conv(filters, kernel int, activation string) nn.Maker {
	c := layers.NewConv2D(filters, kernel)
	c.Padding, c.Activation = "same", nn.Activation{Name: activation}
	return c
}

var pool = layers.MaxPooling2D{Pooling: layers.Pooling{PoolSize: nn.Pair{2, 2}, Padding: "valid"}}

// The first layers in blocks, a thread each, give a batch the bits that its rows have
// one by one, which go through the layers in turn; so do gradients, of the output and
// of hidden layers.
func TestFront(t *testing.T) {
	for _, c := range []struct {
		name   string
		in     tensor.Shape
		list   list
		to     int // layers of the front
		scaled bool
	}{
		{"specs/fashion-cnn.yaml", tensor.Shape{28, 28, 1}, list{conv(64, 2, "relu"), pool, layers.Dropout{Rate: .3}, layers.Flatten{}, layers.NewDense(16)}, 4, false},
		{"scaled, a second convolution", tensor.Shape{20, 12, 1}, list{conv(24, 3, "elu"), pool, conv(16, 3, "relu"), pool, layers.Flatten{}, layers.NewDense(8)}, 2, true},
		{"average pooling", tensor.Shape{18, 18, 2}, list{conv(20, 2, "tanh"), layers.AveragePooling2D(pool), layers.Flatten{}, layers.NewDense(8)}, 4, false},
		{"no front: a dense layer first", tensor.Shape{8, 8, 1}, list{layers.Flatten{}, layers.NewDense(64), layers.NewDense(64)}, 0, false},
		{"no front: many channels", tensor.Shape{8, 8, 32}, list{conv(32, 3, "relu"), pool, layers.Flatten{}, layers.NewDense(8)}, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, err := build(c.list, c.in, 4, 1)
			if err != nil {
				t.Fatal(err)
			}
			defer n.pool.Close()
			if n.front.to != c.to {
				t.Errorf("the front has %d layers, want %d", n.front.to, c.to)
			}
			const rows = 37
			r := rand.New(rand.NewPCG(1, 2))
			x := numbersOf(r, append(tensor.Shape{rows}, c.in...)...)
			if c.scaled {
				n.standardize(x)
			}
			if c.to > 0 {
				n.front.rows = 3 // not to depend on how many rows fit
			}
			cl := &Classifier{net: n, arch: c.list, shape: c.in}
			outputs := []string{sdk.Output}
			for _, h := range n.hidden {
				outputs = append(outputs, sdk.HiddenPrefix+h.Name)
			}
			for _, asked := range [][]string{outputs[:1], outputs} {
				dy := map[string]*tensor.Tensor{}
				for _, name := range asked {
					i, err := n.layer(name)
					if err != nil {
						t.Fatal(err)
					}
					dy[name] = numbersOf(r, append(tensor.Shape{rows}, n.seq.Layers()[i].Out()...)...)
				}
				whole, dx := pass(t, cl, x, dy)
				for i := range rows {
					part := map[string]*tensor.Tensor{}
					for name, d := range dy {
						part[name] = d.Rows(i, i+1)
					}
					one, d := pass(t, cl, x.Rows(i, i+1), part)
					for name := range dy {
						sameBits(t, fmt.Sprintf("%s of row %d", name, i), whole[name].Rows(i, i+1), one[name])
					}
					sameBits(t, fmt.Sprintf("gradient of row %d", i), dx.Rows(i, i+1), d)
				}
				logits, err := cl.Predict(t.Context(), x)
				if err != nil {
					t.Fatal(err)
				}
				sameBits(t, "Predict", logits, whole[sdk.Output])
			}
		})
	}
}

// A pullback whose tape another call has taken repeats the pass.
func TestFrontWithoutTape(t *testing.T) {
	in := tensor.Shape{20, 12, 1}
	n, err := build(list{conv(24, 3, "relu"), pool, layers.Flatten{}, layers.NewDense(8)}, in, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer n.pool.Close()
	n.front.rows = 2
	cl, r := &Classifier{net: n, arch: list{}, shape: in}, rand.New(rand.NewPCG(3, 4))
	x, dy := numbersOf(r, 9, 20, 12, 1), numbersOf(r, 9, 4)
	_, want := pass(t, cl, x, map[string]*tensor.Tensor{sdk.Output: dy})
	_, pull, err := cl.Forward(t.Context(), x)
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.pool.Find(n.pool.Next() - 1)
	if err != nil {
		t.Fatal(err)
	}
	s.Drop()
	n.pool.Give(s)
	got, err := pull(t.Context(), map[string]*tensor.Tensor{sdk.Output: dy})
	if err != nil {
		t.Fatal(err)
	}
	sameBits(t, "gradient", got, want)
}

func pass(t *testing.T, c *Classifier, x *tensor.Tensor, dy map[string]*tensor.Tensor) (map[string]*tensor.Tensor, *tensor.Tensor) {
	t.Helper()
	var names []string
	for name := range dy {
		names = append(names, name)
	}
	out, pull, err := c.Forward(context.Background(), x, names...)
	if err != nil {
		t.Fatal(err)
	}
	dx, err := pull(context.Background(), dy)
	if err != nil {
		t.Fatal(err)
	}
	return out, dx
}

func numbersOf(r *rand.Rand, shape ...int) *tensor.Tensor {
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	return x
}

func sameBits(t *testing.T, what string, got, want *tensor.Tensor) {
	t.Helper()
	if len(got.Data) != len(want.Data) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got.Data), len(want.Data))
	}
	for i, v := range got.Data {
		if math.Float32bits(v) != math.Float32bits(want.Data[i]) {
			t.Fatalf("%s: number %d is %v, want %v", what, i, v, want.Data[i])
		}
	}
}
