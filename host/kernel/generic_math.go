package kernel

import "math"

func expGo(y, x []float32) {
	for i, v := range x {
		y[i] = exp32(v)
	}
}

func logGo(y, x []float32) {
	for i, v := range x {
		y[i] = float32(math.Log(float64(v)))
	}
}

func exp32(v float32) float32 { return float32(math.Exp(float64(v))) }

func axpyGo(y, x []float32, s float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += float32(s * v)
	}
}

func mulGo(y, a, b []float32) {
	b = b[:len(a)]
	y = y[:len(a)]
	for i, v := range a {
		y[i] = v * b[i]
	}
}

func mulAddGo(y, a, b []float32) {
	b = b[:len(a)]
	y = y[:len(a)]
	for i, v := range a {
		y[i] += float32(v * b[i])
	}
}

func scaleGo(y, x []float32, s, o float32) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = float32(s*v) + o
	}
}

func mulPlusGo(y, x, s, o []float32) {
	y, s, o = y[:len(x)], s[:len(x)], o[:len(x)]
	for i, v := range x {
		y[i] = float32(v*s[i]) + o[i]
	}
}

func reparametrizeGo(z, mu, logvar, eps []float32) {
	for i, v := range logvar {
		z[i] = mu[i] + float32(exp32(.5*v)*eps[i])
	}
}

func reparametrizeGradGo(d, dz, logvar, eps []float32) {
	for i, v := range logvar {
		d[i] = dz[i] * eps[i] * (.5 * exp32(.5*v))
	}
}

func activateGo(y, x []float32, a Act) {
	switch a.Kind {
	case Linear:
		copy(y, x)
	case ReLU:
		for i, v := range x {
			if v < 0 {
				v = 0
			}
			y[i] = v
		}
	case LeakyReLU:
		for i, v := range x {
			if v < 0 {
				v *= a.Alpha
			}
			y[i] = v
		}
	case ELU:
		for i, v := range x {
			if v < 0 {
				v = a.Alpha * float32(math.Expm1(float64(v)))
			}
			y[i] = v
		}
	case SELU:
		for i, v := range x {
			if v < 0 {
				v = float32(seluScale * seluAlpha * math.Expm1(float64(v)))
			} else {
				v *= seluScale
			}
			y[i] = v
		}
	case GELU:
		for i, v := range x {
			y[i] = float32(gelu(float64(v)))
		}
	case SiLU:
		for i, v := range x {
			y[i] = float32(silu(float64(v)))
		}
	case Softplus:
		for i, v := range x {
			y[i] = float32(softplus(float64(v)))
		}
	case Tanh:
		for i, v := range x {
			y[i] = float32(math.Tanh(float64(v)))
		}
	case Sigmoid:
		for i, v := range x {
			y[i] = float32(1 / (1 + math.Exp(-float64(v))))
		}
	default:
		panic("kernel: unknown activation")
	}
}

func gelu(x float64) float64 {
	if x < -40 { // and not −∞·0
		return 0
	}
	return x * .5 * math.Erfc(-x/math.Sqrt2)
}

func silu(x float64) float64 {
	if x < -745 { // eˣ is 0
		return 0
	}
	return x / (1 + math.Exp(-x))
}

func softplus(x float64) float64 { return math.Max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

// activateGradGo: y is the result, or the input where the activation needs it.
func activateGradGo(dx, dy, y []float32, a Act) {
	y = y[:len(dy)]
	dx = dx[:len(dy)]
	switch a.Kind {
	case Linear:
		copy(dx, dy)
	case ReLU:
		for i, d := range dy {
			if y[i] <= 0 {
				d = 0
			}
			dx[i] = d
		}
	case LeakyReLU:
		for i, d := range dy {
			if y[i] <= 0 {
				d *= a.Alpha
			}
			dx[i] = d
		}
	case ELU:
		for i, d := range dy {
			if y[i] <= 0 {
				d *= y[i] + a.Alpha
			}
			dx[i] = d
		}
	case SELU:
		for i, d := range dy {
			if y[i] <= 0 {
				d *= y[i] + seluScale*seluAlpha
			} else {
				d *= seluScale
			}
			dx[i] = d
		}
	case GELU:
		for i, d := range dy {
			v := float64(y[i])
			dx[i] = d * float32(.5*math.Erfc(-v/math.Sqrt2)+finite(v)*math.Exp(-.5*v*v)/math.Sqrt(2*math.Pi))
		}
	case SiLU:
		for i, d := range dy {
			v := float64(y[i])
			s := 1 / (1 + math.Exp(-v))
			dx[i] = d * float32(s*(1+finite(v)*(1-s)))
		}
	case Softplus:
		for i, d := range dy {
			dx[i] = d * float32(-math.Expm1(-float64(y[i])))
		}
	case Tanh:
		for i, d := range dy {
			dx[i] = d * (1 - float32(y[i]*y[i]))
		}
	case Sigmoid:
		for i, d := range dy {
			dx[i] = d * float32(y[i]*(1-y[i]))
		}
	default:
		panic("kernel: unknown activation")
	}
}

// finite keeps infinities out of products with zero.
func finite(v float64) float64 { return max(-1e3, min(1e3, v)) }

func copyRowsGo(d, src []float32, dld, sld, rows, n int) {
	for i := range rows {
		copy(d[i*dld:i*dld+n], src[i*sld:i*sld+n])
	}
}

func addRowsGo(d, src []float32, dld, sld, rows, n int) {
	for i := range rows {
		q := d[i*dld : i*dld+n]
		for j, v := range src[i*sld : i*sld+n] {
			q[j] += v
		}
	}
}
