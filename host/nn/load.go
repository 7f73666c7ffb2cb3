package nn

import (
	"fmt"
	"strconv"

	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Load copies values into params by name. Every param must be there, with its
// shape; names that the params lack are an error too. After an error no param
// has changed.
func Load(params []*Param, values map[string]*tensor.Tensor) error {
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
