package nn

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Initializer is the option that names how a param starts: Keras 3's names,
// with its default arguments.
type Initializer string

// recipe of an initialiser: a variance scale over a fan, or a fixed spread.
type recipe struct {
	name   Initializer
	mode   string // in, avg: scale/fan; fixed: spread as it is
	spread float64
	draw   draw
}

// draw is the distribution that spread is the measure of.
type draw int

const (
	uniform   draw = iota // in ±spread
	normal                // spread is the standard deviation
	truncated             // normal, cut at ±2 standard deviations
	fixed                 // spread itself
)

var initializers = []recipe{
	{"glorot_uniform", "avg", 1, uniform},
	{"glorot_normal", "avg", 1, truncated},
	{"he_uniform", "in", 2, uniform},
	{"he_normal", "in", 2, truncated},
	{"lecun_uniform", "in", 1, uniform},
	{"lecun_normal", "in", 1, truncated},
	{"random_uniform", "fixed", 0.05, uniform},
	{"random_normal", "fixed", 0.05, normal},
	{"truncated_normal", "fixed", 0.05, truncated},
	{"zeros", "fixed", 0, fixed},
	{"ones", "fixed", 1, fixed},
}

// InitializerNames are the names of all initialisers.
func InitializerNames() []string {
	names := make([]string, len(initializers))
	for i, e := range initializers {
		names[i] = string(e.name)
	}
	return names
}

// DecodeValue implements registry.Decoder.
func (i *Initializer) DecodeValue(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("want the name of an initializer, got %v", v)
	}
	if !slices.Contains(InitializerNames(), s) {
		return fmt.Errorf("unknown initializer %q; known: %s", s, strings.Join(InitializerNames(), ", "))
	}
	*i = Initializer(s)
	return nil
}

// EncodeValue implements registry.Encoder.
func (i Initializer) EncodeValue() any { return string(i) }

// JSONSchema implements registry.Schemer.
func (Initializer) JSONSchema() map[string]any {
	return map[string]any{"enum": InitializerNames()}
}

// truncation is the standard deviation of N(0, 1) cut at ±2.
const truncation = 0.87962566103423978

// New draws a tensor. Fans are Keras's: of a kernel (…, in, out) the inner
// dimensions times in, and times out. An unknown name panics.
func (i Initializer) New(r *rand.Rand, shape ...int) *tensor.Tensor {
	t := tensor.From(kernel.Floats(tensor.Shape(shape).Size()), shape...)
	at := slices.IndexFunc(initializers, func(e recipe) bool { return e.name == i })
	if at < 0 {
		panic("nn: unknown initializer")
	}
	e := initializers[at]
	spread := e.spread
	if e.mode != "fixed" {
		in, out := fans(shape)
		fan := in
		if e.mode == "avg" {
			fan = (in + out) / 2
		}
		spread = math.Sqrt(e.spread / max(fan, 1))
		switch e.draw {
		case uniform:
			spread *= math.Sqrt(3)
		case truncated:
			spread /= truncation
		}
	}
	for j := range t.Data {
		switch e.draw {
		case uniform:
			t.Data[j] = float32(spread * (2*r.Float64() - 1))
		case normal:
			t.Data[j] = float32(spread * r.NormFloat64())
		case truncated:
			v := r.NormFloat64()
			for math.Abs(v) > 2 {
				v = r.NormFloat64()
			}
			t.Data[j] = float32(spread * v)
		default:
			t.Data[j] = float32(spread)
		}
	}
	return t
}

func fans(shape []int) (in, out float64) {
	switch len(shape) {
	case 0:
		return 1, 1
	case 1:
		return float64(shape[0]), float64(shape[0])
	}
	field := 1
	for _, d := range shape[:len(shape)-2] {
		field *= d
	}
	return float64(field * shape[len(shape)-2]), float64(field * shape[len(shape)-1])
}
