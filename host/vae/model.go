// Package vae is the guard's network: an encoder, two dense heads for the mean
// and the log-variance of a Gaussian code, and a decoder back to the input.
// It also holds the plain auto-encoder, which has neither heads nor noise, and
// the student network of distillation.
package vae

import (
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Method says what stands between encoder and decoder.
type Method string

// The methods.
const (
	VAE Method = "vae" // two heads and noise: z = μ + exp(½ logvar)·ε
	AE  Method = "ae"  // nothing: the encoder ends in the code
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
	Method     Method       // "": VAE
	Normalizer *Normalizer  // nil: none
}

// Model is an auto-encoder with its params. Passes never change it; training
// changes the params' values.
type Model struct {
	Input     tensor.Shape
	LatentDim int
	Method    Method
	LogVar    LogVar
	Encoder   *nn.Sequence
	Decoder   *nn.Sequence
	Normalize *Normalizer // nil: none

	mean, logVar *Head // nil for AE
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
	m := &Model{Input: o.Input.Clone(), LatentDim: o.LatentDim, Method: o.Method, LogVar: o.LogVar, Normalize: o.Normalizer}
	if m.Method == "" {
		m.Method = VAE
	}
	if m.LogVar == "" {
		m.LogVar = Linear
	}
	switch {
	case o.LatentDim < 1:
		return nil, fmt.Errorf("vae.latent_dim is %d, want at least 1", o.LatentDim)
	case m.Method != VAE && m.Method != AE:
		return nil, fmt.Errorf("no auto-encoder method %q; known: vae, ae", m.Method)
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
	if m.Method == VAE {
		if err := nn.Fits(code, o.LatentDim); err != nil {
			return nil, fmt.Errorf("vae.latent_dim: a code %d wide of an encoder's result %d wide: %w", o.LatentDim, code, err)
		}
		r := source(seed, streamHeads)
		m.mean = newHead("mean", code, o.LatentDim, kernel.Act{}, r)
		m.logVar = newHead("log_var", code, o.LatentDim, m.LogVar.act(), r)
	} else if code != o.LatentDim {
		return nil, misfit("vae.encoder", m.Encoder, tensor.Shape{o.LatentDim}, fmt.Sprintf("want the code itself, %d wide (method ae has no heads)", o.LatentDim))
	}
	if m.Decoder, err = nn.Build(o.Decoder, tensor.Shape{o.LatentDim}, source(seed, streamDecoder)); err != nil {
		return nil, &PartError{"vae.decoder", err}
	}
	if !m.Decoder.Out().Equal(o.Input) {
		return nil, misfit("vae.decoder", m.Decoder, o.Input, fmt.Sprintf("the classifier takes %v", o.Input))
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
func (m *Model) Load(values map[string]*tensor.Tensor) error { return load(m.params, values) }

func load(params []*nn.Param, values map[string]*tensor.Tensor) error {
	for _, p := range params {
		v, ok := values[p.Name]
		if !ok {
			return fmt.Errorf("weights lack %q (%v)", p.Name, p.Value.Shape)
		}
		if !v.Shape.Equal(p.Value.Shape) {
			return fmt.Errorf("weights have %q as %v, the layers want %v", p.Name, v.Shape, p.Value.Shape)
		}
	}
	if len(values) > len(params) {
		known := make(map[string]bool, len(params))
		for _, p := range params {
			known[p.Name] = true
		}
		extra := ""
		for name := range values {
			if !known[name] && (extra == "" || name < extra) {
				extra = name
			}
		}
		return fmt.Errorf("weights have %s, which the layers do not", strconv.Quote(extra))
	}
	for _, p := range params {
		copy(p.Value.Data, values[p.Name].Data)
	}
	return nil
}
