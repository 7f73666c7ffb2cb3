package onnx

import "math"

// How long and how exactly pairwise probabilities are coupled, as in libsvm
// and ONNX Runtime.
const (
	couplingSweeps = 100
	couplingStop   = 0.005 // over the number of classes
	couplingFloor  = 1e-7  // of a pair's probability
)

// coupling finds the classes' probabilities p from those of pairs: it
// minimises pᵀQp over Σp = 1 by one class after another (Wu, Lin and Weng 2004,
// second approach, as libsvm does). It remembers each step for the way back.
type coupling struct {
	room   *room
	k      int
	r, q   []float64 // (k, k): of i against j; Q
	p, qp  []float64
	starts [][]float64 // p before each sweep
	steps  []coupled
}

// coupled is what a step found before it changed it.
type coupled struct {
	t             int
	delta, pqp    float64
	p, qp         []float64 // after it
	before, after float64   // qp[t] before, pqp after
}

func newCoupling(r *room, k int) *coupling {
	r.claim(1, bytesValue)
	return &coupling{room: r, k: k, r: fresh[float64](r, k*k), q: fresh[float64](r, k*k), p: fresh[float64](r, k), qp: fresh[float64](r, k)}
}

// solve finds p. keep remembers the steps.
func (c *coupling) solve(keep bool) {
	k := c.k
	c.starts, c.steps = c.starts[:0], c.steps[:0]
	for t := range k {
		c.p[t], c.q[t*k+t] = 1/float64(k), 0
		for j := range k {
			if j != t {
				c.q[t*k+t] += c.r[j*k+t] * c.r[j*k+t]
				c.q[t*k+j] = -c.r[j*k+t] * c.r[t*k+j]
			}
		}
	}
	for range couplingSweeps {
		pqp, most := 0.0, 0.0
		for t := range k {
			c.qp[t] = 0
			for j := range k {
				c.qp[t] += c.q[t*k+j] * c.p[j]
			}
			pqp += c.p[t] * c.qp[t]
		}
		for t := range k {
			most = max(most, math.Abs(c.qp[t]-pqp))
		}
		if most < couplingStop/float64(k) {
			return
		}
		if keep {
			c.starts = append(grown(c.room, c.starts, 1), copied(c.room, c.p))
		}
		for t := range k {
			pqp = c.step(t, pqp, keep)
		}
	}
}

// step moves p[t].
func (c *coupling) step(t int, pqp float64, keep bool) float64 {
	k := c.k
	delta, before, at := (pqp-c.qp[t])/c.q[t*k+t], c.qp[t], pqp
	c.p[t] += delta
	pqp = (pqp + delta*(delta*c.q[t*k+t]+2*c.qp[t])) / (1 + delta) / (1 + delta)
	for j := range k {
		c.qp[j] = (c.qp[j] + delta*c.q[t*k+j]) / (1 + delta)
		c.p[j] /= 1 + delta
	}
	if keep {
		c.steps = append(grown(c.room, c.steps, 1), coupled{t, delta, at, copied(c.room, c.p), copied(c.room, c.qp), before, pqp})
	}
	return pqp
}

// back pulls dp back to dr, both overwritten; dr is that of r as a whole.
func (c *coupling) back(dp, dr []float64) {
	k := c.k
	dq, dqp := fresh[float64](c.room, k*k), fresh[float64](c.room, k)
	qp := fresh[float64](c.room, k)
	for sweep := len(c.starts) - 1; sweep >= 0; sweep-- {
		dc := 0.0 // of pᵀQp
		clear(dqp)
		for i := k - 1; i >= 0; i-- {
			dc = c.backStep(&c.steps[sweep*k+i], dp, dqp, dq, dc)
		}
		p := c.starts[sweep]
		clear(qp)
		for t := range k {
			for j := range k {
				qp[t] += c.q[t*k+j] * p[j]
			}
			dqp[t] += dc * p[t]
		}
		for t := range k {
			dp[t] += dc * qp[t]
		}
		for t := range k {
			for j := range k {
				dp[j] += c.q[t*k+j] * dqp[t]
				dq[t*k+j] += dqp[t] * p[j]
			}
		}
	}
	clear(dr)
	for t := range k {
		for j := range k {
			if j != t {
				dr[j*k+t] += 2*c.r[j*k+t]*dq[t*k+t] - c.r[t*k+j]*dq[t*k+j]
				dr[t*k+j] -= c.r[j*k+t] * dq[t*k+j]
			}
		}
	}
}

// backStep undoes one step's effect on the gradients and returns that of pᵀQp.
func (c *coupling) backStep(s *coupled, dp, dqp, dq []float64, dc float64) float64 {
	k, t, a := c.k, s.t, 1+s.delta
	qtt, dd := c.q[t*k+t], 0.0
	for j := range k {
		dp[j] /= a
		dd -= dp[j] * s.p[j]
		dqp[j] /= a
		dd += dqp[j] * (c.q[t*k+j] - s.qp[j])
		dq[t*k+j] += dqp[j] * s.delta
	}
	dd += dp[t]
	dd += dc * ((2*s.delta*qtt+2*s.before)/(a*a) - 2*s.after/a)
	dqp[t] += dc * 2 * s.delta / (a * a)
	dq[t*k+t] += dc * s.delta * s.delta / (a * a)
	dc /= a * a
	dqp[t] -= dd / qtt
	dq[t*k+t] -= dd * s.delta / qtt
	return dc + dd/qtt
}

// coupled turns z, a number for each pair of classes (N, pairs) whose logistic
// 1/(1 + eᶻ) is the first one's probability, into probabilities (N, classes).
func (c *call) coupled(z *value, classes int) *value {
	z = c.plain(z)
	n, pairs := z.shape[0], z.shape[1]
	out := c.float([]int{n, classes}, false)
	keep := c.keep && z.diff
	c.spend(n, classes, classes, couplingSweeps, 2)
	rows := fresh[*coupling](&c.room, pick(keep, n, 1))
	for i := range n {
		s := rows[i%len(rows)]
		if s == nil {
			s = newCoupling(&c.room, classes)
			rows[i%len(rows)] = s
		}
		p := 0
		for a := range classes {
			for b := a + 1; b < classes; b++ {
				r := min(max(1/(1+math.Exp(float64(z.f[i*pairs+p]))), couplingFloor), 1-couplingFloor)
				s.r[a*classes+b], s.r[b*classes+a] = r, 1-r
				p++
			}
		}
		s.solve(keep)
		for k, v := range s.p {
			out.f[i*classes+k] = float32(v)
		}
	}
	c.record(out, func() {
		c.spend(n, classes, classes, couplingSweeps, 4)
		d, dp, dr := c.spare(len(z.f)), fresh[float64](&c.room, classes), fresh[float64](&c.room, classes*classes)
		for i, s := range rows {
			for k := range dp {
				dp[k] = float64(out.d[i*classes+k])
			}
			s.back(dp, dr)
			p := 0
			for a := range classes {
				for b := a + 1; b < classes; b++ {
					r := s.r[a*classes+b]
					inside := r > couplingFloor && r < 1-couplingFloor
					d[i*pairs+p] = float32(pick(inside, (dr[b*classes+a]-dr[a*classes+b])*r*(1-r), 0))
					p++
				}
			}
		}
		c.pass(z, d)
	}, z)
	return out
}
