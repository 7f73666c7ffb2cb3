package artifact

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/gradient"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Contents are what weights.safetensors holds besides the params: the names of
// everything that is not a weight are known only here.
type Contents struct {
	Noise     *tensor.Tensor            // noise: the stored noise, (samples, latent_dim); nil: none
	Heads     []oracle.Head             // hidden.NAME.kernel
	Normalize *Affine                   // normalize.mean, normalize.std: of vae.normalize; nil: none
	Prepare   map[string]*tensor.Tensor // scale.…, columns.…, prepare.…: what the steps of data learnt, under their full names
	Gradient  map[string]*tensor.Tensor // gradient.…: of a gradient source, under their full names
}

// Affine are the numbers of (x − Mean)/Std.
type Affine struct{ Mean, Std []float32 }

const (
	noiseTensor     = "noise"
	prefixNormalize = "normalize."
	prefixScale     = "scale." // of a step of the preparation, as the two below
	prefixColumns   = "columns."
	prefixPrepare   = "prepare."
	prefixGradient  = gradient.SavedPrefix
	prefixHead      = "hidden."
	suffixHead      = ".kernel"
)

// CheckNames refuses params that a detector's file could not keep apart: two of
// one name, or one that is named as something else in the file.
func CheckNames(params []*nn.Param) error {
	seen := make(map[string]bool, len(params))
	for _, p := range params {
		switch {
		case p.Name == "" || seen[p.Name]:
			return fmt.Errorf("the name of a param, %q, is empty or given twice", p.Name)
		case !isWeight(p.Name):
			return fmt.Errorf("a param is called %q: noise, %s…, %s…, %s…, %s…, %s… and %s… are names of other parts of a detector's file",
				p.Name, prefixNormalize, prefixScale, prefixColumns, prefixPrepare, prefixGradient, prefixHead)
		}
		seen[p.Name] = true
	}
	return nil
}

// Tensors lists params, under their own names, and the contents.
func Tensors(params []*nn.Param, c Contents) []safetensors.Named {
	var out []safetensors.Named
	add := func(name string, t *tensor.Tensor) { out = append(out, safetensors.Named{Name: name, Tensor: t}) }
	for _, p := range params {
		add(p.Name, p.Value)
	}
	if c.Noise != nil {
		add(noiseTensor, c.Noise)
	}
	for _, h := range c.Heads {
		add(prefixHead+h.Name+suffixHead, h.Kernel)
	}
	if a := c.Normalize; a != nil {
		add(prefixNormalize+"mean", tensor.From(a.Mean, len(a.Mean)))
		add(prefixNormalize+"std", tensor.From(a.Std, len(a.Std)))
	}
	for _, all := range []map[string]*tensor.Tensor{c.Prepare, c.Gradient} {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			add(name, all[name])
		}
	}
	return out
}

// Tensor is the tensor of that name, nil if there is none.
func (d *Detector) Tensor(name string) *tensor.Tensor {
	i := slices.IndexFunc(d.Tensors, func(n safetensors.Named) bool { return n.Name == name })
	if i < 0 {
		return nil
	}
	return d.Tensors[i].Tensor
}

// Noise is the stored noise, (samples, latent_dim), or nil.
func (d *Detector) Noise() *tensor.Tensor { return d.Tensor(noiseTensor) }

// HeadKernel is the kernel of the head on a hidden layer, or nil.
func (d *Detector) HeadKernel(layer string) *tensor.Tensor {
	return d.Tensor(prefixHead + layer + suffixHead)
}

// Normalize are the numbers of vae.normalize, nil if there are none.
func (d *Detector) Normalize() *Affine { return d.affine(prefixNormalize) }

func (d *Detector) affine(prefix string) *Affine {
	mean, std := d.Tensor(prefix+"mean"), d.Tensor(prefix+"std")
	if mean == nil || std == nil {
		return nil
	}
	return &Affine{mean.Data, std.Data}
}

// Prepare are the tensors that the steps of data learnt, under their full names.
func (d *Detector) Prepare() map[string]*tensor.Tensor {
	return d.prefixed(prefixScale, prefixColumns, prefixPrepare)
}

// Gradient are the tensors of a gradient source, under their full names.
func (d *Detector) Gradient() map[string]*tensor.Tensor { return d.prefixed(prefixGradient) }

func (d *Detector) prefixed(prefixes ...string) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for _, n := range d.Tensors {
		for _, p := range prefixes {
			if strings.HasPrefix(n.Name, p) {
				out[n.Name] = n.Tensor
			}
		}
	}
	return out
}

// Weights are the params' tensors, by name.
func (d *Detector) Weights() map[string]*tensor.Tensor { return Weights(d.Tensors) }

// Weights leaves out what a detector's file holds besides the params.
func Weights(all []safetensors.Named) map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for _, n := range all {
		if isWeight(n.Name) {
			out[n.Name] = n.Tensor
		}
	}
	return out
}

// isWeight reports whether a name is none of those of the other contents.
func isWeight(name string) bool {
	switch part, _, _ := strings.Cut(name, "."); part + "." {
	case noiseTensor + ".", prefixNormalize, prefixScale, prefixColumns, prefixPrepare, prefixGradient, prefixHead:
		return false
	}
	return true
}
