package losses

import (
	"fmt"
	"math"
	"slices"

	"github.com/vaeguard/vaeguard/host/registry"
)

// Covariance is the option cov_elbo, Σ of the Gaussian around a
// reconstruction. Exactly one form is set.
type Covariance struct {
	Form string // sim, cov_diag or cov_full
	// Value is the form's number: the standard deviation of sim, the least
	// standard deviation of cov_diag, the shrinkage of cov_full. 0 for the two
	// last is the form null: nothing is done to what the data gives.
	Value float64
}

// The forms.
const (
	sim     = "sim"
	covDiag = "cov_diag"
	covFull = "cov_full"
)

type form struct {
	name, option string
	value        float64 // default
	max          float64
}

// forms lists what each accepts.
var forms = []form{
	{sim, "", 0.05, math.MaxFloat64},
	{covDiag, "floor", 1e-3, math.MaxFloat64},
	{covFull, "shrinkage", 0.1, 1},
}

// DefaultCovariance is {sim: 0.05}, the reference's.
func DefaultCovariance() Covariance { return Covariance{Form: sim, Value: 0.05} }

var (
	_ registry.Decoder = (*Covariance)(nil)
	_ registry.Encoder = Covariance{}
	_ registry.Schemer = Covariance{}
)

const wantCovariance = "want {sim: 0.05}, {cov_diag: {floor: 0.001}} or {cov_full: {shrinkage: 0.1}}"

// DecodeValue implements registry.Decoder.
func (c *Covariance) DecodeValue(v any) error {
	name, isName := v.(string)
	m, isMap := v.(map[string]any)
	if !isName && len(m) != 1 || isMap && len(m) != 1 {
		return fmt.Errorf("%s", wantCovariance)
	}
	var option any = map[string]any{}
	for k, o := range m {
		name, option = k, o
	}
	i := slices.IndexFunc(forms, func(f form) bool { return f.name == name })
	if i < 0 {
		return fmt.Errorf("unknown form %q; %s", name, wantCovariance)
	}
	f := forms[i]
	out := Covariance{Form: f.name, Value: f.value}
	if sub, ok := option.(map[string]any); ok && f.option != "" {
		option = f.value
		for k, o := range sub {
			if k != f.option {
				return fmt.Errorf("%s: unknown key %q; known: %s", f.name, k, f.option)
			}
			option = o
		}
	} else if ok && len(sub) == 0 {
		option = f.value
	}
	switch o := option.(type) {
	case nil:
		if f.option != "" {
			out.Value = 0
		}
	case int:
		out.Value = float64(o)
	case float64:
		out.Value = o
	default:
		return fmt.Errorf("%s: %s", f.name, wantCovariance)
	}
	if !(out.Value >= 0) || out.Value > f.max || f.option == "" && out.Value == 0 {
		return fmt.Errorf("%s is %v, out of range; %s", f.name, out.Value, wantCovariance)
	}
	*c = out
	return nil
}

// EncodeValue implements registry.Encoder.
func (c Covariance) EncodeValue() any {
	switch {
	case c.Form == "" || c.Form == sim:
		return map[string]any{sim: c.Value}
	case c.Value == 0:
		return map[string]any{c.Form: nil}
	case c.Form == covDiag:
		return map[string]any{covDiag: map[string]any{"floor": c.Value}}
	}
	return map[string]any{covFull: map[string]any{"shrinkage": c.Value}}
}

// JSONSchema implements registry.Schemer.
func (c Covariance) JSONSchema() map[string]any {
	var oneOf []any
	for _, f := range forms {
		var value any = map[string]any{"type": []any{"number", "null"}, "exclusiveMinimum": 0}
		if f.option != "" {
			number := map[string]any{"type": []any{"number", "null"}, "minimum": 0}
			if f.max == 1 {
				number["maximum"] = 1
			}
			value = map[string]any{"type": []any{"object", "null"}, "additionalProperties": false,
				"properties": map[string]any{f.option: number}}
		}
		oneOf = append(oneOf, map[string]any{"type": "object", "additionalProperties": false,
			"required": []any{f.name}, "properties": map[string]any{f.name: value}})
	}
	return map[string]any{"oneOf": oneOf}
}
