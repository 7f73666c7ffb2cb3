package kernel

import "math"

// AdamStep are the constants of one Adam update. Keras 3: m and v are moving
// averages, p −= LR·√(1−β₂ᵗ)/(1−β₁ᵗ) · m/(√v + Eps). Decay is AdamW's
// decoupled p −= LR₀·Decay·p, done before.
type AdamStep struct {
	Beta1, Beta2, Eps float32
	Rate              float32 // LR·√(1−β₂ᵗ)/(1−β₁ᵗ)
	Decay             float32 // LR₀·weight_decay; 0 for Adam
}

// Adam updates p, m and v in place from the gradient g.
func (e *Engine) Adam(p, g, m, v []float32, s AdamStep) {
	same(len(p), len(g), len(m), len(v))
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.b, e.job.adam = runAdam, p, g, m, v, s
	e.each(len(p))
}

func runAdam(e *Engine, j *job, _, lo, hi int) {
	e.ops.adam(j.y[lo:hi], j.x[lo:hi], j.a[lo:hi], j.b[lo:hi], &j.adam)
}

func adamGo(p, g, m, v []float32, s *AdamStep) {
	c1, c2 := 1-s.Beta1, 1-s.Beta2
	g, m, v = g[:len(p)], m[:len(p)], v[:len(p)]
	for i, w := range p {
		mi := float32(c1*(g[i]-m[i])) + m[i]
		vi := float32(c2*(float32(g[i]*g[i])-v[i])) + v[i]
		m[i], v[i] = mi, vi
		w -= float32(s.Decay * w)
		p[i] = w - float32(s.Rate*mi)/(float32(math.Sqrt(float64(vi)))+s.Eps)
	}
}

// SGD updates p in place; with momentum, v too: v = μ·v − lr·g and p += v, or
// Nesterov's p += μ·v − lr·g. v may be nil if momentum is 0.
func (e *Engine) SGD(p, g, v []float32, lr, momentum float32, nesterov bool) {
	if momentum == 0 {
		e.Axpy(p, g, -lr)
		return
	}
	same(len(p), len(g), len(v))
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.s, e.job.t = runSGD, p, g, v, lr, momentum
	e.job.flag = nesterov
	e.each(len(p))
}

func runSGD(e *Engine, j *job, _, lo, hi int) {
	e.ops.momentum(j.y[lo:hi], j.x[lo:hi], j.a[lo:hi], j.s, j.t, j.flag)
}

func momentumGo(p, g, v []float32, lr, mu float32, nesterov bool) {
	g, v = g[:len(p)], v[:len(p)]
	for i := range p {
		d := float32(lr * g[i])
		vi := float32(mu*v[i]) - d
		v[i] = vi
		if nesterov {
			vi = float32(mu*vi) - d
		}
		p[i] += vi
	}
}

// RMSprop updates p and the mean square s: s = ρ·s + (1−ρ)·g², p −= lr·g/√(s+eps).
func (e *Engine) RMSprop(p, g, s []float32, lr, rho, eps float32) {
	same(len(p), len(g), len(s))
	e.job.run, e.job.y, e.job.x, e.job.a, e.job.s, e.job.t, e.job.u = runRMSprop, p, g, s, lr, rho, eps
	e.each(len(p))
}

func runRMSprop(e *Engine, j *job, _, lo, hi int) {
	e.ops.rmsprop(j.y[lo:hi], j.x[lo:hi], j.a[lo:hi], j.s, j.t, j.u)
}

func rmspropGo(p, g, s []float32, lr, rho, eps float32) {
	g, s = g[:len(p)], s[:len(p)]
	for i, d := range g {
		q := float32(rho*s[i]) + float32((1-rho)*float32(d*d))
		s[i] = q
		p[i] -= float32(lr*d) / float32(math.Sqrt(float64(q+eps)))
	}
}
