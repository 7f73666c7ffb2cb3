package scores

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// logs is a tensor of logarithms of rows of probabilities.
func logs(rows ...[]float64) *tensor.Tensor {
	t := tensor.New(len(rows), len(rows[0]))
	for i, r := range rows {
		for j, p := range r {
			t.Row(i)[j] = float32(math.Log(p))
		}
	}
	return t
}

// pair is one instance with one sample.
func pair(p, q []float64) detect.Evidence {
	return detect.Evidence{
		Samples: 1,
		X:       tensor.From([]float32{1, 2}, 1, 2), Rebuilt: tensor.From([]float32{1.5, 4}, 1, 2),
		LogP: logs(p), LogPT: logs(p), LogQ: logs(q), ZP: logs(p), ZQ: logs(q),
		HiddenP: []*tensor.Tensor{logs(p)}, HiddenQ: []*tensor.Tensor{logs(q)}, HiddenWeights: []float64{3},
	}
}

func TestKnownValues(t *testing.T) {
	// P = (¾, ¼), Q = (¼, ¾): KL = ½ ln 3 either way, m = (½, ½), and
	// JS = ln 2 − H(¾).
	p, q := []float64{0.75, 0.25}, []float64{0.25, 0.75}
	const kl = 0.5493061443340549
	js := func(temperature float64) float64 {
		a, b := math.Pow(0.75, 1/temperature), math.Pow(0.25, 1/temperature)
		a, b = a/(a+b), b/(a+b)
		return math.Ln2 + a*math.Log(a) + b*math.Log(b)
	}
	values := map[string]float64{
		"kl":                   kl + 3*kl, // with the hidden layer's weight of 3
		"reverse_kl":           kl,
		"symmetric_kl":         kl,
		"hidden_kl":            3 * kl,
		"js":                   js(1),
		"js_10":                js(10),
		"js_40":                js(40),
		"ce_top":               math.Log(4),
		"cross_entropy":        0.75*math.Log(4) - 0.25*math.Log(0.75),
		"margin":               math.Log(3),
		"prediction_l1":        1,
		"squeeze_l1":           1,
		"votes":                1,
		"reconstruction_error": (0.25 + 4) / 2,
		"max_softmax":          0.25,
	}
	for _, e := range Table().Entries() {
		want, ok := values[e.Name]
		if !ok {
			t.Errorf("%s has no expected value", e.Name)
		}
		got := make([]float64, 1)
		e.Default.Score(got, pair(p, q))
		if math.Abs(got[0]-want) > 1e-6 {
			t.Errorf("%s = %.9g, want %.9g", e.Name, got[0], want)
		}
	}
}

func TestKLOfEqualPredictionsIsZero(t *testing.T) {
	p := []float64{0.999999, 1e-6}
	got := []float64{1}
	(&KL{}).Score(got, pair(p, p))
	if got[0] != 0 {
		t.Errorf("KL(P‖P) = %g", got[0])
	}
}

// With the references' clip to [1e-7, 1] no score exceeds ln 1e7 = 16.118;
// without it, an impossible class costs what it costs.
func TestClipCapsTheScore(t *testing.T) {
	e := detect.Evidence{Samples: 1, X: tensor.New(1, 1),
		LogPT: tensor.From([]float32{0, -40}, 1, 2), LogQ: tensor.From([]float32{-40, 0}, 1, 2)}
	got := make([]float64, 1)
	(&KL{}).Score(got, e)
	if math.Abs(got[0]-40) > 1e-6 {
		t.Errorf("exact score %g, want 40", got[0])
	}
	floor := float32(math.Log(1e-7))
	e.Clip = 1e-7
	e.LogPT.Data[1], e.LogQ.Data[0] = floor, floor
	(&KL{}).Score(got, e)
	if want := math.Log(1e7); math.Abs(got[0]-want) > 1e-4 {
		t.Errorf("clipped score %g, want %g", got[0], want)
	}
}

