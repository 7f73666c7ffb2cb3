// Package kernel is the arithmetic under every layer: matrix products,
// convolutions, element-wise functions, reductions, optimiser updates and
// random numbers on raw []float32. Everything is row-major; images are NHWC.
//
// Each output element is one chain of fused multiply-adds in a fixed order,
// and threads share out outputs only: results have the same bits for any
// number of threads, any batch, and both x86 levels. The generic level has its
// own bits.
//
// Slices must not overlap unless a method says so. Wrong lengths panic.
package kernel

import (
	"fmt"
	"os"
	"runtime"
)

// Level is an instruction set.
type Level int

// The levels. Auto takes VAEGUARD_KERNEL (avx512, avx2, generic) or, without
// it, the best that the machine has.
const (
	Auto Level = iota
	Generic
	AVX2
	AVX512
)

// String is the level's name as VAEGUARD_KERNEL spells it.
func (l Level) String() string {
	switch l {
	case Auto:
		return "auto"
	case Generic:
		return "generic"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	}
	return "unknown"
}

// Options of New.
type Options struct {
	Threads   int       // 0: GOMAXPROCS
	Level     Level     // a level that the machine lacks is an error
	Precision Precision // of products and convolutions; "": Float32
}

// Engine runs kernels. It belongs to one goroutine at a time: concurrent use
// is several engines. Its workers park between calls, never spin; its scratch
// grows to what was asked and is then reused, so that steady use allocates
// nothing. Close ends the workers.
type Engine struct {
	threads int
	level   Level
	ops     *ops
	half    half
	few     bool // convolutions with few channels have their own kernels

	workers  workers
	job      job
	gemm     gemmJob
	conv     convJob
	steps    []int                         // distances of the walk under way
	shared   []float32                     // packed B of the call under way
	flipped  []float32                     // cᵀ of the call under way
	columns  [][pairLD * pairPanel]float32 // one per thread: what is packed of bfloat16
	operands [3][]float32                  // of the call under way, rounded to bfloat16
	scratch  [][]float32                   // one per thread
	sums     [][momentColumns]float64
	fetches  []fetch // one per thread
}

// New makes an engine. The error names an unknown or missing level.
func New(o Options) (*Engine, error) {
	if o.Threads < 0 {
		return nil, fmt.Errorf("kernel: %d threads, want 0 or more", o.Threads)
	}
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Level == Auto {
		l, err := levelByName(os.Getenv("VAEGUARD_KERNEL"))
		if err != nil {
			return nil, err
		}
		o.Level = l
	}
	t := opsOf(o.Level)
	if t == nil {
		return nil, fmt.Errorf("kernel: level %s is not available on this machine (best: %s)", o.Level, bestLevel())
	}
	if o.Precision != "" && o.Precision != Float32 && o.Precision != BF16 {
		return nil, fmt.Errorf("kernel: precision %q, want float32 or bf16", o.Precision)
	}
	e := &Engine{threads: o.Threads, level: o.Level, ops: t, half: newHalf(o.Precision, o.Level), few: o.Level != Generic, scratch: make([][]float32, o.Threads),
		sums: make([][momentColumns]float64, o.Threads), fetches: make([]fetch, o.Threads)}
	if e.half.pairs {
		e.columns = make([][pairLD * pairPanel]float32, o.Threads)
	}
	e.workers.start(e)
	return e, nil
}

// Levels are the levels that the machine has, slowest first.
func Levels() []Level {
	var ls []Level
	for _, l := range []Level{Generic, AVX2, AVX512} {
		if opsOf(l) != nil {
			ls = append(ls, l)
		}
	}
	return ls
}

func bestLevel() Level {
	ls := Levels()
	return ls[len(ls)-1]
}

func levelByName(s string) (Level, error) {
	if s == "" || s == "auto" {
		return bestLevel(), nil
	}
	for _, l := range []Level{Generic, AVX2, AVX512} {
		if s == l.String() {
			return l, nil
		}
	}
	return 0, fmt.Errorf("kernel: VAEGUARD_KERNEL=%q, want avx512, avx2, generic or nothing", s)
}

// Close ends the workers. The engine must not be used afterwards.
func (e *Engine) Close() { e.workers.stop() }

// Threads is the number of threads that share the work.
func (e *Engine) Threads() int { return e.threads }

// Precision is that of products and convolutions.
func (e *Engine) Precision() Precision {
	if e.half.on {
		return BF16
	}
	return Float32
}

// Native reports whether the machine has instructions for the precision at the
// engine's level. Without them products of BF16 have the same bits and take longer
// than those of Float32.
func (e *Engine) Native() bool { return !e.half.on || e.half.pairs }

// Level is the instruction set in use, never Auto.
func (e *Engine) Level() Level { return e.level }
