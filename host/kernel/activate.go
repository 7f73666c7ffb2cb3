package kernel

// Act is an element-wise activation, Keras 3's definitions.
type Act struct {
	Kind  ActKind
	Alpha float32 // slope of LeakyReLU, α of ELU; at least 0
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

// SELU's constants (Klambauer et al. 2017, arXiv:1706.02515).
const (
	seluAlpha = 1.6732632423543772848170429916717
	seluScale = 1.0507009873554804934193349852946
)

// NeedsInput reports whether the gradient needs the pre-activation x rather
// than the result y alone.
func (a Act) NeedsInput() bool { return a.Kind == GELU || a.Kind == SiLU }

// Activate computes y = a(x). y may be x.
func (e *Engine) Activate(y, x []float32, a Act) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x, e.job.act = runActivate, y, x, a
	e.each(len(y))
}

func runActivate(e *Engine, j *job, _, lo, hi int) { e.ops.activate(j.y[lo:hi], j.x[lo:hi], j.act) }

// ActivateGrad computes dx = dy·a'(x). x may be nil unless a.NeedsInput(); y
// may be nil if a.NeedsInput(); dx may be dy.
func (e *Engine) ActivateGrad(dx, dy, x, y []float32, a Act) {
	same(len(dx), len(dy))
	if a.NeedsInput() {
		same(len(dx), len(x))
		y = x
	} else {
		same(len(dx), len(y))
	}
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.act = runActivateGrad, dx, dy, y, a
	e.each(len(dx))
}

func runActivateGrad(e *Engine, j *job, _, lo, hi int) {
	e.ops.activateGrad(j.y[lo:hi], j.x[lo:hi], j.a[lo:hi], j.act)
}
