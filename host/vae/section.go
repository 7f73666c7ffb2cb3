package vae

import (
	"cmp"
	"fmt"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Section is the spec's section vae: the auto-encoder.
type Section struct {
	LatentDim int        `yaml:"latent_dim" check:">= 0, <= 1048576" doc:"width of the code; of a method whose encoder ends in the code itself it may be absent: 0"`
	Normalize Normalize  `yaml:"normalize" default:"none" doc:"none, standard, minmax, or {mean: […], std: […]}"`
	LogVar    LogVar     `yaml:"log_var" default:"linear" enum:"linear|softplus" doc:"activation of the log-variance head"`
	Encoder   []nn.Maker `yaml:"encoder" kind:"layer" doc:"layers before the two heads"`
	Decoder   []nn.Maker `yaml:"decoder" kind:"layer" doc:"layers from the code to the input's shape"`
	Weights   string     `yaml:"weights" format:"path" doc:"a safetensors file for these layers"`
	From      string     `yaml:"from" format:"path" doc:"a detector whose layers and weights are taken"`
	Layers    string     `yaml:"layers" enum:"|auto" doc:"auto: encoder, decoder and, where it is absent, latent_dim are chosen for the shape of the rows; vae: auto is short for this alone"`
}

const auto = "auto"

// Words implements registry.Worded.
func (*Section) Words() []string { return []string{auto} }

// SetWord implements registry.Worded.
func (s *Section) SetWord(string) { s.Layers = auto }

// Auto reports whether the layers are chosen for the shape of the rows, once it is
// known.
func (s *Section) Auto() bool { return s.Layers == auto }

// Word implements registry.Worded.
func (s *Section) Word() string {
	plain := (s.Normalize.Mode == "" || s.Normalize.Mode == "none") && (s.LogVar == "" || s.LogVar == Linear)
	if s.Auto() && s.LatentDim == 0 && plain {
		return auto
	}
	return ""
}

// With is the section with the layers of another, in place of auto, and with its code
// where s has none.
func (s Section) With(chosen Section) *Section {
	s.Layers, s.LatentDim, s.Encoder, s.Decoder = "", cmp.Or(s.LatentDim, chosen.LatentDim), chosen.Encoder, chosen.Decoder
	return &s
}

// Validate implements registry.Validator.
func (s *Section) Validate() error {
	var faults registry.FieldErrors
	if s.From != "" {
		for _, k := range []struct {
			key   string
			given bool
		}{{"latent_dim", s.LatentDim != 0}, {"encoder", s.Encoder != nil}, {"decoder", s.Decoder != nil}, {"weights", s.Weights != ""}} {
			if k.given {
				faults.Add(k.key, "comes with vae.from; drop one of them")
			}
		}
		if s.Auto() {
			faults.Add("layers", "come with vae.from; drop one of them")
		}
		return faults.Err()
	}
	if s.Auto() {
		for _, k := range []struct {
			key   string
			given bool
		}{{"encoder", s.Encoder != nil}, {"decoder", s.Decoder != nil}, {"weights", s.Weights != ""}} {
			if k.given {
				faults.Add(k.key, "vae.layers chooses the layers; drop one of them")
			}
		}
		return faults.Err()
	}
	if s.Decoder == nil {
		faults.Add("", `missing key "decoder": layers from the code to the input's shape`)
	}
	return faults.Err()
}

// Normalize is vae.normalize. Mode is none (also ""), standard, minmax or
// given; Mean and Std are set for given alone.
type Normalize struct {
	Mode      string
	Mean, Std []float64
}

// DecodeValue implements registry.Decoder.
func (n *Normalize) DecodeValue(v any) error {
	switch v := v.(type) {
	case string:
		switch v {
		case "none", "standard", "minmax":
			*n = Normalize{Mode: v}
			return nil
		}
		return fmt.Errorf("unknown normalization %q; want none, standard, minmax or {mean: […], std: […]}", v)
	case map[string]any:
		mean, err := floats(v["mean"])
		if err != nil {
			return fmt.Errorf("mean: %w", err)
		}
		std, err := floats(v["std"])
		if err != nil {
			return fmt.Errorf("std: %w", err)
		}
		if len(v) != 2 || len(mean) == 0 || len(mean) != len(std) {
			return fmt.Errorf("want {mean: […], std: […]} of equal length")
		}
		for _, s := range std {
			if s <= 0 {
				return fmt.Errorf("std: %g is not positive", s)
			}
		}
		*n = Normalize{Mode: "given", Mean: mean, Std: std}
		return nil
	}
	return fmt.Errorf("want none, standard, minmax or {mean: […], std: […]}")
}

// EncodeValue implements registry.Encoder.
func (n Normalize) EncodeValue() any {
	if n.Mode == "given" {
		return map[string]any{"mean": n.Mean, "std": n.Std}
	}
	return n.Mode
}

func floats(v any) ([]float64, error) {
	list, ok := v.([]any)
	if !ok {
		list = []any{v}
	}
	out := make([]float64, len(list))
	for i, e := range list {
		switch e := e.(type) {
		case int:
			out[i] = float64(e)
		case float64:
			out[i] = e
		default:
			return nil, fmt.Errorf("want numbers, got %v", e)
		}
	}
	return out, nil
}

// Make is the Normalizer that the setting stands for, nil for none. rows gives
// the training rows where it is fitted on them; a fitted one has the precision
// of a detector's file, so that it has the same bits when it is read again.
func (n Normalize) Make(in tensor.Shape, rows func() (dataset.Examples, error)) (*Normalizer, error) {
	switch n.Mode {
	case "", "none":
		return nil, nil
	case "given":
		return NewNormalizer(n.Mean, n.Std, in)
	}
	x, err := rows()
	if err != nil {
		return nil, err
	}
	fitted, err := FitNormalizer(n.Mode, x)
	if err != nil {
		return nil, err
	}
	mean, std := fitted.Float32()
	return RestoreNormalizer(mean, std, in)
}

// Float32 is mean and deviation as a detector's file has them.
func (n *Normalizer) Float32() (mean, std []float32) { return float32s(n.Mean), float32s(n.Std) }

// RestoreNormalizer is NewNormalizer from numbers of a file.
func RestoreNormalizer(mean, std []float32, in tensor.Shape) (*Normalizer, error) {
	return NewNormalizer(float64s(mean), float64s(std), in)
}

func float64s(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

func float32s(v []float64) []float32 {
	out := make([]float32, len(v))
	for i, x := range v {
		out[i] = float32(x)
	}
	return out
}
