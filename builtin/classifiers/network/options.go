package network

import (
	"errors"
	"fmt"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Options are the settings that every kind of network has.
type Options struct {
	Weights    string `yaml:"weights" format:"path" doc:"a safetensors file with the weights; training continues from there"`
	Scale      string `yaml:"scale" enum:"none|standard" doc:"standard: inputs get zero mean and unit deviation, fitted on the training data, per channel of images, else per feature"`
	Range      Range  `yaml:"range" doc:"legal inputs: [lowest, highest], each a number or one per feature"`
	InputShape []int  `yaml:"input_shape" check:">= 1" doc:"shape of one example; default: the data's"`
	Classes    int    `yaml:"classes" check:">= 0" doc:"number of classes; 0: the data's"`
}

// Range are the legal inputs, one number or one per feature; empty: unknown.
type Range struct{ Lo, Hi []float32 }

// DecodeValue implements registry.Decoder.
func (r *Range) DecodeValue(v any) error {
	if v == nil {
		*r = Range{}
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) != 2 {
		return errors.New("want [lowest, highest]")
	}
	var out Range
	var err error
	if out.Lo, err = numbers(list[0]); err != nil {
		return err
	}
	if out.Hi, err = numbers(list[1]); err != nil {
		return err
	}
	if len(out.Lo) != len(out.Hi) {
		return fmt.Errorf("%d lowest and %d highest numbers", len(out.Lo), len(out.Hi))
	}
	for i, lo := range out.Lo {
		if !(lo < out.Hi[i]) {
			return fmt.Errorf("[%v, %v] is empty", lo, out.Hi[i])
		}
	}
	*r = out
	return nil
}

func numbers(v any) ([]float32, error) {
	switch v := v.(type) {
	case int:
		return []float32{float32(v)}, nil
	case float64:
		return []float32{float32(v)}, nil
	case []any:
		var out []float32
		for _, e := range v {
			one, err := numbers(e)
			if err != nil || len(one) != 1 {
				return nil, fmt.Errorf("want numbers, got %v", e)
			}
			out = append(out, one[0])
		}
		if len(out) > 0 {
			return out, nil
		}
	}
	return nil, fmt.Errorf("want a number or a list of them, got %v", v)
}

// EncodeValue implements registry.Encoder.
func (r Range) EncodeValue() any {
	if len(r.Lo) == 0 {
		return nil
	}
	side := func(x []float32) any {
		if len(x) == 1 {
			return float64(x[0])
		}
		out := make([]any, len(x))
		for i, v := range x {
			out[i] = float64(v)
		}
		return out
	}
	return []any{side(r.Lo), side(r.Hi)}
}

// JSONSchema implements registry.Schemer.
func (Range) JSONSchema() map[string]any {
	number := map[string]any{"type": "number"}
	side := map[string]any{"oneOf": []any{number, map[string]any{"type": "array", "items": number, "minItems": 1}}}
	return map[string]any{"type": []any{"array", "null"}, "items": side, "minItems": 2, "maxItems": 2}
}

// Architecture is a kind of network's settings: a struct whose tags package
// spec reads.
type Architecture interface {
	// Shared are the settings that every kind has.
	Shared() Options
	// Makers are the layers before the last, for examples of shape in. The
	// error says which settings do not go together.
	Makers(in tensor.Shape) ([]nn.Maker, error)
}
