package methods

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Smoothed asks the classifier about the reconstructions of Votes noisy copies of
// an input, by an auto-encoder that is trained so that the classifier says of them
// what it says of the input without noise (denoised smoothing: Salman et al. 2020,
// arXiv:2003.01908), and flags an input for which too few say what is said of it. For
// that, and for no other method here, it can be proved within which distance of a row
// any single input is misclassified and unflagged with a chance of at most Alpha: see
// detect.Detector.Certify.
//
// It has train.input_noise at sigma unless the spec gives another; with train.harden the
// inner attack goes through the noise (SmoothAdv).
type Smoothed struct {
	Sigma      float64 `yaml:"sigma" check:"> 0" doc:"standard deviation of the noise, in the input's units: what is proved reaches about twice as far, and more noise costs accuracy; train.input_noise is the same unless given"`
	Votes      int     `yaml:"votes" check:">= 1, <= 100000" doc:"noisy copies that a verdict rests on"`
	Stop       float64 `yaml:"stop" check:">= 0, < 1" doc:"votes end early for rows that pass; a row that all of them would flag passes with at most this chance; 0: only where the rest cannot change the verdict"`
	ProofVotes int     `yaml:"proof_votes" check:">= 1, <= 10000000" doc:"noisy copies that a certificate rests on, besides the votes"`
	Alpha      float64 `yaml:"alpha" check:"> 0, < 1" doc:"chance that a certificate does not hold; more than twice stop"`
}

// votes are the options as package detect has them.
func (m Smoothed) votes() detect.Votes {
	return detect.Votes{Sigma: m.Sigma, N: m.Votes, Stop: m.Stop, Proof: detect.Proof{Votes: m.ProofVotes, Alpha: m.Alpha}}
}

// Validate implements registry.Validator.
func (m Smoothed) Validate() error {
	var faults registry.FieldErrors
	if m.Alpha <= 2*m.Stop {
		faults.Add("alpha", "%v, want more than twice stop, %v: half of it covers the detector's own votes, which may end early", m.Alpha, 2*m.Stop)
	}
	return faults.Err()
}

// Make implements detect.Method.
func (m Smoothed) Make(p detect.Parts) (detect.Opinion, error) {
	c, err := newCoded(p, vae.Plain)
	if err != nil {
		return nil, err
	}
	return &smoothed{code: c, votes: m.votes(), seed: p.Seed}, nil
}

// Scores implements detect.Method.
func (Smoothed) Scores() ([]string, detect.FusionRule) { return []string{"votes"}, detect.NoFusion }

// Coding implements detect.Coded.
func (Smoothed) Coding() vae.Coding { return vae.Plain }

// Hardenable implements detect.Hardenable.
func (Smoothed) Hardenable() bool { return true }

// Check implements detect.Checker.
func (Smoothed) Check(code *vae.Section, _ *train.Section) registry.FieldErrors {
	return needsEncoder(code)
}

// Trimmed implements detect.Trimmer: training depends on sigma alone.
func (m Smoothed) Trimmed() detect.Method { return Smoothed{Sigma: m.Sigma} }

// Title implements detect.Titled.
func (Smoothed) Title() string { return "SmoothedGuard" }

// smoothed is the opinion of noisy copies. It has no Graph: noise that is made from
// an input's bits has no form in ONNX.
type smoothed struct {
	code  *coded
	votes detect.Votes
	seed  uint64
}

var (
	_ detect.Smoothing   = (*smoothed)(nil)
	_ detect.Fitter      = (*smoothed)(nil)
	_ detect.Described   = (*smoothed)(nil)
	_ detect.Approximate = (*smoothed)(nil)
	_ detect.Drawer      = (*drawing)(nil)
)

// Form implements detect.Opinion.
func (o *smoothed) Form() detect.Form { return detect.Form{Rebuilt: o.votes.N} }

// Votes implements detect.Smoothing.
func (o *smoothed) Votes() detect.Votes { return o.votes }

// InputShape is that of one example.
func (o *smoothed) InputShape() tensor.Shape { return o.code.InputShape() }

// Params implements detect.Opinion.
func (o *smoothed) Params() []*nn.Param { return o.code.Params() }

