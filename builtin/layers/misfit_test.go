package layers_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// TestMisfit reads the errors of decoders that do not end in the classifier's
// shape, and does what they say.
func TestMisfit(t *testing.T) {
	const (
		start     = `{"dense": {"units": 196}}, {"reshape": {"target_shape": [7, 7, 4]}}, `
		same      = `{"conv2d_transpose": {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"}}, `
		last      = `{"conv2d_transpose": {"filters": 1, "kernel_size": 3, "strides": 2, "padding": "same"}}`
		even      = `{"conv2d_transpose": {"filters": 1, "kernel_size": 4, "strides": 2, "padding": "same"}}`
		valid     = `{"conv2d_transpose": {"filters": 1, "kernel_size": 5, "strides": [2, 3], "output_padding": 1}}`
		keepsSize = `, "batch_normalization", {"activation": {"activation": "sigmoid"}}`
	)
	for _, c := range []struct {
		name, decoder string
		want          tensor.Shape
		message       string
	}{
		{"both layers overshoot", start + same + last, tensor.Shape{25, 25, 1},
			"vae.decoder layer 3: conv2d_transpose ends as 28×28×1, the classifier takes 25×25×1: " +
				"set vae.decoder[2].conv2d_transpose.output_padding: 0 and vae.decoder[3].conv2d_transpose.output_padding: 0, " +
				"or append cropping2d: {cropping: [[1, 2], [1, 2]]}"},
		{"the last layer overshoots", start + same + last, tensor.Shape{27, 27, 1},
			"set vae.decoder[3].conv2d_transpose.output_padding: 0, or append cropping2d: {cropping: [[0, 1], [0, 1]]}"},
		{"one side", start + same + last, tensor.Shape{28, 27, 1},
			"set vae.decoder[3].conv2d_transpose.output_padding: [1, 0], or append cropping2d: {cropping: [[0, 0], [0, 1]]}"},
		{"even kernel", start + same + even, tensor.Shape{27, 27, 1},
			"set vae.decoder[3].conv2d_transpose.output_padding: 1, or append cropping2d: {cropping: [[0, 1], [0, 1]]}"},
		{"layers that keep the shape", start + same + last + keepsSize, tensor.Shape{27, 28, 1},
			"vae.decoder layer 5: activation ends as 28×28×1, the classifier takes 27×28×1: " +
				"set vae.decoder[3].conv2d_transpose.output_padding: [0, 1], or append cropping2d: {cropping: [[0, 1], [0, 0]]}"},
		{"falls short", start + same + last, tensor.Shape{31, 31, 1},
			"set vae.decoder[0].dense.units: 256 and vae.decoder[1].reshape.target_shape: [8, 8, 4] and vae.decoder[3].conv2d_transpose.output_padding: 0, " +
				"or append resizing: {height: 31, width: 31}"},
		{"valid, given already", start + valid, tensor.Shape{17, 25, 1},
			"ends as 18×24×1, the classifier takes 17×25×1: set vae.decoder[2].conv2d_transpose.output_padding: [0, 2], or append resizing: {height: 17, width: 25}"},
		{"channels", start + same + last, tensor.Shape{28, 28, 3},
			"set vae.decoder[3].conv2d_transpose.filters: 3, or append conv2d: {filters: 3, kernel_size: 1}"},
		{"channels and a side", start + same + last + keepsSize, tensor.Shape{28, 27, 3},
			"set vae.decoder[3].conv2d_transpose.filters: 3 and vae.decoder[3].conv2d_transpose.output_padding: [1, 0], " +
				"or append cropping2d: {cropping: [[0, 0], [0, 1]]} and conv2d: {filters: 3, kernel_size: 1}"},
		{"conv2d", start + same + `"up_sampling2d", {"conv2d": {"filters": 2, "kernel_size": 3, "padding": "same"}}`, tensor.Shape{26, 26, 1},
			"ends as 28×28×2, the classifier takes 26×26×1: set vae.decoder[2].conv2d_transpose.output_padding: 0 and vae.decoder[4].conv2d.filters: 1, " +
				"or append cropping2d: {cropping: [[1, 1], [1, 1]]} and conv2d: {filters: 1, kernel_size: 1}"},
		{"valid conv2d", start + same + `{"conv2d": {"filters": 1, "kernel_size": 3}}`, tensor.Shape{11, 12, 1},
			"set vae.decoder[2].conv2d_transpose.output_padding: [0, 1], or append cropping2d: {cropping: [[0, 1], [0, 0]]}"},
		{"cropping2d", start + same + last + `, {"cropping2d": {"cropping": 1}}`, tensor.Shape{24, 23, 1},
			"set vae.decoder[4].cropping2d.cropping: [[2, 2], [2, 3]], or append cropping2d: {cropping: [[1, 1], [1, 2]]}"},
		{"zero_padding2d", start + same + `"zero_padding2d"`, tensor.Shape{15, 16, 4},
			"set vae.decoder[2].conv2d_transpose.output_padding: [0, 1], or append"},
		{"resizing", start + `{"resizing": {"height": 9, "width": 10}}`, tensor.Shape{9, 9, 4},
			"set vae.decoder[2].resizing.width: 9, or append cropping2d: {cropping: [[0, 0], [0, 1]]}"},
		{"flat", `{"dense": {"units": 8}}, {"dense": {"units": 5}}`, tensor.Shape{4},
			"vae.decoder layer 1: dense ends as 5, the classifier takes 4: set vae.decoder[1].dense.units: 4, or append dense: {units: 4}"},
		{"flat for an image", `{"dense": {"units": 24}}`, tensor.Shape{4, 6, 1},
			"ends as 24, the classifier takes 4×6×1: append reshape: {target_shape: [4, 6, 1]}"},
		{"too flat for an image", `{"dense": {"units": 8}}`, tensor.Shape{4, 6, 1},
			"append dense: {units: 24} and reshape: {target_shape: [4, 6, 1]}"},
		{"reshape", `{"dense": {"units": 24}}, {"reshape": {"target_shape": [6, 4, 1]}}`, tensor.Shape{4, 6, 1},
			"set vae.decoder[1].reshape.target_shape: [4, 6, 1], or append resizing: {height: 4, width: 6}"},
		{"reshape of too few", `{"dense": {"units": 24}}, {"reshape": {"target_shape": [6, 4, 1]}}`, tensor.Shape{5, 5, 1},
			"set vae.decoder[0].dense.units: 25 and vae.decoder[1].reshape.target_shape: [5, 5, 1], or append resizing: {height: 5, width: 5}"},
		{"an image for flat", start + last, tensor.Shape{196},
			"append reshape: {target_shape: [196]}"},
		{"too large an image for flat", start + last, tensor.Shape{30},
			"append flatten and dense: {units: 30}"},
		{"residual", start + `{"residual": {"layers": [{"conv2d": {"filters": 4, "kernel_size": 3, "padding": "same"}}]}}`, tensor.Shape{7, 7, 3},
			"residual ends as 7×7×4, the classifier takes 7×7×3: append conv2d: {filters: 3, kernel_size: 1}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := decode(t, "["+c.decoder+"]")
			_, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 2, Decoder: m}, Input: c.want, Bridge: layers.Bridge}, 1)
			var part *vae.PartError
			var layer *nn.LayerError
			if !errors.As(err, &part) || !errors.As(err, &layer) || part.Part != "vae.decoder" || layer.Path[0] != len(m)-1 {
				t.Fatalf("error %v stands elsewhere than at the last layer of vae.decoder", err)
			}
			if !strings.Contains(err.Error(), c.message) {
				t.Fatalf("error %v, want %q in it", err, c.message)
			}
			_, cure, _ := strings.Cut(err.Error(), "classifier takes")
			set, add, _ := strings.Cut(cure, "append ")
			builds(t, "["+c.decoder+", "+appended(add)+"]", c.want)
			if strings.Contains(set, "set ") {
				builds(t, changed(t, c.decoder, set), c.want)
			}
		})
	}
}

