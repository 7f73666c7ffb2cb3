package kernel

import "math"

func rows(n, width int) int {
	if n == 0 {
		return 0
	}
	if width < 1 || n%width != 0 {
		panic("kernel: length is no multiple of the width")
	}
	return n / width
}

// Softmax works along rows of the given width. y may be x.
func (e *Engine) Softmax(y, x []float32, width int) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x, e.job.width = runSoftmax, y, x, width
	e.do(rows(len(x), width), 1+mapGrain/max(1, width))
}

func runSoftmax(e *Engine, j *job, _, lo, hi int) {
	w := j.width
	e.ops.softmax(j.y[lo*w:hi*w], j.x[lo*w:hi*w], w)
}

// LogSoftmax computes x − log Σ exp x by rows. y may be x.
func (e *Engine) LogSoftmax(y, x []float32, width int) {
	same(len(y), len(x))
	e.job.run, e.job.y, e.job.x, e.job.width = runLogSoftmax, y, x, width
	e.do(rows(len(x), width), 1+mapGrain/max(1, width))
}

func runLogSoftmax(e *Engine, j *job, _, lo, hi int) {
	w := j.width
	e.ops.logSoftmax(j.y[lo*w:hi*w], j.x[lo*w:hi*w], w)
}

// SoftmaxGrad computes dx = y·(dy − Σ dy·y) by rows. dx may be dy.
func (e *Engine) SoftmaxGrad(dx, dy, y []float32, width int) {
	same(len(dx), len(dy), len(y))
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.width = runSoftmaxGrad, dx, dy, y, width
	e.do(rows(len(y), width), 1+mapGrain/max(1, width))
}

func runSoftmaxGrad(e *Engine, j *job, _, lo, hi int) {
	w := j.width
	e.ops.softmaxGrad(j.y[lo*w:hi*w], j.x[lo*w:hi*w], j.a[lo*w:hi*w], w)
}

func softmaxGradGo(dx, dy, y []float32, width int) {
	for i := 0; i < len(y); i += width {
		dx, dy, y := dx[i:i+width], dy[i:i+width], y[i:i+width]
		var s float32
		for q, v := range y {
			s += float32(dy[q] * v)
		}
		for q, v := range y {
			dx[q] = v * (dy[q] - s)
		}
	}
}

func softmaxGo(y, x []float32, width int) {
	for i := 0; i < len(x); i += width {
		x, y := x[i:i+width], y[i:i+width]
		top := maximum(x)
		var s float64
		for q, v := range x {
			t := math.Exp(float64(v) - float64(top))
			y[q] = float32(t)
			s += t
		}
		r := float32(1 / s)
		for q := range y {
			y[q] *= r
		}
	}
}

func logSoftmaxGo(y, x []float32, width int) {
	for i := 0; i < len(x); i += width {
		x, y := x[i:i+width], y[i:i+width]
		top := maximum(x)
		var s float64
		for _, v := range x {
			s += math.Exp(float64(v) - float64(top))
		}
		l := float32(math.Log(s))
		for q, v := range x {
			y[q] = v - top - l
		}
	}
}

func maximum(x []float32) float32 {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	return top
}
