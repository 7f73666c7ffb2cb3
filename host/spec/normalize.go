package spec

import "fmt"

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
