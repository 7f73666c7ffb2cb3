// Package preprocess is the way from guard space, where detectors, attacks and
// reports live, to model space, what a classifier's file or server takes: the
// order of the channels, and one affine map a channel. It is applied where the
// host meets the classifier, so that nothing else sees model space, and its
// gradients are exact.
package preprocess

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Values of Section.Channels.
const (
	RGB = "rgb"
	BGR = "bgr"
)

// Section is the spec's section classifier.preprocess: the model is given
// (x·Scale − Mean)/Std for rows x of guard space. Images are (H, W, C) and RGB
// there; Channels and Layout say what the model takes. Numbers of a list are in
// the order of the model's channels, which is the last dimension of other rows:
// the columns of a table. The zero value leaves rows as they are.
type Section struct {
	Scale    Numbers `yaml:"scale" default:"1" doc:"factor: a number, or one per channel of images, else per column"`
	Mean     Numbers `yaml:"mean" default:"0" doc:"subtracted after scale, in the model's units: a number, or one per channel in the model's order (after channels: bgr it is blue, green, red), else per column"`
	Std      Numbers `yaml:"std" default:"1" doc:"divides after mean: a number, or one per channel in the model's order, else per column"`
	Channels string  `yaml:"channels" default:"rgb" enum:"rgb|bgr" doc:"order of the colours that the model takes; the data is RGB"`
	Layout   string  `yaml:"layout" enum:"nhwc|nchw" doc:"order of an image's dimensions that the model takes; absent: what the plugin says of itself (onnx and oip find it out), nhwc where it says nothing. Data is nhwc"`
}

// Numbers is one number for all channels, or one for each.
type Numbers []float64

// DecodeValue implements registry.Decoder.
func (n *Numbers) DecodeValue(v any) error {
	items, many := v.([]any)
	if !many {
		items = []any{v}
	}
	if len(items) == 0 {
		return fmt.Errorf("want a number or a list of them, got an empty list")
	}
	out := make(Numbers, len(items))
	for i, item := range items {
		switch x := item.(type) {
		case int:
			out[i] = float64(x)
		case float64:
			out[i] = x
		default:
			return fmt.Errorf("want a number or a list of them, got %v", v)
		}
	}
	*n = out
	return nil
}

// EncodeValue implements registry.Encoder.
func (n Numbers) EncodeValue() any {
	one := func(x float64) any {
		if x == math.Trunc(x) && math.Abs(x) < 1<<31 {
			return int(x)
		}
		return x
	}
	switch len(n) {
	case 0:
		return nil
	case 1:
		return one(n[0])
	}
	out := make([]any, len(n))
	for i, x := range n {
		out[i] = one(x)
	}
	return out
}

// JSONSchema implements registry.Schemer.
func (Numbers) JSONSchema() map[string]any {
	number := map[string]any{"type": "number"}
	return map[string]any{"oneOf": []any{number, map[string]any{"type": "array", "items": number, "minItems": 1}}}
}

// at is the number of channel c, in float32 as the map computes; def where
// there is none.
func (n Numbers) at(c int, def float32) float32 {
	switch len(n) {
	case 0:
		return def
	case 1:
		return float32(n[0])
	}
	return float32(n[c])
}

// Validate implements registry.Validator. All numbers must be finite in
// float32, those of scale and std not zero.
func (s *Section) Validate() error {
	var faults registry.FieldErrors
	channels := 1
	for _, k := range s.keys() {
		for i, x := range k.n {
			key := k.name
			if len(k.n) > 1 {
				key = fmt.Sprintf("%s[%d]", k.name, i)
			}
			if small := float32(x); math.IsNaN(x) || math.IsInf(float64(small), 0) {
				faults.Add(key, "want a finite number in single precision, got %v", x)
			} else if k.divides && small == 0 {
				faults.Add(key, "must not be 0")
			}
		}
		if len(k.n) > 1 && channels > 1 && len(k.n) != channels {
			faults.Add(k.name, "has %d numbers, the list before has %d", len(k.n), channels)
		}
		channels = max(channels, len(k.n))
	}
	if s.Channels != "" && s.Channels != RGB && s.Channels != BGR {
		faults.Add("channels", "want rgb or bgr, got %q", s.Channels)
	}
	if s.Layout != "" && s.Layout != sdk.NHWC.String() && s.Layout != sdk.NCHW.String() {
		faults.Add("layout", "want nhwc or nchw, got %q", s.Layout)
	}
	return faults.Err()
}

type numbersKey struct {
	name    string
	n       Numbers
	divides bool // 0 cannot be undone
}

func (s *Section) keys() []numbersKey {
	return []numbersKey{{"scale", s.Scale, true}, {"mean", s.Mean, false}, {"std", s.Std, true}}
}

// For is the map for examples of a shape in guard space, (H, W, C) for images;
// nil if it leaves them as they are, and for a nil Section. The error is
// registry.FieldErrors: keys that do not go with the shape, or are wrong by
// themselves.
func (s *Section) For(example tensor.Shape) (*Map, error) {
	if s == nil {
		return nil, nil
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	var faults registry.FieldErrors
	image := len(example) == 3
	what, channels := "column", 1
	if len(example) > 0 {
		channels = example[len(example)-1]
	}
	if image {
		what = "channel"
	}
	for _, k := range s.keys() {
		if len(k.n) > 1 && len(k.n) != channels {
			faults.Add(k.name, "has %d numbers, examples of %v have %d %ss: want one number, or one per %s", len(k.n), example, channels, what, what)
		}
	}
	if s.Layout != "" && !image {
		faults.Add("layout", "is for images, (height, width, channels); examples are %v", example)
	}
	switch {
	case s.Channels == BGR && !image:
		faults.Add("channels", "bgr is for images, (height, width, channels); examples are %v", example)
	case s.Channels == BGR && channels != 3:
		faults.Add("channels", "bgr wants 3 channels, examples of %v have %d", example, channels)
	}
	if err := faults.Err(); err != nil {
		return nil, err
	}
	return s.make(channels), nil
}

// Order is the layout of a model that declares one for examples of a shape, in
// its own order: the section's, where it names one for images.
func (s *Section) Order(declared sdk.Layout, example tensor.Shape) sdk.Layout {
	if s != nil && len(example) == 3 {
		switch s.Layout {
		case sdk.NCHW.String():
			return sdk.NCHW
		case sdk.NHWC.String():
			return sdk.NHWC
		}
	}
	return declared
}

// Told is the shape of the data as a plugin learns it: that of its own rows, but
// for one that has declared itself to be channels first, which knows that data
// is not. declared may be unknown, and data nil.
func (s *Section) Told(data tensor.Shape, declared sdk.Layout) tensor.Shape {
	if declared != sdk.NCHW && s.Order(sdk.NHWC, data) == sdk.NCHW {
		return tensor.Shape{data[2], data[0], data[1]}
	}
	return data
}