// Describe implements detect.Described.
func (o *smoothed) Describe() []nn.LayerInfo { return o.code.Describe() }

// Approximate implements detect.Approximate: the way back holds the noise fixed,
// which is made from the bits of the input.
func (*smoothed) Approximate() bool { return true }

// Fit implements detect.Fitter.
func (o *smoothed) Fit(ctx context.Context, s *train.Section, t train.Options) (*train.Result, error) {
	t.Smooth = true
	if t.InputNoise == 0 {
		t.InputNoise = o.votes.Sigma
	}
	r, err := o.code.Fit(ctx, s, t)
	if err != nil {
		return nil, fmt.Errorf("on noise of %g: %w", t.InputNoise, err)
	}
	return r, nil
}

// NewPass implements detect.Opinion.
func (o *smoothed) NewPass(e *kernel.Engine) detect.Pass {
	in := o.InputShape()
	return &drawing{o: o, e: e, coder: o.code.model.NewPass(e, batchRows, 1, nn.Inference),
		copies: tensor.Batch(batchRows, in), grad: tensor.Batch(batchRows, in)}
}

// drawing is a smoothed at work.
type drawing struct {
	o            *smoothed
	e            *kernel.Engine
	coder        *vae.Pass
	copies, grad *tensor.Tensor // scratch of batchRows rows
}

// Forward implements detect.Pass.
func (p *drawing) Forward(s *detect.Second, x, _ *tensor.Tensor) {
	p.Draw(s.Rebuilt, x, detect.Draws{Use: detect.ForVotes, To: p.o.votes.N})
}

// Draw implements detect.Drawer.
func (p *drawing) Draw(dst, x *tensor.Tensor, d detect.Draws) {
	p.each(x, d, func(lo, hi int, copies *tensor.Tensor) {
		if !d.Bare {
			copies, _, _ = p.coder.Forward(copies, nil)
		}
		copy(dst.Rows(lo, hi).Data, copies.Data)
	})
}

// Backward implements detect.Pass.
func (p *drawing) Backward(dx *tensor.Tensor, d *detect.Second, x, _ *tensor.Tensor) {
	n := p.o.votes.N
	p.each(x, detect.Draws{Use: detect.ForVotes, To: n}, func(lo, hi int, copies *tensor.Tensor) {
		p.coder.Forward(copies, nil)
		grad := p.grad.Rows(0, hi-lo)
		copy(grad.Data, d.Rebuilt.Rows(lo, hi).Data)
		back := p.coder.Backward(grad, nil, nil, nil)
		for r := lo; r < hi; r++ {
			add(dx.Row(r/n), back.Row(r-lo))
		}
	})
}

// each calls f with the noisy copies lo ≤ r < hi of all, copy From + j of row i being
// i·(To−From) + j.
func (p *drawing) each(x *tensor.Tensor, d detect.Draws, f func(lo, hi int, copies *tensor.Tensor)) {
	k := d.To - d.From
	keys := make([]kernel.Key, x.N())
	for i := range keys {
		keys[i] = kernel.Key{Seed: p.o.keyOf(x.Row(i)), Stream: noiseStream + uint64(d.Use)}
	}
	blocks(x.N()*k, func(lo, hi int) {
		copies := p.copies.Rows(0, hi-lo)
		for r := lo; r < hi; r++ {
			row, from := copies.Row(r-lo), x.Row(r/k)
			p.e.Normal(row, keys[r/k], uint64(d.From+r%k)*uint64(len(row)))
			for j, v := range row {
				row[j] = from[j] + float32(float32(p.o.votes.Sigma)*v)
			}
		}
		f(lo, hi, copies)
	})
}

// noiseStream is that of noise for votes; other uses follow.
const noiseStream = 0x766f_7465_0000_0000

// keyOf is the seed of a row's noise: a digest of the opinion's seed and of the
// row's bits, so that rows that differ have noise that is independent for all that
// anybody can find out without computing it.
func (o *smoothed) keyOf(row []float32) uint64 {
	h := sha256.New()
	buf := make([]byte, 8, 8+4*len(row))
	binary.LittleEndian.PutUint64(buf, o.seed)
	for _, v := range row {
		buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
	}
	_, _ = h.Write(buf)
	return binary.LittleEndian.Uint64(h.Sum(nil))
}
