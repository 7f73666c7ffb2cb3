package layers

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/nn"
)

// OutputPadding is the option of that name: rows and columns, each from 0 to
// nn.MaxSide, written null (not given), 1 or [0, 1]. The zero value is not given.
type OutputPadding struct {
	Given bool
	Size  [2]int // rows, columns
}

// DecodeValue implements registry.Decoder.
func (p *OutputPadding) DecodeValue(v any) error {
	*p = OutputPadding{}
	if v == nil {
		return nil
	}
	a, b, ok := sides(v)
	if !ok {
		return fmt.Errorf("want null, a number or [height, width], each 0 to %d; got %v", nn.MaxSide, v)
	}
	*p = OutputPadding{Given: true, Size: [2]int{a, b}}
	return nil
}

// EncodeValue implements registry.Encoder.
func (p OutputPadding) EncodeValue() any {
	switch {
	case !p.Given:
		return nil
	case p.Size[0] == p.Size[1]:
		return p.Size[0]
	}
	return []any{p.Size[0], p.Size[1]}
}

// JSONSchema implements registry.Schemer.
func (OutputPadding) JSONSchema() map[string]any {
	side := map[string]any{"type": "integer", "minimum": 0, "maximum": nn.MaxSide}
	return map[string]any{"oneOf": []any{
		side,
		map[string]any{"type": "array", "items": side, "minItems": 2, "maxItems": 2},
		map[string]any{"type": "null"},
	}}
}
