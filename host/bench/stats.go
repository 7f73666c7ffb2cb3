package bench

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// median of values, 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// repeats is how often f, which took d, is repeated to fill long.
func repeats(d, long time.Duration) int {
	return int(max(1, min(1_000_000, long/max(d, 1))))
}

// clock is the time of one of n calls of f.
func clock(n int, f func()) time.Duration {
	start := time.Now()
	for range n {
		f()
	}
	return time.Since(start) / time.Duration(n)
}

// random is numbers in [0, 1).
func random(seed uint64, shape ...int) *tensor.Tensor {
	t := tensor.New(shape...)
	r := rand.New(rand.NewPCG(seed, 0x62656e6368))
	for i := range t.Data {
		t.Data[i] = r.Float32()
	}
	return t
}
