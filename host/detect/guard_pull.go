package detect

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// backward is a pullback under way: gradients at each thing that a view holds.
type backward struct {
	x, rebuilt *tensor.Tensor // (n, example…), (n·S, example…) or nil
	outP, outR *tensor.Tensor // one tensor if x' is x
	student    *tensor.Tensor // at the logits of the second opinion
	hidden     []*tensor.Tensor
	atMean     *tensor.Tensor // at decoder(mean), or nil
}

// seeds enters the cotangents of a view's outputs.
func (g *Guarded) seeds(p *pass, v *view, st *state, cots map[string]*tensor.Tensor) (*backward, error) {
	b := &backward{x: zeros(v.x), outP: zeros(v.outP)}
	b.outR = b.outP
	if v.second.Rebuilt != nil {
		b.rebuilt, b.outR = zeros(v.second.Rebuilt), zeros(v.outR)
	}
	for _, name := range g.OutputNames() { // a fixed order of sums
		if t := cots[name]; t != nil {
			if err := g.seed(p, b, v, st, name, t); err != nil {
				return nil, err
			}
		}
	}
	for name := range cots {
		if !slices.Contains(g.OutputNames(), name) {
			return nil, fmt.Errorf("guard: unknown output %q; known: %q", name, g.OutputNames())
		}
	}
	return b, nil
}

// sizeOf is how many numbers an output of a view has.
func sizeOf(name string, v *view) int {
	return map[string]int{
		sdk.Output: len(v.outP.Data), OutputReconstructed: len(v.outP.Data), OutputSampled: len(v.outR.Data),
		OutputScore: v.x.N(), OutputRebuilt: len(v.x.Data),
	}[name]
}

// seed enters the cotangent t of one output.
func (g *Guarded) seed(p *pass, b *backward, v *view, st *state, name string, t *tensor.Tensor) error {
	if want := sizeOf(name, v); len(t.Data) != want {
		return misfit(name, t, want)
	}
	switch name {
	case sdk.Output:
		add(b.outP.Data, t.Data)
	case OutputSampled:
		add(b.outR.Data, t.Data)
	case OutputReconstructed:
		g.seedReconstructed(b, v, t)
	case OutputScore:
		return g.seedScore(p, b, v, st, t)
	case OutputRebuilt:
		b.atMean = t.Clone() // a pass may overwrite it
	}
	return nil
}

// seedReconstructed goes through r = ln mean_s q_s: ∂r/∂ln q_s = q_s/Σ q.
func (g *Guarded) seedReconstructed(b *backward, v *view, t *tensor.Tensor) {
	d, k := g.d, v.outR.Stride()
	plain := d.read
	plain.Clip = 0
	samples := v.outR.N() / max(v.x.N(), 1)
	row, dlogq := make([]float64, k), make([]float32, k)
	for i := range v.x.N() {
		mean := d.meanProbability(v, i)
		for s := range samples {
			r := i*samples + s
			d.read.LogP(row, v.outR.Row(r))
			for c, l := range row {
				share := 0.0
				if mean[c] > oracle.Floor {
					share = math.Exp(l) / (mean[c] * float64(samples))
				}
				dlogq[c] = float32(float64(t.Row(i)[c]) * share)
			}
			plain.Pull(b.outR.Row(r), v.outR.Row(r), dlogq, nil)
		}
	}
}

// seedScore goes through fusion, scores and log-probabilities.
func (g *Guarded) seedScore(p *pass, b *backward, v *view, st *state, t *tensor.Tensor) error {
	d, n := g.d, v.x.N()
	_, raw, err := g.scores(v, st)
	if err != nil {
		return err
	}
	weights := d.columns(n)
	if st.fusion != nil {
		st.fusion.Slopes(weights, raw)
	} else {
		for i := range weights[0] {
			weights[0][i] = 1
		}
	}
	ev := v.evidence
	c := Cotangents{LogP: zeros(ev.LogP), LogPT: zeros(ev.LogP), LogQ: zeros(ev.LogQ), X: b.x, Rebuilt: b.rebuilt}
	for j := range ev.HiddenP {
		c.HiddenP = append(c.HiddenP, zeros(ev.HiddenP[j]))
		c.HiddenQ = append(c.HiddenQ, zeros(ev.HiddenQ[j]))
	}
	for j, s := range d.o.Scores {
		ds, ok := s.Score.(DifferentiableScore)
		if !ok {
			return fmt.Errorf("guard: score %s has no gradient", s.Name)
		}
		for i := range weights[j] {
			weights[j][i] *= float64(t.Data[i])
		}
		ds.ScoreGrad(c, ev, weights[j])
	}
	for i := range n {
		d.read.Pull(b.outP.Row(i), v.outP.Row(i), c.LogP.Row(i), c.LogPT.Row(i))
	}
	into, source, reader := b.outR, v.outR, d.read
	if v.second.Logits != nil {
		b.student = zeros(v.second.Logits)
		into, source, reader = b.student, v.second.Logits, d.read.Logits()
	}
	for i := range source.N() {
		reader.Pull(into.Row(i), source.Row(i), c.LogQ.Row(i), nil)
	}
	for j, h := range d.o.Hidden {
		dlogp := tensor.New(v.answer.Hidden[j].N(), h.Kernel.Stride())
		copy(dlogp.Data, c.HiddenP[j].Data)
		copy(dlogp.Rows(n, dlogp.N()).Data, c.HiddenQ[j].Data)
		b.hidden = append(b.hidden, h.PullLogP(p.engine, v.answer.Hidden[j], dlogp, d.read))
	}
	return nil
}

// pullClassifier goes through M on x and x' together.
func (d *Detector) pullClassifier(ctx context.Context, b *backward, v *view) error {
	n, total := v.x.N(), v.outP.N()
	if v.second.Rebuilt != nil {
		total += v.outR.N()
	}
	dout := tensor.New(total, v.outP.Stride())
	copy(dout.Data, b.outP.Data)
	if v.second.Rebuilt != nil {
		copy(dout.Rows(n, total).Data, b.outR.Data)
	}
	dx, err := v.answer.Gradient(ctx, dout, b.hidden)
	if err != nil {
		return err
	}
	add(b.x.Data, dx.Rows(0, n).Data)
	if v.second.Rebuilt != nil {
		add(b.rebuilt.Data, dx.Rows(n, total).Data)
	}
	return nil
}

// pullSecond goes through what gave the second opinion.
func pullSecond(p *pass, b *backward, v *view) {
	if b.rebuilt != nil || b.student != nil {
		p.second.Backward(b.x, &Second{Rebuilt: b.rebuilt, Logits: b.student}, v.x, v.noise)
	}
	if b.atMean != nil {
		p.second.Backward(b.x, &Second{Rebuilt: b.atMean}, v.x, nil)
	}
}

func zeros(t *tensor.Tensor) *tensor.Tensor { return tensor.New(t.Shape...) }
