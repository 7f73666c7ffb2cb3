package layers_test

import (
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/nn/nntest"
	"github.com/vaeguard/vaeguard/host/spec"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// cases are layers as a user writes them, and the shape that comes of an input.
var cases = []struct {
	json    string
	in, out tensor.Shape
}{
	{`{"dense": {"units": 3}}`, tensor.Shape{7}, tensor.Shape{3}},
	{`{"dense": {"units": 4, "activation": "gelu", "use_bias": false}}`, tensor.Shape{3, 5}, tensor.Shape{3, 4}},
	{`{"dense": {"units": 5, "activation": "softmax"}}`, tensor.Shape{6}, tensor.Shape{5}},
	{`{"conv2d": {"filters": 4, "kernel_size": 3, "activation": "tanh"}}`, tensor.Shape{6, 5, 2}, tensor.Shape{4, 3, 4}},
	{`{"conv2d": {"filters": 3, "kernel_size": [4, 3], "strides": 2, "padding": "same", "activation": "silu"}}`, tensor.Shape{5, 6, 2}, tensor.Shape{3, 3, 3}},
	{`{"conv2d": {"filters": 3, "kernel_size": 2, "strides": [2, 3], "padding": "same"}}`, tensor.Shape{7, 7, 1}, tensor.Shape{4, 3, 3}},
	{`{"conv2d": {"filters": 3, "kernel_size": 1, "strides": 2, "use_bias": false}}`, tensor.Shape{5, 5, 3}, tensor.Shape{3, 3, 3}},
	{`{"conv2d_transpose": {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "activation": "sigmoid"}}`, tensor.Shape{3, 4, 2}, tensor.Shape{6, 8, 3}},
	{`{"conv2d_transpose": {"filters": 2, "kernel_size": 4, "strides": 2}}`, tensor.Shape{3, 3, 3}, tensor.Shape{8, 8, 2}},
	{`{"conv2d_transpose": {"filters": 2, "kernel_size": [1, 3], "strides": [3, 1]}}`, tensor.Shape{2, 3, 2}, tensor.Shape{6, 5, 2}},
	{`{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "padding": "same"}}`, tensor.Shape{4, 4, 2}, tensor.Shape{4, 4, 1}},
	{`{"depthwise_conv2d": {"kernel_size": 3, "padding": "same", "activation": "elu"}}`, tensor.Shape{4, 5, 3}, tensor.Shape{4, 5, 3}},
	{`{"depthwise_conv2d": {"kernel_size": [2, 3], "depth_multiplier": 2, "strides": 2}}`, tensor.Shape{6, 7, 2}, tensor.Shape{3, 3, 4}},
	{`"max_pooling2d"`, tensor.Shape{5, 4, 2}, tensor.Shape{2, 2, 2}},
	{`{"max_pooling2d": {"pool_size": 3, "strides": 2, "padding": "same"}}`, tensor.Shape{5, 4, 2}, tensor.Shape{3, 2, 2}},
	{`{"average_pooling2d": {"pool_size": [3, 2], "strides": 1, "padding": "same"}}`, tensor.Shape{4, 4, 2}, tensor.Shape{4, 4, 2}},
	{`"average_pooling2d"`, tensor.Shape{4, 6, 3}, tensor.Shape{2, 3, 3}},
	{`"global_average_pooling2d"`, tensor.Shape{3, 4, 5}, tensor.Shape{5}},
	{`{"global_average_pooling2d": {"keepdims": true}}`, tensor.Shape{3, 4, 2}, tensor.Shape{1, 1, 2}},
	{`"up_sampling2d"`, tensor.Shape{3, 2, 2}, tensor.Shape{6, 4, 2}},
	{`{"up_sampling2d": {"size": [2, 3], "interpolation": "bilinear"}}`, tensor.Shape{3, 3, 2}, tensor.Shape{6, 9, 2}},
	{`"zero_padding2d"`, tensor.Shape{2, 3, 2}, tensor.Shape{4, 5, 2}},
	{`{"zero_padding2d": {"padding": [[1, 0], [2, 3]]}}`, tensor.Shape{2, 3, 2}, tensor.Shape{3, 8, 2}},
	{`{"conv2d_transpose": {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same", "output_padding": 0, "activation": "gelu"}}`, tensor.Shape{3, 4, 2}, tensor.Shape{5, 7, 3}},
	{`{"conv2d_transpose": {"filters": 1, "kernel_size": [4, 3], "strides": [2, 3], "padding": "same", "output_padding": [0, 2]}}`, tensor.Shape{4, 3, 2}, tensor.Shape{6, 9, 1}},
	{`{"conv2d_transpose": {"filters": 20, "kernel_size": 2, "strides": 3, "output_padding": [1, 2]}}`, tensor.Shape{2, 3, 2}, tensor.Shape{6, 10, 20}},
	{`{"conv2d_transpose": {"filters": 2, "kernel_size": 1, "strides": 4, "padding": "same", "output_padding": 3}}`, tensor.Shape{2, 2, 2}, tensor.Shape{8, 8, 2}},
	{`"cropping2d"`, tensor.Shape{2, 3, 2}, tensor.Shape{2, 3, 2}},
	{`{"cropping2d": {"cropping": 1}}`, tensor.Shape{4, 3, 2}, tensor.Shape{2, 1, 2}},
	{`{"cropping2d": {"cropping": [[0, 1], [2, 1]]}}`, tensor.Shape{4, 5, 2}, tensor.Shape{3, 2, 2}},
	{`{"resizing": {"height": 5, "width": 3}}`, tensor.Shape{3, 4, 2}, tensor.Shape{5, 3, 2}},
	{`{"resizing": {"height": 7, "width": 2, "interpolation": "nearest"}}`, tensor.Shape{3, 5, 2}, tensor.Shape{7, 2, 2}},
	{`{"resizing": {"height": 4, "width": 5, "interpolation": "area"}}`, tensor.Shape{6, 3, 2}, tensor.Shape{4, 5, 2}},
	{`{"resizing": {"height": 5, "width": 4, "interpolation": "bicubic", "crop_to_aspect_ratio": true}}`, tensor.Shape{4, 7, 1}, tensor.Shape{5, 4, 1}},
	{`{"resizing": {"height": 6, "width": 5, "interpolation": "lanczos3"}}`, tensor.Shape{4, 4, 1}, tensor.Shape{6, 5, 1}},
	{`{"resizing": {"height": 9, "width": 3, "interpolation": "lanczos5"}}`, tensor.Shape{4, 6, 1}, tensor.Shape{9, 3, 1}},
	{`"flatten"`, tensor.Shape{2, 3, 2}, tensor.Shape{12}},
	{`{"reshape": {"target_shape": [2, -1]}}`, tensor.Shape{3, 4}, tensor.Shape{2, 6}},
	{`{"dropout": {"rate": 0.4}}`, tensor.Shape{3, 4}, tensor.Shape{3, 4}},
	{`"batch_normalization"`, tensor.Shape{3, 3, 2}, tensor.Shape{3, 3, 2}},
	{`{"batch_normalization": {"scale": false, "center": false}}`, tensor.Shape{4}, tensor.Shape{4}},
	{`"layer_normalization"`, tensor.Shape{3, 8}, tensor.Shape{3, 8}},
	{`{"layer_normalization": {"scale": false}}`, tensor.Shape{9}, tensor.Shape{9}},
	{`{"gaussian_noise": {"stddev": 0.1}}`, tensor.Shape{6}, tensor.Shape{6}},
	{`{"rescaling": {"scale": 0.5, "offset": -1}}`, tensor.Shape{2, 3}, tensor.Shape{2, 3}},
	{`{"activation": {"activation": "relu"}}`, tensor.Shape{6}, tensor.Shape{6}},
	{`{"activation": {"activation": "selu"}}`, tensor.Shape{6}, tensor.Shape{6}},
	{`{"activation": {"activation": "softplus"}}`, tensor.Shape{6}, tensor.Shape{6}},
	{`{"activation": {"activation": "leaky_relu"}}`, tensor.Shape{6}, tensor.Shape{6}},
	{`{"activation": {"activation": {"elu": {"alpha": 0.5}}}}`, tensor.Shape{6}, tensor.Shape{6}},
	{`"leaky_relu"`, tensor.Shape{5}, tensor.Shape{5}},
	{`{"residual": {"layers": [{"dense": {"units": 4, "activation": "tanh"}}, {"activation": {"activation": "silu"}}], "activation": "gelu"}}`, tensor.Shape{4}, tensor.Shape{4}},
	{`{"residual": {"layers": [{"leaky_relu": {}}]}}`, tensor.Shape{4}, tensor.Shape{4}},
	{`{"residual": {"layers": [{"dense": {"units": 3}}], "shortcut": "projection"}}`, tensor.Shape{4}, tensor.Shape{3}},
	{`{"residual": {"layers": [{"conv2d": {"filters": 3, "kernel_size": 3, "strides": 2, "padding": "same"}}, "batch_normalization"], "shortcut": "projection", "activation": "tanh"}}`, tensor.Shape{5, 4, 2}, tensor.Shape{3, 2, 3}},
}

func decode(t *testing.T, list string) []nn.Maker {
	t.Helper()
	var dst struct {
		Layers []nn.Maker `yaml:"layers"`
	}
	if err := spec.DecodeJSON([]byte(`{"layers": `+list+`}`), &dst, layers.Table()); err != nil {
		t.Fatal(err)
	}
	return dst.Layers
}

func TestConformance(t *testing.T) {
	covered := map[string]bool{}
	for _, c := range cases {
		t.Run(c.json, func(t *testing.T) {
			m := decode(t, "["+c.json+"]")
			seq, err := nn.Build(m, c.in, nn.FreshRand(1))
			if err != nil {
				t.Fatal(err)
			}
			if !seq.Out().Equal(c.out) {
				t.Fatalf("%v becomes %v, want %v", c.in, seq.Out(), c.out)
			}
			for _, info := range nn.Describe(seq) {
				covered[info.Kind] = true
			}
			nntest.Run(t, m[0], c.in)
		})
	}
	for _, name := range layers.Table().Names() {
		if !covered[name] {
			t.Errorf("no case for layer %s", name)
		}
	}
}

func TestMakeErrors(t *testing.T) {
	for _, c := range []struct {
		json string
		in   tensor.Shape
		want string
	}{
		{`[{"reshape": {"target_shape": [7, 7, 32]}}]`, tensor.Shape{784}, "layer 0: reshape: 784 elements cannot become 7×7×32 = 1568"},
		{`["flatten", {"conv2d": {"filters": 1, "kernel_size": 3}}]`, tensor.Shape{4, 4, 1}, "layer 1: conv2d: input is 16, want height×width×channels"},
		{`[{"conv2d": {"filters": 1, "kernel_size": 5}}]`, tensor.Shape{4, 4, 1}, "layer 0: conv2d: input is 4×4×1: window 5 is larger than the input 4"},
		{`[{"cropping2d": {"cropping": [[1, 2], [0, 0]]}}]`, tensor.Shape{3, 4, 1}, "layer 0: cropping2d: input is 3×4×1: nothing is left of it without 3 rows and 0 columns"},
		{`[{"conv2d_transpose": {"filters": 1, "kernel_size": 2, "strides": 2, "padding": "same", "output_padding": 0}}]`, tensor.Shape{1, 4, 1},
			"layer 0: conv2d_transpose: input is 1×4×1: nothing is left of it with output_padding 0"},
		{`["flatten", {"resizing": {"height": 2, "width": 2}}]`, tensor.Shape{4, 4, 1}, "layer 1: resizing: input is 16, want height×width×channels"},
		{`[{"resizing": {"height": 60000, "width": 60000}}]`, tensor.Shape{4, 4, 1}, "is no shape of at most"},
		{`[{"resizing": {"height": 1, "width": 60000}}]`, tensor.Shape{60000, 4, 1}, "is no shape of at most"},
		{`[{"residual": {"layers": [{"dense": {"units": 3}}]}}]`, tensor.Shape{4}, "identity shortcut wants equal shapes"},
		{`["flatten", {"residual": {"layers": ["flatten", "up_sampling2d"]}}]`, tensor.Shape{4}, "layer 1 1: up_sampling2d"},
	} {
		_, err := nn.Build(decode(t, c.json), c.in, nn.FreshRand(1))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s on %v: %v, want %q", c.json, c.in, err, c.want)
		}
	}
}

