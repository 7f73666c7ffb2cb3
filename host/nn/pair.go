package nn

import "fmt"

// Pair is an option with a number for height and one for width, each from 1
// to MaxSide, written 3 or [3, 5]. The zero Pair is an option that was not given.
type Pair [2]int

// DecodeValue implements registry.Decoder.
func (p *Pair) DecodeValue(v any) error {
	switch v := v.(type) {
	case int:
		*p = Pair{v, v}
	case []any:
		if len(v) != 2 {
			return fmt.Errorf("want a number or [height, width], got a list of %d", len(v))
		}
		for i := range v {
			n, ok := v[i].(int)
			if !ok {
				return fmt.Errorf("want a number or [height, width], got %v", v)
			}
			p[i] = n
		}
	default:
		return fmt.Errorf("want a number or [height, width], got %v", v)
	}
	if min(p[0], p[1]) < 1 || max(p[0], p[1]) > MaxSide {
		return fmt.Errorf("want 1 to %d, got %v", MaxSide, v)
	}
	return nil
}

// EncodeValue implements registry.Encoder.
func (p Pair) EncodeValue() any {
	switch {
	case p == Pair{}:
		return nil
	case p[0] == p[1]:
		return p[0]
	}
	return []any{p[0], p[1]}
}

// JSONSchema implements registry.Schemer.
func (Pair) JSONSchema() map[string]any {
	side := map[string]any{"type": "integer", "minimum": 1, "maximum": MaxSide}
	return map[string]any{"oneOf": []any{
		side,
		map[string]any{"type": "array", "items": side, "minItems": 2, "maxItems": 2},
	}}
}

// Or is p, or q if p was not given.
func (p Pair) Or(q Pair) Pair {
	if p == (Pair{}) {
		return q
	}
	return p
}
