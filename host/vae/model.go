// Package vae is the detector's network: an encoder, two dense heads for the
// mean and the log-variance of a Gaussian code, and a decoder back to the
// input. It also holds the plain auto-encoder, which has neither heads nor
// noise, and the student network of distillation.
package vae

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Coding says what stands between encoder and decoder.
type Coding string

// The codings.
const (
	Sampled Coding = "sampled" // two heads and noise: z = μ + exp(½ logvar)·ε
	Plain   Coding = "plain"   // nothing: the encoder ends in the code
)

// LogVar is the activation of the log-variance head.
type LogVar string

// The activations.
const (
	Linear   LogVar = "linear"
	Softplus LogVar = "softplus" // forces σ > 1; as AdversarialVAE v0.2.0
)

// Options of Build: the section's layers, and what they are for. Where the
// weights come from is not Build's business.
type Options struct {
	Section
	Input      tensor.Shape // of one example, as the classifier takes it
	Coding     Coding       // "": Sampled
	Normalizer *Normalizer  // nil: none
	// Bridge names layers that lead from one shape to another, for errors; nil:
	// they name none.
	Bridge func(have, want tensor.Shape) string
}

// Model is an auto-encoder with its params. Passes never change it; training
// changes the params' values.
type Model struct {
	Input     tensor.Shape
	LatentDim int
	Coding    Coding
	LogVar    LogVar
	Encoder   *nn.Sequence
	Decoder   *nn.Sequence
	Normalize *Normalizer // nil: none

	mean, logVar *Head // nil for Plain
	params       []*nn.Param
}

// PartError says which list of layers does not fit. A layer that could not be
// made is an *nn.LayerError inside.
type PartError struct {
	Part string // the list's place in the spec: vae.encoder, vae.decoder, detector.student.layers
	Err  error
}

// Error is "vae.decoder layer 3: conv2d ends as 28×28×3, the classifier takes
// 28×28×1: set vae.decoder[3].conv2d.filters: 1, or append …".
func (e *PartError) Error() string { return e.Part + " " + e.Err.Error() }

// Unwrap is the error without the place.
func (e *PartError) Unwrap() error { return e.Err }

// streams of the initial params: one for each part, so that a change in one
// leaves the others' alone.
const (
	streamEncoder = 0x656e63 + iota
	streamHeads
	streamDecoder
	streamStudent
)

// Build makes a model with initial params drawn from seed. The error says
// which part does not fit, with the shapes.
func Build(o Options, seed uint64) (*Model, error) {
	m := &Model{Input: o.Input.Clone(), LatentDim: o.LatentDim, Coding: o.Coding, LogVar: o.LogVar, Normalize: o.Normalizer}
	if m.Coding == "" {
		m.Coding = Sampled
	}
	if m.LogVar == "" {
		m.LogVar = Linear
	}
	switch {
	case o.LatentDim < 1 && (m.Coding == Sampled || o.LatentDim < 0):
		return nil, fmt.Errorf("vae.latent_dim is %d, want at least 1", o.LatentDim)
	case m.Coding != Sampled && m.Coding != Plain:
		return nil, fmt.Errorf("no coding %q; known: sampled, plain", m.Coding)
	case m.LogVar != Linear && m.LogVar != Softplus:
		return nil, fmt.Errorf("vae.log_var is %q, want linear or softplus", m.LogVar)
	case o.Normalizer != nil && len(o.Normalizer.mean) != o.Input.Size():
		return nil, fmt.Errorf("vae.normalize is for examples of %d features, the classifier takes %v", len(o.Normalizer.mean), o.Input)
	}
	var err error
	if m.Encoder, err = nn.Build(o.Encoder, o.Input, source(seed, streamEncoder)); err != nil {
		return nil, &PartError{"vae.encoder", err}
	}
	code := m.Encoder.Out().Size()
	if o.LatentDim == 0 {
		o.LatentDim, m.LatentDim = code, code
	}
	if m.Coding == Sampled {
		if err := nn.Fits(code, o.LatentDim); err != nil {
			return nil, fmt.Errorf("vae.latent_dim: a code of width %d from an encoder output of width %d: %w", o.LatentDim, code, err)
		}
		r := source(seed, streamHeads)
		m.mean = newHead("mean", code, o.LatentDim, kernel.Act{}, r)
		m.logVar = newHead("log_var", code, o.LatentDim, m.LogVar.act(), r)
	} else if code != o.LatentDim {
		return nil, o.misfit("vae.encoder", m.Encoder, tensor.Shape{o.LatentDim}, fmt.Sprintf("want the code itself, of width %d (without heads the encoder ends in it)", o.LatentDim))
	}
	if m.Decoder, err = nn.Build(o.Decoder, tensor.Shape{o.LatentDim}, source(seed, streamDecoder)); err != nil {
		return nil, &PartError{"vae.decoder", err}
	}
	if !m.Decoder.Out().Equal(o.Input) {
		return nil, o.misfit("vae.decoder", m.Decoder, o.Input, fmt.Sprintf("the classifier takes %v", o.Input))
	}
	m.collect()
	return m, nil
}

func (l LogVar) act() kernel.Act {
	if l == Softplus {
		return kernel.Act{Kind: kernel.Softplus}
	}
	return kernel.Act{}
}

// collect lists the params and gives them their names in a detector's file.
func (m *Model) collect() {
	add := func(prefix string, ps []*nn.Param) {
		for _, p := range ps {
			p.Name = prefix + p.Name
		}
		m.params = append(m.params, ps...)
	}
	add("encoder.", m.Encoder.Params())
	if m.mean != nil {
		add("", m.mean.Params())
		add("", m.logVar.Params())
	}
	add("decoder.", m.Decoder.Params())
}

// InputShape is that of one example, in and out.
func (m *Model) InputShape() tensor.Shape { return m.Input }

// CodeWidth is the latent dimension.
func (m *Model) CodeWidth() int { return m.LatentDim }

// Params are the model's params, named as in a detector's file:
// encoder.0.kernel, mean.kernel, mean.bias, log_var.kernel, …,
// decoder.0.kernel. The list must not be changed.
func (m *Model) Params() []*nn.Param { return m.params }

// Load copies values into the params by name. Every param must be there, with
// its shape; names that the model lacks are an error too.
func (m *Model) Load(values map[string]*tensor.Tensor) error { return nn.Load(m.params, values) }
