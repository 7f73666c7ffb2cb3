package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// eachEngine runs f on every level of the machine with several threads.
func eachEngine(t *testing.T, f func(t *testing.T, e *Engine)) {
	for _, l := range Levels() {
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", l, threads), func(t *testing.T) {
				e := newEngine(t, l, threads)
				f(t, e)
			})
		}
	}
}

func newEngine(t testing.TB, l Level, threads int) *Engine {
	t.Helper()
	e, err := New(Options{Threads: threads, Level: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func source(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// randoms are n numbers in [-1, 1).
func randoms(r *rand.Rand, n int) []float32 {
	d := make([]float32, n)
	for i := range d {
		d[i] = r.Float32()*2 - 1
	}
	return d
}

// near fails unless |got − want| ≤ tol·max(1, |want|) everywhere.
func near(t *testing.T, what string, got []float32, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		g := float64(got[i])
		if !(math.Abs(g-w) <= tol*math.Max(1, math.Abs(w))) {
			t.Fatalf("%s[%d] = %v, want %v", what, i, g, w)
		}
	}
}

// sameBits fails unless a and b have equal bits; NaNs are all alike.
func sameBits(t *testing.T, what string, a, b []float32) {
	t.Helper()
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) && (a[i] == a[i] || b[i] == b[i]) {
			t.Fatalf("%s: [%d] is %v and %v", what, i, a[i], b[i])
		}
	}
}

// sumTol is the tolerance of a sum of n products of numbers in [-1, 1].
func sumTol(n int) float64 { return 1e-6 * (2 + math.Sqrt(float64(n))) }

func TestNew(t *testing.T) {
	if _, err := New(Options{Threads: -1}); err == nil {
		t.Error("New with -1 threads: no error")
	}
	if _, err := New(Options{Level: 99}); err == nil {
		t.Error("New with level 99: no error")
	}
	t.Setenv("VAEGUARD_KERNEL", "sse")
	if _, err := New(Options{}); err == nil {
		t.Error("VAEGUARD_KERNEL=sse: no error")
	}
	t.Setenv("VAEGUARD_KERNEL", "generic")
	e, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if e.Level() != Generic {
		t.Errorf("level %s, want generic", e.Level())
	}
}

func TestParallelCoversOnce(t *testing.T) {
	for _, threads := range []int{1, 2, 8} {
		e := newEngine(t, Generic, threads)
		for _, n := range []int{0, 1, 7, 100, 1001} {
			for _, grain := range []int{1, 3, 64} {
				seen := make([]int32, n)
				e.Parallel(n, grain, func(lo, hi int) {
					if lo%grain != 0 || hi%grain != 0 && hi != n {
						t.Errorf("part [%d, %d) of %d is off the grain %d", lo, hi, n, grain)
					}
					for i := lo; i < hi; i++ {
						seen[i]++
					}
				})
				for i, s := range seen {
					if s != 1 {
						t.Fatalf("n %d grain %d: %d seen %d times", n, grain, i, s)
					}
				}
			}
		}
	}
}

func TestWrongLengthsPanic(t *testing.T) {
	e := newEngine(t, Generic, 1)
	x := make([]float32, 6)
	for name, f := range map[string]func(){
		"gemm inner": func() { e.Gemm(x, 2, Dense(x, 2, 3), Dense(x, 2, 3), Epilogue{}) },
		"gemm c":     func() { e.Gemm(x[:3], 2, Dense(x, 2, 3), Dense(x, 3, 2), Epilogue{}) },
		"gemm a":     func() { e.Gemm(x, 2, Dense(x[:5], 2, 3), Dense(x, 3, 2), Epilogue{}) },
		"bias":       func() { e.Gemm(x, 2, Dense(x, 2, 3), Dense(x, 3, 2), Epilogue{Bias: x[:1]}) },
		"conv":       func() { e.ConvForward(x, x, x, 1, Conv{H: 9, W: 9, C: 1, SH: 1, SW: 1}, Epilogue{}) },
		"exp":        func() { e.Exp(x, x[:2]) },
		"softmax":    func() { e.Softmax(x, x, 4) },
		"colsum":     func() { e.ColSum(x[:4], x) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}
