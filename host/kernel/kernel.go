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

// Options of New.
type Options struct {
	Threads int   // 0: GOMAXPROCS
	Level   Level // a level that the machine lacks is an error
}

// Engine runs kernels. It belongs to one goroutine at a time: concurrent use
// is several engines. Its workers park between calls, never spin; its scratch
// grows to what was asked and is then reused, so that steady use allocates
// nothing. Close ends the workers.
type Engine struct {
	threads int
	level   Level
}

// New makes an engine.
func New(o Options) (*Engine, error) { panic("kernel: New") }

// Close ends the workers. The engine must not be used afterwards.
func (e *Engine) Close() {}

// Threads is the number of threads that share the work.
func (e *Engine) Threads() int { return e.threads }

// Level is the instruction set in use, never Auto.
func (e *Engine) Level() Level { return e.level }

// Parallel calls f(lo, hi) over a partition of [0, n), each part a multiple
// of grain but the last, on the engine's threads.
func (e *Engine) Parallel(n, grain int, f func(lo, hi int)) { panic("kernel: Parallel") }

// Matrix is a view: element (i, j) is Data[i*RowStride+j*ColStride].
type Matrix struct {
	Data                 []float32
	Rows, Cols           int
	RowStride, ColStride int
}

// Dense views contiguous row-major data.
func Dense(data []float32, rows, cols int) Matrix {
	return Matrix{Data: data, Rows: rows, Cols: cols, RowStride: cols, ColStride: 1}
}

// T is the transposed view.
func (m Matrix) T() Matrix {
	return Matrix{Data: m.Data, Rows: m.Cols, Cols: m.Rows, RowStride: m.ColStride, ColStride: m.RowStride}
}

// Act is an element-wise activation, Keras 3's definitions.
type Act struct {
	Kind  ActKind
	Alpha float32 // slope of LeakyReLU, α of ELU
}

// ActKind names an activation.
type ActKind int

// The activations.
const (
	Linear ActKind = iota
	ReLU
	LeakyReLU
	ELU
	SELU
	GELU // exact: x·Φ(x)
	SiLU
	Softplus
	Tanh
	Sigmoid
)

// NeedsInput reports whether the gradient needs the pre-activation x rather
// than the result y alone.
func (a Act) NeedsInput() bool { return a.Kind == GELU || a.Kind == SiLU }

// Epilogue is what happens to a product's element before it is stored:
// c = act(c_old·Accumulate + Σ + bias[column]).
type Epilogue struct {
	Accumulate bool
	Bias       []float32 // one per column, or nil
	Act        Act
	Pre        []float32 // if not nil: receives the value before Act, same layout as c
}

// Gemm computes c = a·b, with c of a.Rows × b.Cols, row stride ldc. A zero
// inner dimension gives zeros (then the epilogue).
func (e *Engine) Gemm(c []float32, ldc int, a, b Matrix, ep Epilogue) { panic("kernel: Gemm") }

// Conv is the geometry of a 2-D cross-correlation: an H×W×C input, an
// OH×OW×F output, a kernel laid out (KH, KW, C, F). Output (oy, ox) reads
// input rows oy·SH−Top … and columns ox·SW−Left …; outside is zero.
type Conv struct {
	H, W, C   int
	OH, OW, F int
	KH, KW    int
	SH, SW    int
	Top, Left int
}

// ConvForward computes y (n, OH, OW, F) from x (n, H, W, C).
func (e *Engine) ConvForward(y, x, w []float32, n int, g Conv, ep Epilogue) { panic("kernel: Conv") }

// ConvInput computes dx (n, H, W, C) from dy (n, OH, OW, F): the gradient at
// the input. With the roles of input and output swapped it is the forward
// pass of a transposed convolution, which is why it takes an epilogue.
func (e *Engine) ConvInput(dx, dy, w []float32, n int, g Conv, ep Epilogue) { panic("kernel: Conv") }

// ConvKernel computes dw (KH, KW, C, F) summed over the n images.
func (e *Engine) ConvKernel(dw, x, dy []float32, n int, g Conv) { panic("kernel: Conv") }

// Depthwise is Conv with F = C·M: output channel c·M+m reads input channel c
// alone; the kernel is (KH, KW, C, M).
type Depthwise struct {
	Conv // F is ignored
	M    int
}

// DepthwiseForward, DepthwiseInput and DepthwiseKernel are as for Conv.
func (e *Engine) DepthwiseForward(y, x, w []float32, n int, g Depthwise, ep Epilogue) {
	panic("kernel: Depthwise")
}

// DepthwiseInput computes dx from dy.
func (e *Engine) DepthwiseInput(dx, dy, w []float32, n int, g Depthwise) { panic("kernel: Depthwise") }

// DepthwiseKernel computes dw from x and dy.
func (e *Engine) DepthwiseKernel(dw, x, dy []float32, n int, g Depthwise) { panic("kernel: Depthwise") }

// Pool is the geometry of a pooling: windows KH×KW at strides SH×SW; padding
// is outside the data and is neither a maximum nor counted in a mean.
type Pool struct {
	H, W, C   int
	OH, OW    int
	KH, KW    int
	SH, SW    int
	Top, Left int
}

// MaxPool computes y (n, OH, OW, C) and, if arg is not nil, for each output
// the offset of its maximum within its image (the first of equals).
func (e *Engine) MaxPool(y []float32, arg []int32, x []float32, n int, g Pool) { panic("kernel: Pool") }