// TestToward makes every layer with what it says leads to another shape.
func TestToward(t *testing.T) {
	tried := map[string]int{}
	for _, c := range cases {
		seq, err := nn.Build(decode(t, "["+c.json+"]"), c.in, nn.FreshRand(1))
		if err != nil {
			t.Fatal(err)
		}
		l, ok := seq.Layers()[0].(nn.Adjustable)
		if !ok {
			continue
		}
		for d := range c.out {
			for _, by := range []int{-3, -2, -1, 1, 2, 3, 4} {
				want := c.out.Clone()
				if want[d] += by; want[d] < 1 {
					continue
				}
				for _, a := range l.Toward(want) {
					var options []string
					for _, o := range a.Options {
						options = append(options, "vae.decoder[0]."+nn.Describe(seq)[0].Kind+"."+o)
					}
					text := changed(t, c.json, strings.Join(options, " and "))
					got, err := nn.Build(decode(t, text), a.In, nn.FreshRand(1))
					if err != nil || !got.Out().Equal(want) {
						t.Errorf("%s on %v: %v, want %v as Toward says", text, a.In, err, want)
					}
					tried[nn.Describe(seq)[0].Kind]++
				}
			}
		}
	}
	for _, name := range []string{"dense", "conv2d", "conv2d_transpose", "up_sampling2d", "zero_padding2d", "cropping2d", "resizing"} {
		if tried[name] == 0 {
			t.Errorf("no way of %s to another shape was tried", name)
		}
	}
}

// builds checks that a decoder ends in a shape.
func builds(t *testing.T, decoder string, want tensor.Shape) {
	t.Helper()
	if _, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 2, Decoder: decode(t, decoder)}, Input: want}, 1); err != nil {
		t.Errorf("the cure %s: %v", decoder, err)
	}
}

// word is a key or a bare name of YAML.
var word = regexp.MustCompile(`[a-z]\w*`)

// appended turns "cropping2d: {…} and conv2d: {…}" into JSON.
func appended(cure string) string {
	var out []string
	for _, l := range strings.Split(cure, " and ") {
		j := word.ReplaceAllString(l, `"$0"`)
		if strings.Contains(l, ": ") {
			j = "{" + j + "}"
		}
		out = append(out, j)
	}
	return strings.Join(out, ", ")
}

var option = regexp.MustCompile(`vae\.decoder\[(\d+)\]\.(\w+)\.(\w+): (\d+|\[[\d, \[\]]*\])`)

// changed sets the options of a cure in a decoder.
func changed(t *testing.T, decoder, cure string) string {
	t.Helper()
	var list []any
	if err := json.Unmarshal([]byte("["+decoder+"]"), &list); err != nil {
		t.Fatal(err)
	}
	for _, m := range option.FindAllStringSubmatch(cure, -1) {
		i, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		options := map[string]any{}
		if l, ok := list[i].(map[string]any); ok {
			options = l[m[2]].(map[string]any)
		}
		options[m[3]] = json.RawMessage(m[4])
		list[i] = map[string]any{m[2]: options}
	}
	out, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
