package classifiers

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/cnn"
	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Drafts are how init writes the classifiers, of which the first that fits counts.
func Drafts() []host.ClassifierDraft {
	return []host.ClassifierDraft{
		{Plugin: onnx.Name, Range: "input_range", Endings: []string{".onnx"}, File: "model"},
		{Plugin: oip.Name, Range: "input_range", Schemes: []string{"http", "https", "grpc", "grpcs"}, Server: "url", Model: "model"},
		{Plugin: cnn.Name, Range: "range", Untrained: func(in tensor.Shape) ([]string, bool) {
			const least = 8 // sides that two poolings leave something of
			return []string{"filters: [16, 32]", "hidden: [64]"}, len(in) == 3 && in[0] >= least && in[1] >= least
		}},
		{Plugin: mlp.Name, Range: "range", Untrained: func(tensor.Shape) ([]string, bool) { return []string{"hidden: [64]"}, true }},
	}
}
