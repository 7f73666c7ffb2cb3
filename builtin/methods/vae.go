package methods

import (
	"context"
	"errors"

	"github.com/vaeguard/vaeguard/host/graph"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// VAE asks the classifier about Samples reconstructions x'_s = decoder(μ + σ·ε_s)
// of an input x, with noise that the detector keeps (alibi-detect's
// AdversarialVAE, v0.1 to v0.3).
type VAE struct {
	Samples int     `yaml:"samples" check:">= 0, <= 10000" doc:"stored noise draws per instance; 0: one with zero noise"`
	Beta    float64 `yaml:"beta" check:">= 0" doc:"weight of the latent KL term in training"`
}

// Make implements detect.Method.
func (m VAE) Make(p detect.Parts) (detect.Opinion, error) {
	c, err := newCoded(p, vae.Sampled)
	if err != nil {
		return nil, err
	}
	s := detect.Sampling(detect.FromVAE(c.model), m.Samples)
	c.Opinion, c.beta = s, m.Beta
	return &sampled{c, s}, nil
}

// Scores implements detect.Method.
func (VAE) Scores() ([]string, detect.FusionRule) { return []string{"kl"}, detect.NoFusion }

// Coding implements detect.Coded.
func (VAE) Coding() vae.Coding { return vae.Sampled }

// Hardenable implements detect.Hardenable.
func (VAE) Hardenable() bool { return true }

// Trimmed implements detect.Trimmer: samples are drawn when scoring.
func (m VAE) Trimmed() detect.Method {
	m.Samples = 0
	return m
}

// Title implements detect.Titled.
func (VAE) Title() string { return "AdversarialVAE" }

// sampled is the opinion of an auto-encoder with noise.
type sampled struct {
	*coded
	noisy detect.Noisy
}

// DrawNoise implements detect.Noisy.
func (s *sampled) DrawNoise(seed uint64) *tensor.Tensor { return s.noisy.DrawNoise(seed) }

// coded is the opinion of an auto-encoder of the section vae.
type coded struct {
	detect.Opinion
	model *vae.Model
	beta  float64
}

var (
	_ detect.Fitter    = (*coded)(nil)
	_ detect.Described = (*coded)(nil)
	_ detect.Noisy     = (*sampled)(nil)
)

func newCoded(p detect.Parts, coding vae.Coding) (*coded, error) {
	if p.VAE == nil {
		return nil, errors.New("there is no section vae")
	}
	m, err := vae.Build(vae.Options{Section: *p.VAE, Input: p.Input, Coding: coding, Normalizer: p.Normalizer, Bridge: layers.Bridge}, p.Seed)
	if err != nil {
		return nil, err
	}
	return &coded{Opinion: detect.Reconstruction(detect.FromVAE(m)), model: m}, nil
}

// InputShape is that of one example.
func (c *coded) InputShape() tensor.Shape { return c.model.Input }

// Params implements detect.Opinion.
func (c *coded) Params() []*nn.Param { return c.model.Params() }

// Describe implements detect.Described.
func (c *coded) Describe() []nn.LayerInfo { return c.model.Describe() }

// Fit implements detect.Fitter.
func (c *coded) Fit(ctx context.Context, s *train.Section, o train.Options) (*train.Result, error) {
	if s == nil {
		return nil, errNoTraining
	}
	o.Model, o.Beta = c.model, c.beta
	return train.Run(ctx, o)
}

// errNoTraining is for weights that nothing provides.
var errNoTraining = errors.New("there is neither a section train nor vae.weights: nothing says where the auto-encoder's weights come from")

// Graph implements detect.GraphedOpinion.
func (c *coded) Graph(b *graph.Builder, x graph.Value, noise *tensor.Tensor) detect.GraphedSecond {
	return detect.GraphedSecond{Rebuilt: c.model.Graph(b, x, noise)}
}
