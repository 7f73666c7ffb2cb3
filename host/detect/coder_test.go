package detect

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// costly is an auto-encoder that is known to be much work, and counts what its coders
// are given.
type costly struct {
	*fakeVAE
	flops int64
	mu    *sync.Mutex
	sizes *[]int
}

func (c costly) cost(int) cost { return cost{flops: c.flops, numbers: 100, params: 10} }

func (c costly) NewCoder(e *kernel.Engine, batch, samples int) Coder {
	return weighed{c.fakeVAE.NewCoder(e, batch, samples), c}
}

type weighed struct {
	Coder
	c costly
}

func (k weighed) Forward(x, noise *tensor.Tensor) (rebuilt, mu, logvar *tensor.Tensor) {
	k.c.mu.Lock()
	*k.c.sizes = append(*k.c.sizes, x.N())
	k.c.mu.Unlock()
	return k.Coder.Forward(x, noise)
}

func (k weighed) Backward(dRebuilt, dMu, dLogVar *tensor.Tensor, g *nn.Grads) *tensor.Tensor {
	return k.Coder.Backward(dRebuilt, dMu, dLogVar, g)
}

// Whichever threads take which instances, the numbers are those of each instance alone;
// and threads get about as many of them.
func TestCodingInParts(t *testing.T) {
	shape := tensor.Shape{6}
	for _, flops := range []int64{1 << 40, 1 << 22, 1} { // much, some and little
		a := costly{newFakeVAE(shape, 3, false), flops, new(sync.Mutex), new([]int)}
		for _, threads := range []int{1, 2, 5} {
			for _, samples := range []int{1, 3, 100, 300} {
				e, err := kernel.New(kernel.Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				one, err := kernel.New(kernel.Options{Threads: 1})
				if err != nil {
					t.Fatal(err)
				}
				pass, alone := Sampling(a, samples).NewPass(e), Sampling(a.fakeVAE, samples).NewPass(one)
				r := rand.New(rand.NewPCG(5, 6))
				noise := tensor.New(samples, 3)
				for i := range noise.Data {
					noise.Data[i] = float32(r.NormFloat64())
				}
				for _, n := range []int{0, 1, 2, 7, 33, 40, 200} {
					x, d, dx, got := tensor.Batch(n, shape), tensor.Batch(n*samples, shape), tensor.Batch(n, shape), tensor.Batch(n*samples, shape)
					for i := range x.Data {
						x.Data[i] = r.Float32()
					}
					for i := range d.Data {
						d.Data[i] = r.Float32()
					}
					*a.sizes = nil
					pass.Forward(&Second{Rebuilt: got}, x, noise)
					if p := pass.(*coding); n > 0 && n >= threads && threads > 1 && flops == 1<<40 {
						if p.lanes == nil {
							t.Fatalf("%d threads, %d samples: no lanes", threads, samples)
						}
						if most := (n + threads - 1) / threads; slices.Max(*a.sizes) > most {
							t.Errorf("%d instances on %d threads: one takes %d at once, want %d at most", n, threads, slices.Max(*a.sizes), most)
						}
					}
					pass.Backward(dx, &Second{Rebuilt: d}, x, noise)
					for i := range n {
						want, wantD := tensor.Batch(samples, shape), tensor.Batch(1, shape)
						alone.Forward(&Second{Rebuilt: want}, x.Rows(i, i+1), noise)
						alone.Backward(wantD, &Second{Rebuilt: d.Rows(i*samples, (i+1)*samples).Clone()}, x.Rows(i, i+1), noise)
						if !slices.Equal(want.Data, got.Rows(i*samples, (i+1)*samples).Data) || !slices.Equal(wantD.Data, dx.Row(i)) {
							t.Fatalf("%d threads, %d samples, flops %d: instance %d of %d differs from itself alone", threads, samples, flops, i, n)
						}
					}
				}
				e.Close()
			}
		}
	}
}