// MaxPoolGrad scatters dy to dx by arg. dx is overwritten.
func (e *Engine) MaxPoolGrad(dx, dy []float32, arg []int32, n int, g Pool) { panic("kernel: Pool") }

// AvgPool and AvgPoolGrad are the mean over the part of a window inside.
func (e *Engine) AvgPool(y, x []float32, n int, g Pool) { panic("kernel: Pool") }

// AvgPoolGrad spreads dy evenly. dx is overwritten.
func (e *Engine) AvgPoolGrad(dx, dy []float32, n int, g Pool) { panic("kernel: Pool") }

// Activate computes y = a(x). y may be x.
func (e *Engine) Activate(y, x []float32, a Act) { panic("kernel: Activate") }

// ActivateGrad computes dx = dy·a'(x). x may be nil unless a.NeedsInput(); dx
// may be dy.
func (e *Engine) ActivateGrad(dx, dy, x, y []float32, a Act) { panic("kernel: Activate") }

// Softmax and LogSoftmax work along rows of the given width. y may be x.
func (e *Engine) Softmax(y, x []float32, width int) { panic("kernel: Softmax") }

// SoftmaxGrad computes dx = y·(dy − Σ dy·y) by rows. dx may be dy.
func (e *Engine) SoftmaxGrad(dx, dy, y []float32, width int) { panic("kernel: Softmax") }

// LogSoftmax computes x − log Σ exp x by rows. y may be x.
func (e *Engine) LogSoftmax(y, x []float32, width int) { panic("kernel: Softmax") }

// Exp, Log: y = f(x), within 2 ulp in the normal range. y may be x.
func (e *Engine) Exp(y, x []float32) { panic("kernel: Exp") }

// Log is the natural logarithm.
func (e *Engine) Log(y, x []float32) { panic("kernel: Log") }

// Add computes y += x.
func (e *Engine) Add(y, x []float32) { panic("kernel: Add") }

// Mul computes y = a·b element by element. y may be a or b.
func (e *Engine) Mul(y, a, b []float32) { panic("kernel: Mul") }

// Axpy computes y += s·x.
func (e *Engine) Axpy(y, x []float32, s float32) { panic("kernel: Axpy") }

// Scale computes y = s·x + o. y may be x.
func (e *Engine) Scale(y, x []float32, s, o float32) { panic("kernel: Scale") }

// ColSum computes dst[j] = Σ_i x[i, j], over rows in order. len(dst) is the width.
func (e *Engine) ColSum(dst, x []float32) { panic("kernel: ColSum") }

// ColMoments computes the mean and the biased variance of each column, each
// accumulated in float64.
func (e *Engine) ColMoments(mean, variance, x []float32) { panic("kernel: ColMoments") }

// ScaleColumns computes y[i, j] = x[i, j]·s[j] + o[j]. y may be x.
func (e *Engine) ScaleColumns(y, x, s, o []float32) { panic("kernel: ScaleColumns") }

// SumSquares is Σ x², accumulated in float64 in a fixed order.
func (e *Engine) SumSquares(x []float32) float64 { panic("kernel: SumSquares") }

// AdamStep are the constants of one Adam update. Keras 3: m and v are moving
// averages, p −= LR·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + Eps). Decay is AdamW's
// decoupled p −= LR₀·Decay·p, done before.
type AdamStep struct {
	Beta1, Beta2, Eps float32
	Rate              float32 // LR·√(1−β₂ᵗ)/(1−β₁ᵗ)
	Decay             float32 // LR₀·weight_decay; 0 for Adam
}

// Adam updates p, m and v in place from the gradient g.
func (e *Engine) Adam(p, g, m, v []float32, s AdamStep) { panic("kernel: Adam") }

// SGD updates p in place; with momentum, v too: v = μ·v − lr·g and p += v, or
// Nesterov's p += μ·v − lr·g. v may be nil if momentum is 0.
func (e *Engine) SGD(p, g, v []float32, lr, momentum float32, nesterov bool) { panic("kernel: SGD") }

// RMSprop updates p and the mean square s: s = ρ·s + (1−ρ)·g², p −= lr·g/√(s+eps).
func (e *Engine) RMSprop(p, g, s []float32, lr, rho, eps float32) { panic("kernel: RMSprop") }

// Key names a stream of random numbers: a counter-based generator
// (Philox 4×32-10, Salmon et al. 2011), so that number i of a stream depends
// on the key and i alone.
type Key struct{ Seed, Stream uint64 }

// Uniform fills dst with numbers first, first+1, … of the stream, in [0, 1).
func (e *Engine) Uniform(dst []float32, k Key, first uint64) { panic("kernel: Uniform") }

// Normal fills dst with numbers first, first+1, … of the stream, N(0, 1).
func (e *Engine) Normal(dst []float32, k Key, first uint64) { panic("kernel: Normal") }

// Reparametrize computes z = mu + exp(½·logvar)·eps.
func (e *Engine) Reparametrize(z, mu, logvar, eps []float32) { panic("kernel: Reparametrize") }

// ReparametrizeGrad computes dlogvar = dz·eps·½·exp(½·logvar). (dmu is dz.)
func (e *Engine) ReparametrizeGrad(dlogvar, dz, logvar, eps []float32) {
	panic("kernel: Reparametrize")
}
