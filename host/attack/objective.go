package attack

import (
	"errors"
	"math"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Goal is what an attack on a batch is to reach. Slices hold one entry per row.
type Goal struct {
	Labels  []int          // the class to leave or, if Targeted, to reach
	Kind    sdk.OutputKind // what the model's output is
	Classes int
	// Targeted attacks succeed when the prediction is Labels[i], others when
	// it is anything else.
	Targeted bool
	// Threshold is the detector's; +Inf for a bare classifier.
	Threshold float64
	// Pool are outputs of clean examples with their classes: what logit
	// matching copies. Nil without one.
	Pool       *tensor.Tensor
	PoolLabels []int
}

// class is what the objectives on sdk.Output share.
type class struct {
	labels   []int
	targeted bool
	kind     sdk.OutputKind
}

func (g Goal) class() class { return class{g.Labels, g.Targeted, g.Kind} }

func (c class) Outputs() []string { return []string{sdk.Output} }

func (c class) pick(rows []int) class {
	out := c
	out.labels = make([]int, len(rows))
	for i, r := range rows {
		out.labels[i] = c.labels[r]
	}
	return out
}

// Done: the prediction left the label, or reached it.
func (c class) Done(dst []bool, outputs map[string]*tensor.Tensor) {
	z := outputs[sdk.Output]
	for i := range dst {
		dst[i] = (oracle.Argmax(z.Row(i)) == c.labels[i]) == c.targeted
	}
}

// crossEntropy is log p(label), minimised to leave the label, or −log p(label)
// to reach it, from logits or log-probabilities: saturated probabilities
// would mask the gradient.
type crossEntropy struct{ class }

// CrossEntropy is the objective of most attacks.
func (g Goal) CrossEntropy() Objective { return crossEntropy{g.class()} }

func (o crossEntropy) Select(rows []int) Objective { return crossEntropy{o.pick(rows)} }

func (o crossEntropy) Loss(dst []float64, outputs, grad map[string]*tensor.Tensor) {
	z := outputs[sdk.Output]
	lp := make([]float64, z.Stride())
	sign := 1.0
	if o.targeted {
		sign = -1
	}
	for i := range dst {
		y := o.labels[i]
		oracle.LogProbabilities(lp, z.Row(i), o.kind, 1)
		dst[i] = sign * lp[y]
		if grad == nil {
			continue
		}
		g := grad[sdk.Output].Row(i)
		if o.kind == sdk.Probabilities {
			g[y] += float32(sign / max(float64(z.Row(i)[y]), oracle.Floor))
			continue
		}
		for k := range g { // ∂ log p(y)/∂z = onehot(y) − p
			d := -math.Exp(lp[k])
			if k == y {
				d = -math.Expm1(lp[k])
			}
			g[k] += float32(sign * d)
		}
	}
}

// margin is max(z_y − max_{j≠y} z_j, −κ), of Carlini & Wagner 2017; targeted,
// max(max_{j≠t} z_j − z_t, −κ). It is done at −κ.
type margin struct {
	class
	kappa float64
}

// Margin is the objective of Carlini and Wagner with confidence kappa ≥ 0, in
// units of logits or log-probabilities.
func (g Goal) Margin(kappa float64) Objective { return margin{g.class(), kappa} }

func (o margin) Select(rows []int) Objective { return margin{o.pick(rows), o.kappa} }

func (c class) level(z []float32, k int) float64 {
	l, _ := oracle.Level(c.kind, z[k])
	return l
}

func (c class) slope(z []float32, k int) float64 {
	_, s := oracle.Level(c.kind, z[k])
	return s
}

// gap is level(y) − level(j), negated if targeted, j the best other class.
func (c class) gap(z []float32, y int) (gap float64, j int) {
	j = oracle.ArgmaxBut(z, y)
	gap = c.level(z, y) - c.level(z, j)
	if c.targeted {
		gap = -gap
	}
	return gap, j
}

func (o margin) Loss(dst []float64, outputs, grad map[string]*tensor.Tensor) {
	z := outputs[sdk.Output]
	sign := 1.0
	if o.targeted {
		sign = -1
	}
	for i := range dst {
		row, y := z.Row(i), o.labels[i]
		gap, j := o.gap(row, y)
		dst[i] = max(gap, -o.kappa)
		if grad == nil || gap <= -o.kappa {
			continue
		}
		g := grad[sdk.Output].Row(i)
		g[y] += float32(sign * o.slope(row, y))
		g[j] -= float32(sign * o.slope(row, j))
	}
}

func (o margin) Done(dst []bool, outputs map[string]*tensor.Tensor) {
	o.class.Done(dst, outputs)
	if o.kappa == 0 {
		return
	}
	z := outputs[sdk.Output]
	for i := range dst {
		gap, _ := o.gap(z.Row(i), o.labels[i])
		dst[i] = dst[i] && gap <= -o.kappa*(1-1e-6)
	}
}

// dlr is the difference of logits ratio of Croce & Hein 2020
// (arXiv:2003.01690): (z_y − max_{j≠y} z_j)/(z_π1 − z_π3), and targeted
// (z_π1' − z_t)/(z_π1 − (z_π3 + z_π4)/2) with π1' the best other class.
// Shift and scale of the logits leave it unchanged.
type dlr struct{ class }

// DLR is the difference of logits ratio. It needs three classes, four if
// targeted.
func (g Goal) DLR() (Objective, error) {
	if g.Classes < 3 {
		return nil, errors.New("the dlr loss needs at least 3 classes; use ce")
	}
	if g.Targeted && g.Classes < 4 {
		return nil, errors.New("the targeted dlr loss needs at least 4 classes; use ce")
	}
	return dlr{g.class()}, nil
}

func (o dlr) Select(rows []int) Objective { return dlr{o.pick(rows)} }

func (o dlr) Loss(dst []float64, outputs, grad map[string]*tensor.Tensor) {
	z := outputs[sdk.Output]
	for i := range dst {
		row, y := z.Row(i), o.labels[i]
		top := largest(row)
		gap, j := o.gap(row, y)
		low := o.level(row, top[2])
		if o.targeted {
			low = (low + o.level(row, top[3])) / 2
		}
		width := o.level(row, top[0]) - low + 1e-12
		dst[i] = gap / width
		if grad == nil {
			continue
		}
		g := grad[sdk.Output].Row(i)
		add := func(k int, d float64) { g[k] += float32(d * o.slope(row, k)) }
		sign := 1 / width
		if o.targeted {
			sign = -sign
		}
		add(y, sign)
		add(j, -sign)
		w := gap / (width * width)
		add(top[0], -w)
		if o.targeted {
			add(top[2], w/2)
			add(top[3], w/2)
		} else {
			add(top[2], w)
		}
	}
}

// largest are the indices of the four largest numbers (fewer classes: as many
// as there are), best first.
func largest(z []float32) []int {
	top := make([]int, 0, 5)
	for k := range z {
		at := len(top)
		for at > 0 && z[k] > z[top[at-1]] {
			at--
		}
		if at < 4 {
			top = append(top, 0)
			copy(top[at+1:], top[at:])
			top[at] = k
			top = top[:min(len(top), 4)]
		}
	}
	return top
}