// random is evidence of n instances with s samples over 4 classes.
func random(n, s int, clip float64) detect.Evidence {
	r := rand.New(rand.NewPCG(7, uint64(s)))
	logp := func(rows int) *tensor.Tensor {
		t := tensor.New(rows, 4)
		for i := range rows {
			row, sum := t.Row(i), 0.0
			for j := range row {
				row[j] = float32(r.NormFloat64())
				sum += math.Exp(float64(row[j]))
			}
			for j := range row {
				row[j] -= float32(math.Log(sum))
			}
		}
		return t
	}
	plain := func(rows int) *tensor.Tensor {
		t := tensor.New(rows, 2, 3)
		for i := range t.Data {
			t.Data[i] = float32(r.NormFloat64())
		}
		return t
	}
	e := detect.Evidence{Samples: s, X: plain(n), Rebuilt: plain(n * s), LogP: logp(n), LogPT: logp(n), LogQ: logp(n * s),
		HiddenP: []*tensor.Tensor{logp(n), logp(n)}, HiddenQ: []*tensor.Tensor{logp(n * s), logp(n * s)},
		HiddenWeights: []float64{0.5, 2}, Clip: clip}
	e.ZP, e.ZQ = e.LogP, e.LogQ
	return e
}

func zeros(ts ...*tensor.Tensor) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(ts))
	for i, t := range ts {
		out[i] = tensor.New(t.Shape...)
	}
	return out
}

// Every differentiable score's gradient agrees with central differences in
// every part of the evidence.
func TestGradients(t *testing.T) {
	const h, tolerance = 1e-3, 2e-3
	for _, clip := range []float64{0, 1e-7} {
		for _, entry := range Table().Entries() {
			d, ok := entry.Default.(detect.DifferentiableScore)
			if !ok {
				t.Errorf("%s is not differentiable", entry.Name)
				continue
			}
			if a, ok := d.(detect.Approximate); ok && a.Approximate() {
				continue
			}
			e := random(3, 2, clip)
			z := zeros(e.LogP, e.LogPT, e.LogQ, e.X, e.Rebuilt)
			c := detect.Cotangents{LogP: z[0], LogPT: z[1], LogQ: z[2], X: z[3], Rebuilt: z[4],
				HiddenP: zeros(e.HiddenP...), HiddenQ: zeros(e.HiddenQ...)}
			weight := []float64{1, -2, 0.5}
			d.ScoreGrad(c, e, weight)
			total := func() float64 {
				dst := make([]float64, 3)
				d.Score(dst, e)
				return dst[0]*weight[0] + dst[1]*weight[1] + dst[2]*weight[2]
			}
			check := func(part string, x, grad *tensor.Tensor) {
				for i, v := range x.Data {
					x.Data[i] = v + h
					up := total()
					x.Data[i] = v - h
					down := total()
					x.Data[i] = v
					if want := (up - down) / (2 * h); math.Abs(want-float64(grad.Data[i])) > tolerance {
						t.Errorf("%s (clip %g): ∂/∂%s[%d] = %g, want %g", entry.Name, clip, part, i, grad.Data[i], want)
					}
				}
			}
			check("LogP", e.LogP, c.LogP)
			check("LogPT", e.LogPT, c.LogPT)
			check("LogQ", e.LogQ, c.LogQ)
			check("X", e.X, c.X)
			check("Rebuilt", e.Rebuilt, c.Rebuilt)
			for j := range e.HiddenP {
				check("HiddenP", e.HiddenP[j], c.HiddenP[j])
				check("HiddenQ", e.HiddenQ[j], c.HiddenQ[j])
			}
		}
	}
}

// A row's score has the same bits alone and in a batch.
func TestRowsAreIndependent(t *testing.T) {
	e := random(5, 3, 0)
	for _, entry := range Table().Entries() {
		all := make([]float64, 5)
		entry.Default.Score(all, e)
		for i := range all {
			one := e
			one.X, one.Rebuilt = e.X.Rows(i, i+1), e.Rebuilt.Rows(3*i, 3*i+3)
			one.LogP, one.LogPT, one.LogQ = e.LogP.Rows(i, i+1), e.LogPT.Rows(i, i+1), e.LogQ.Rows(3*i, 3*i+3)
			one.ZP, one.ZQ = one.LogP, one.LogQ
			one.HiddenP, one.HiddenQ = nil, nil
			for j := range e.HiddenP {
				one.HiddenP = append(one.HiddenP, e.HiddenP[j].Rows(i, i+1))
				one.HiddenQ = append(one.HiddenQ, e.HiddenQ[j].Rows(3*i, 3*i+3))
			}
			got := make([]float64, 1)
			entry.Default.Score(got, one)
			if got[0] != all[i] {
				t.Errorf("%s: row %d alone %v, in the batch %v", entry.Name, i, got[0], all[i])
			}
		}
	}
}
