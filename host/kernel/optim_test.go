package kernel

import (
	"math"
	"testing"
)

func TestOptimisers(t *testing.T) {
	eachEngine(t, func(t *testing.T, e *Engine) {
		r := source(13)
		for _, n := range append(lengths, 40_000) {
			p, g, m, v := randoms(r, n), randoms(r, n), randoms(r, n), randoms(r, n)
			for i := range v {
				v[i] = v[i] * v[i]
			}
			wp, wm, wv := zeros(n), zeros(n), zeros(n)
			s := AdamStep{Beta1: .9, Beta2: .999, Eps: 1e-7, Rate: .01, Decay: .001}
			b2 := float64(s.Beta2)
			for i := range p {
				gi := float64(g[i])
				wm[i] = .9*float64(m[i]) + .1*gi
				wv[i] = b2*float64(v[i]) + (1-b2)*gi*gi
				wp[i] = float64(p[i])*(1-.001) - .01*wm[i]/(math.Sqrt(wv[i])+1e-7)
			}
			e.Adam(p, g, m, v, s)
			near(t, "Adam m", m, wm, 1e-6)
			near(t, "Adam v", v, wv, 1e-6)
			near(t, "Adam p", p, wp, 5e-6)
			for _, nesterov := range []bool{false, true} {
				for i := range p {
					wv[i] = .9*float64(v[i]) - .1*float64(g[i])
					d := wv[i]
					if nesterov {
						d = .9*d - .1*float64(g[i])
					}
					wp[i] = float64(p[i]) + d
				}
				e.SGD(p, g, v, .1, .9, nesterov)
				near(t, "SGD v", v, wv, 1e-6)
				near(t, "SGD p", p, wp, 1e-6)
			}
			for i := range p {
				wp[i] = float64(p[i]) - .1*float64(g[i])
			}
			e.SGD(p, g, nil, .1, 0, false)
			near(t, "plain SGD", p, wp, 1e-6)
			for i := range p {
				v[i] = v[i] * v[i]
				gi := float64(g[i])
				wv[i] = .9*float64(v[i]) + .1*gi*gi
				wp[i] = float64(p[i]) - .01*gi/math.Sqrt(wv[i]+1e-3)
			}
			e.RMSprop(p, g, v, .01, .9, 1e-3)
			near(t, "RMSprop s", v, wv, 1e-6)
			near(t, "RMSprop p", p, wp, 2e-6)
		}
	})
}
