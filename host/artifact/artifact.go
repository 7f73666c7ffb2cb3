// Package artifact keeps a trained detector on disk: a folder of
//
//	detector.yaml         the resolved spec
//	weights.safetensors   every tensor, the stored noise among them
//	calibration.npy       sorted clean scores, float64; absent without calibration
//	fusion.npy            each score's reference values, float64; absent without fusion
//	classifier/           the weights of a classifier that was trained here, if any
//	meta.json             what it is, and the sha256 of each other file
//
// A folder appears whole or not at all, and what does not verify is refused by
// name. It can be moved as a whole. Nothing in it is ever executed.
package artifact

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/artifact/safetensors"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The names of the files.
const (
	SpecFile        = "detector.yaml"
	WeightsFile     = "weights.safetensors"
	CalibrationFile = "calibration.npy"
	FusionFile      = "fusion.npy"
	MetaFile        = "meta.json"
	ClassifierDir   = "classifier"
)

// runDetector is where a run keeps its detector.
const runDetector = "detector"

// noiseTensor is the name of the stored noise.
const noiseTensor = "noise"

// Detector is a trained detector as it lies on disk.
type Detector struct {
	Spec    []byte // detector.yaml
	Tensors []safetensors.Named
	State   detect.State
	Meta    Meta // Save fills in versions, files and threshold

	// ClassifierDir is, for Save, a folder whose files are copied, and after
	// Load the detector's own; "" if there is none.
	ClassifierDir string

	// Dir and Digest are set by Load: the folder, and the detector's identity,
	// "sha256:…" of meta.json.
	Dir    string
	Digest string
}

// Resolve finds the detector that path means: itself, or the one of a run.
func Resolve(path string) (string, error) {
	for _, dir := range []string{path, filepath.Join(path, runDetector)} {
		if _, err := os.Stat(filepath.Join(dir, MetaFile)); err == nil {
			return dir, nil
		}
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("detector: %w", err)
	}
	return "", fmt.Errorf("detector %s: neither a detector nor a run with one: no %s", path, MetaFile)
}

// Tensors lists what weights.safetensors holds: params under their own names,
// noise (may be nil) and the heads' kernels as hidden.NAME.kernel.
func Tensors(params []*nn.Param, noise *tensor.Tensor, heads []oracle.Head) []safetensors.Named {
	var out []safetensors.Named
	for _, p := range params {
		out = append(out, safetensors.Named{Name: p.Name, Tensor: p.Value})
	}
	if noise != nil {
		out = append(out, safetensors.Named{Name: noiseTensor, Tensor: noise})
	}
	for _, h := range heads {
		out = append(out, safetensors.Named{Name: headTensor(h.Name), Tensor: h.Kernel})
	}
	return out
}

func headTensor(name string) string { return "hidden." + name + ".kernel" }

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
func (d *Detector) HeadKernel(layer string) *tensor.Tensor { return d.Tensor(headTensor(layer)) }

// Weights are the tensors of the networks alone, by name: all but the noise
// and the hidden heads.
func (d *Detector) Weights() map[string]*tensor.Tensor {
	out := map[string]*tensor.Tensor{}
	for _, n := range d.Tensors {
		if n.Name != noiseTensor && !(strings.HasPrefix(n.Name, "hidden.") && strings.HasSuffix(n.Name, ".kernel")) {
			out[n.Name] = n.Tensor
		}
	}
	return out
}

// CheckClassifier refuses another classifier than the detector was made for.
func (d *Detector) CheckClassifier(info sdk.Info) error {
	was := d.Meta.Classifier
	differ := func(what string, want, got any) error {
		return fmt.Errorf("detector %s was made for another classifier: its %s is %v, this one's %v", d.Dir, what, want, got)
	}
	switch {
	case was.Digest != "" && was.Digest != info.Digest:
		return differ("digest", was.Digest, quoteEmpty(info.Digest))
	case was.Classes != info.NumClasses:
		return differ("number of classes", was.Classes, info.NumClasses)
	case was.Output != info.Output.String():
		return differ("output", was.Output, info.Output)
	case was.Digest == "" && (was.Name != info.Name || was.Version != info.Version):
		return differ("name and version", was.Name+" "+was.Version, info.Name+" "+info.Version)
	}
	return nil
}

func quoteEmpty(s string) string {
	if s == "" {
		return "not declared"
	}
	return s
}
