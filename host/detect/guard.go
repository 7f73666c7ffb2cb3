package detect

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"

	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// GuardOptions say what an attacker of the guarded classifier sees. The zero
// value is the strongest one, who knows the detector's stored noise.
type GuardOptions struct {
	// Noise takes the place of the stored one: (samples, latent). Methods
	// without noise ignore all of these.
	Noise *tensor.Tensor
	// Fresh draws new noise for each Forward, as an attacker who does not know
	// the stored one must (expectation over transformation: Athalye et al.
	// 2018). Samples is how many; 0: as many as are stored.
	// All rows of a Forward have the same, and the next one has others.
	Fresh   bool
	Samples int
	Seed    uint64 // of fresh noise
}

// Guarded is classifier, auto-encoder and score as one sdk.Forwarder: the
// named outputs are those of this package and sdk.Output, and the pullback is
// exact through all three, so that an adaptive attack is an ordinary
// attack with another objective. Predict is the bare classifier's.
type Guarded struct {
	d     *Detector
	o     GuardOptions
	calls atomic.Uint64

	apartFrom int
}

var _ sdk.Forwarder = (*Guarded)(nil)

// Guard is the detector seen as a classifier. It needs no threshold; fused
// scores need a calibration.
func (d *Detector) Guard(o GuardOptions) *Guarded { return &Guarded{d: d, o: o, apartFrom: apartFrom} }

// Info is the classifier's, without its hidden layers.
func (g *Guarded) Info(ctx context.Context) (sdk.Info, error) {
	info, err := g.d.o.Classifier.Info(ctx)
	info.Hidden = nil
	return info, err
}

// Predict is M(x).
func (g *Guarded) Predict(ctx context.Context, x *tensor.Tensor) (*tensor.Tensor, error) {
	return g.d.o.Classifier.Predict(ctx, x)
}

// OutputNames are the outputs that Forward offers.
func (g *Guarded) OutputNames() []string {
	names := []string{sdk.Output, OutputReconstructed, OutputSampled, OutputScore}
	if g.d.form.Code > 0 {
		names = append(names, OutputRebuilt)
	}
	return names
}

// noise is what this Forward uses.
func (g *Guarded) noise() *tensor.Tensor {
	stored := g.d.o.Noise
	if stored == nil {
		return nil
	}
	if g.o.Noise != nil {
		stored = g.o.Noise
	}
	if !g.o.Fresh {
		return stored
	}
	n := g.o.Samples
	if n == 0 {
		n = stored.N()
	}
	r := stream(g.o.Seed, fmt.Sprintf("fresh noise %d", g.calls.Add(1)))
	return drawNormal(r, n, g.d.form.Code)
}

// Forward computes the named outputs. Many numbers go to the classifier in two calls,
// one after the other, and the host is at one half while it answers the other: so it is
// on the way back. The Pullback may be called until the
// next Forward of the same goroutine; it is nil if the classifier has no
// gradient. x may be changed afterwards.
func (g *Guarded) Forward(ctx context.Context, x *tensor.Tensor, outputs ...string) (map[string]*tensor.Tensor, sdk.Pullback, error) {
	d := g.d
	if len(outputs) == 0 {
		outputs = []string{sdk.Output}
	}
	if err := d.checkInput(x); err != nil {
		return nil, nil, err
	}
	p, err := d.pool.get(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer d.pool.put(p)
	s, err := g.look(ctx, p, x.Clone(), g.noise())
	if err != nil {
		return nil, nil, err
	}
	got := make(map[string]*tensor.Tensor, len(outputs))
	for _, name := range outputs {
		if got[name], err = s.output(name, p); err != nil {
			return nil, nil, err
		}
	}
	if !s.views[0].answer.HasGradient() {
		return got, nil, nil
	}
	return got, func(ctx context.Context, cots map[string]*tensor.Tensor) (*tensor.Tensor, error) {
		p, err := d.pool.get(ctx)
		if err != nil {
			return nil, err
		}
		defer d.pool.put(p)
		return s.pull(ctx, p, cots)
	}, nil
}

func (g *Guarded) output(name string, p *pass, v *view, st *state) (*tensor.Tensor, error) {
	d, n := g.d, v.x.N()
	switch {
	case name == sdk.Output:
		return v.outP.Clone(), nil
	case name == OutputSampled:
		return v.outR.Clone().Reshape(n, v.outR.N()/max(n, 1), v.outR.Stride()), nil
	case name == OutputReconstructed:
		t := tensor.New(n, d.info.NumClasses)
		for i := range n {
			for c, q := range d.meanProbability(v, i) {
				t.Row(i)[c] = float32(math.Log(max(q, oracle.Floor)))
			}
		}
		return t, nil
	case name == OutputScore:
		s, _, err := g.scores(v, st)
		if err != nil {
			return nil, err
		}
		t := tensor.New(n, 1)
		for i, f := range s {
			if t.Data[i] = float32(f); v.lost[i] {
				t.Data[i] = float32(math.Inf(1))
			}
		}
		return t, nil
	case name == OutputRebuilt && d.form.Code > 0:
		t := tensor.Batch(n, d.input)
		p.second.Forward(&Second{Rebuilt: t}, v.x, nil)
		return t, nil
	}
	return nil, fmt.Errorf("guard: unknown output %q; known: %q", name, g.OutputNames())
}

// scores are the fused score, aligned where thresholds are by class, and each score by itself.
func (g *Guarded) scores(v *view, st *state) (fused []float64, raw [][]float64, err error) {
	if g.d.o.Fusion != NoFusion && st.fusion == nil {
		return nil, nil, fmt.Errorf("fusion %s: %w", g.d.o.Fusion, ErrNoThreshold)
	}
	raw = g.d.columns(v.x.N())
	if err := g.d.score(raw, v, 0, v.x.N()); err != nil {
		return nil, nil, err
	}
	if fused = st.fuse(raw); st.byClass != nil {
		predicted := make([]int, v.x.N())
		for i := range predicted {
			predicted[i] = oracle.Argmax(v.outP.Row(i))
		}
		fused = st.align(fused, predicted)
	}
	return fused, raw, nil
}
