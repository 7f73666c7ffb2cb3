package oracle

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/remote"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func engine(t *testing.T) *kernel.Engine {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func normal(seed uint64, shape ...int) *tensor.Tensor {
	r := rand.New(rand.NewPCG(seed, 1))
	x := tensor.New(shape...)
	for i := range x.Data {
		x.Data[i] = float32(r.NormFloat64())
	}
	return x
}

// product is the naive a·b, each transposed where asked.
func product(a, b *tensor.Tensor, ta, tb bool) []float64 {
	at := func(t *tensor.Tensor, i, j int, swap bool) float64 {
		if swap {
			i, j = j, i
		}
		return float64(t.Row(i)[j])
	}
	sizes := func(t *tensor.Tensor, swap bool) (int, int) {
		if swap {
			return t.Stride(), t.N()
		}
		return t.N(), t.Stride()
	}
	m, k := sizes(a, ta)
	_, n := sizes(b, tb)
	out := make([]float64, m*n)
	for i := range m {
		for j := range n {
			for l := range k {
				out[i*n+j] += at(a, i, l, ta) * at(b, l, j, tb)
			}
		}
	}
	return out
}

func near(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if math.Abs(float64(got[i])-w) > tolerance {
			t.Errorf("%s[%d] = %v, want %v", what, i, got[i], w)
		}
	}
}

// TestHead: the three products of a head against naive ones, on a hidden layer
// that is an image.
func TestHead(t *testing.T) {
	const rounding = 1e-5
	e := engine(t)
	h := Head{Name: "h", Kernel: normal(1, 12, 5)}
	hidden, dy := normal(2, 4, 2, 2, 3), normal(3, 4, 5)
	flat := hidden.Reshape(4, 12)

	y := tensor.New(4, 5)
	h.Forward(e, y, hidden)
	near(t, "logits", y.Data, product(flat, h.Kernel, false, false), rounding)

	dh := tensor.New(hidden.Shape...)
	h.Backward(e, dh, dy)
	near(t, "dhidden", dh.Data, product(dy, h.Kernel, false, true), rounding)

	dk := make([]float32, 12*5)
	h.KernelGradient(e, dk, hidden, dy)
	near(t, "dkernel", dk, product(flat, dy, true, false), rounding)
}

// TestHeadLogP: log-softmax with a clip, and its way back against central
// differences of a naive head.
func TestHeadLogP(t *testing.T) {
	e := engine(t)
	h := Head{Kernel: normal(1, 6, 4)}
	hidden, d := normal(2, 3, 2, 3), normal(3, 3, 4)
	for _, clip := range []float64{0, .05} {
		r := Reading{Kind: sdk.Probabilities, Temperature: 3, Clip: clip} // a head is of logits all the same, and not sharpened
		logp := func(hidden *tensor.Tensor) []float64 {
			out := product(hidden.Reshape(3, 6), h.Kernel, false, false)
			for i := range 3 {
				row := out[4*i : 4*i+4]
				LogSoftmax(row)
				for c, l := range row {
					if clip > 0 {
						row[c] = max(l, math.Log(clip))
					}
				}
			}
			return out
		}
		near(t, "logp", h.LogP(e, hidden, r).Data, logp(hidden), 1e-5)
		got := h.PullLogP(e, hidden, d, r)
		if !got.Shape.Equal(hidden.Shape) {
			t.Fatalf("gradient of shape %v, want %v", got.Shape, hidden.Shape)
		}
		value := func(hidden *tensor.Tensor) float64 {
			sum := 0.0
			for i, l := range logp(hidden) {
				sum += float64(d.Data[i]) * l
			}
			return sum
		}
		const step, tolerance = 1e-3, 2e-3 // float32 inputs
		for i, v := range hidden.Data {
			x := hidden.Clone()
			x.Data[i] = v + step
			up := value(x)
			x.Data[i] = v - step
			if want := (up - value(x)) / (2 * step); math.Abs(float64(got.Data[i])-want) > tolerance {
				t.Errorf("clip %v: gradient %d is %v, want %v", clip, i, got.Data[i], want)
			}
		}
	}
}

// TestDrawHead: Glorot's range, filled; a seed and a name have their own bits.
func TestDrawHead(t *testing.T) {
	k := DrawHead(1, "conv", 50, 4)
	limit := float32(math.Sqrt(6. / 54))
	lo, hi := slices.Min(k.Data), slices.Max(k.Data)
	if lo < -limit || hi > limit || lo > -.9*limit || hi < .9*limit {
		t.Errorf("200 numbers in [%v, %v], want ±%v nearly filled", lo, hi, limit)
	}
	if !k.Shape.Equal(tensor.Shape{50, 4}) {
		t.Errorf("shape %v, want 50×4", k.Shape)
	}
	if !slices.Equal(k.Data, DrawHead(1, "conv", 50, 4).Data) {
		t.Error("the same seed and name gave other numbers")
	}
	if slices.Equal(k.Data, DrawHead(2, "conv", 50, 4).Data) || slices.Equal(k.Data, DrawHead(1, "dense", 50, 4).Data) {
		t.Error("another seed or name gave the same numbers")
	}
}

var _ outputter = (*remote.Client)(nil)