// TestOptionErrors asks for options that no shape makes right.
func TestOptionErrors(t *testing.T) {
	for json, want := range map[string]string{
		`{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "strides": 2, "output_padding": 2}}`:           "output_padding is 2, want less than strides, which is 2",
		`{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "strides": [3, 1], "output_padding": [2, 1]}}`: "output_padding is [2 1], want less than strides, which is [3 1]",
		`{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "output_padding": -1}}`:                        "want null, a number or [height, width], each 0 to 65536; got -1",
		`{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "output_padding": [0, 0, 0]}}`:                 "want null, a number or [height, width], each 0 to 65536; got [0 0 0]",
		`{"cropping2d": {"cropping": [[1, 2], [3]]}}`:                                                         "want a number, [height, width] or [[top, bottom], [left, right]]",
		`{"resizing": {"height": 2, "width": 2, "interpolation": "cubic"}}`:                                   "bicubic",
		`{"resizing": {"height": 2}}`: `missing key "width"`,
	} {
		var dst struct {
			Layers []nn.Maker `yaml:"layers"`
		}
		err := spec.DecodeJSON([]byte(`{"layers": [`+json+`]}`), &dst, layers.Table())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", json, err, want)
		}
	}
	decode(t, `[{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "output_padding": null}}]`)
}

func TestParamNames(t *testing.T) {
	seq, err := nn.Build(decode(t, `["flatten", {"residual": {"layers": [{"dense": {"units": 3}}, "batch_normalization"], "shortcut": "projection"}}]`), tensor.Shape{2, 2}, nn.FreshRand(1))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range seq.Params() {
		names = append(names, p.Name)
	}
	want := "1.layers.0.kernel 1.layers.0.bias 1.layers.1.gamma 1.layers.1.beta 1.layers.1.moving_mean 1.layers.1.moving_variance 1.shortcut.kernel 1.shortcut.bias"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("params %s, want %s", got, want)
	}
}
