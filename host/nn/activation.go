package nn

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Activation is the option that names an element-wise function, or softmax
// over the last dimension: relu, or {leaky_relu: {negative_slope: 0.1}}, or
// {elu: {alpha: 0.5}}. Definitions and defaults are Keras 3's. The zero
// Activation is linear.
type Activation struct {
	Name  string
	Alpha float64 // slope of leaky_relu, default 0.2; α of elu, default 1
}

// activations lists the names with their kernel; softmax has none.
var activations = []struct {
	name  string
	kind  kernel.ActKind
	param string
	alpha float64
}{
	{"linear", kernel.Linear, "", 0},
	{"relu", kernel.ReLU, "", 0},
	{"leaky_relu", kernel.LeakyReLU, "negative_slope", 0.2},
	{"elu", kernel.ELU, "alpha", 1},
	{"selu", kernel.SELU, "", 0},
	{"gelu", kernel.GELU, "", 0},
	{"silu", kernel.SiLU, "", 0},
	{"softplus", kernel.Softplus, "", 0},
	{"tanh", kernel.Tanh, "", 0},
	{"sigmoid", kernel.Sigmoid, "", 0},
	{softmax, kernel.Linear, "", 0},
}

const softmax = "softmax"

// ActivationNames are the names of all activations.
func ActivationNames() []string {
	names := make([]string, len(activations))
	for i, a := range activations {
		names[i] = a.name
	}
	return names
}

// NewActivation is the activation of that name with its defaults.
func NewActivation(name string) (Activation, error) {
	for _, a := range activations {
		if a.name == name {
			return Activation{Name: name, Alpha: a.alpha}, nil
		}
	}
	return Activation{}, fmt.Errorf("unknown activation %q; known: %s", name, strings.Join(ActivationNames(), ", "))
}

// DecodeValue implements registry.Decoder.
func (a *Activation) DecodeValue(v any) error {
	name, options := "", map[string]any(nil)
	switch v := v.(type) {
	case nil:
		name = "linear"
	case string:
		name = v
	case map[string]any:
		if len(v) != 1 {
			return fmt.Errorf("want one activation, got %d keys", len(v))
		}
		for k, o := range v {
			name = k
			if options, _ = o.(map[string]any); options == nil && o != nil {
				return fmt.Errorf("%s: want a mapping of options, got %v", k, o)
			}
		}
	default:
		return fmt.Errorf("want the name of an activation, got %v", v)
	}
	out, err := NewActivation(name)
	if err != nil {
		return err
	}
	param := out.param()
	for k, o := range options {
		if k != param || param == "" {
			return fmt.Errorf("%s: unknown key %q", name, k)
		}
		switch o := o.(type) {
		case int:
			out.Alpha = float64(o)
		case float64:
			out.Alpha = o
		default:
			return fmt.Errorf("%s: %s: want a number, got %v", name, k, o)
		}
	}
	*a = out
	return nil
}

func (a Activation) param() string {
	for _, b := range activations {
		if b.name == a.Name {
			return b.param
		}
	}
	return ""
}

// EncodeValue implements registry.Encoder.
func (a Activation) EncodeValue() any {
	if a.Name == "" {
		return "linear"
	}
	if def, err := NewActivation(a.Name); err == nil && def == a {
		return a.Name
	}
	return map[string]any{a.Name: map[string]any{a.param(): a.Alpha}}
}

// JSONSchema implements registry.Schemer.
func (Activation) JSONSchema() map[string]any {
	number := func(key string) map[string]any {
		return map[string]any{
			"type":                 "object",
			"additionalProperties": false,
			"properties":           map[string]any{key: map[string]any{"type": "number"}},
		}
	}
	return map[string]any{"oneOf": []any{
		map[string]any{"enum": slices.Clone(ActivationNames())},
		map[string]any{
			"type": "object", "additionalProperties": false, "minProperties": 1, "maxProperties": 1,
			"properties": map[string]any{"leaky_relu": number("negative_slope"), "elu": number("alpha")},
		},
	}}
}

// Act is the kernel's form: what can be fused into a product. Softmax cannot;
// its Act is linear.
func (a Activation) Act() kernel.Act {
	for _, b := range activations {
		if b.name == a.Name {
			return kernel.Act{Kind: b.kind, Alpha: float32(a.Alpha)}
		}
	}
	return kernel.Act{}
}

// Softmax reports whether the activation is softmax.
func (a Activation) Softmax() bool { return a.Name == softmax }

// Finish applies in place what a fused Act left undone.
func (a Activation) Finish(k *kernel.Engine, y *tensor.Tensor) {
	if a.Softmax() {
		k.Softmax(y.Data, y.Data, lastOf(y.Shape))
	}
}

// Apply computes y = a(x), of equal shape. y may be x.
func (a Activation) Apply(k *kernel.Engine, y, x *tensor.Tensor) {
	if a.Softmax() {
		k.Softmax(y.Data, x.Data, lastOf(x.Shape))
		return
	}
	k.Activate(y.Data, x.Data, a.Act())
}

// Grad turns dy, the gradient at y = a(x), into the one at x, in place. x may
// be nil unless NeedsInput.
func (a Activation) Grad(k *kernel.Engine, dy, x, y *tensor.Tensor) {
	switch {
	case a.Softmax():
		k.SoftmaxGrad(dy.Data, dy.Data, y.Data, lastOf(y.Shape))
	case a.Act().Kind != kernel.Linear:
		var pre []float32
		if x != nil {
			pre = x.Data
		}
		k.ActivateGrad(dy.Data, dy.Data, pre, y.Data, a.Act())
	}
}

// NeedsInput reports whether Grad needs x.
func (a Activation) NeedsInput() bool { return a.Act().NeedsInput() }

func lastOf(s tensor.Shape) int { return s[len(s)-1] }
