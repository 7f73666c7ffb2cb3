package methodtest

import (
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// second is the opinion of a pass on x.
func second(f detect.Form, p detect.Pass, x, noise *tensor.Tensor) *detect.Second {
	out := empty(f, x, noise)
	p.Forward(out, x, noise)
	return out
}

// empty is room for an opinion on x.
func empty(f detect.Form, x, noise *tensor.Tensor) *detect.Second {
	out := &detect.Second{}
	versions := f.Rebuilt
	if noise != nil {
		versions = noise.N()
	}
	if versions > 0 {
		out.Rebuilt = tensor.Batch(x.N()*versions, x.Example())
	}
	if f.Logits {
		out.Logits = tensor.New(x.N(), classes)
	}
	if f.Code > 0 {
		out.Code = tensor.New(x.N(), f.Code)
	}
	return out
}

// numbers are all numbers of an opinion on n rows, row by row.
func numbers(s *detect.Second, n int) [][]float32 {
	out := make([][]float32, n)
	for _, t := range []*tensor.Tensor{s.Rebuilt, s.Logits, s.Code} {
		if t == nil {
			continue
		}
		per := len(t.Data) / n
		for i := range out {
			out[i] = append(out[i], t.Data[i*per:(i+1)*per]...)
		}
	}
	return out
}

// noise is what a Noisy opinion keeps, nil for others.
func noise(o detect.Opinion) *tensor.Tensor {
	if n, ok := o.(detect.Noisy); ok {
		return n.DrawNoise(5)
	}
	return nil
}

// engine is closed with the test.
func engine(t *testing.T, threads int) *kernel.Engine {
	t.Helper()
	e, err := kernel.New(kernel.Options{Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}
