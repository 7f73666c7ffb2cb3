package layers

import (
	"fmt"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Window are the options of every layer that slides a kernel.
type Window struct {
	KernelSize nn.Pair `yaml:"kernel_size" doc:"height and width of the kernel" required:"true"`
	Strides    nn.Pair `yaml:"strides" doc:"steps between windows"`
	Padding    string  `yaml:"padding" doc:"same: zeros around the input, as TensorFlow pads; valid: none" enum:"valid|same"`
}

func newWindow() Window { return Window{Strides: nn.Pair{1, 1}, Padding: "valid"} }

// span is a window's path along one dimension: the number of results and the
// padding before the first element.
type span struct{ out, before int }

// slide is the span of windows of size k at stride s over in elements.
func slide(in, k, s int, padding string) (span, error) {
	if padding == "same" {
		out := (in + s - 1) / s
		return span{out, max((out-1)*s+k-in, 0) / 2}, nil
	}
	if in < k {
		return span{}, fmt.Errorf("window %d is larger than the input %d", k, in)
	}
	return span{(in-k)/s + 1, 0}, nil
}

// slideBack is a number of elements over which slide gives out results: in, if that
// does, else the least with valid and the most with same.
func slideBack(out, in, k, s int, padding string) int {
	if now, err := slide(in, k, s, padding); err == nil && now.out == out {
		return in
	}
	if padding == "same" {
		return out * s
	}
	return (out-1)*s + k
}

// spread is the span whose windows lead from out elements back to in: that of
// a transposed convolution over in elements.
func spread(in, k, s int, padding string) span {
	if padding == "same" {
		return span{in * s, max(k-s, 0) / 2}
	}
	return span{in*s + max(k-s, 0), 0}
}

// spreadTo is spread with an output padding, 0 ≤ more < s: the sides are those
// of Keras's compute_conv_transpose_output_shape. Where the windows reach
// beyond, more is cut after than before.
func spreadTo(in, k, s, more int, padding string) span {
	whole := (in-1)*s + k // what the windows cover
	if padding == "same" {
		out := (in-1)*s + k%2 + more
		return span{out, max(whole-out, 0) / 2}
	}
	return span{whole + more, 0}
}

// spreadBack is the number of elements of which spread makes out, or 0.
func spreadBack(out, k, s int, padding string) int {
	if padding != "same" {
		out -= max(k-s, 0)
	}
	if out%s != 0 {
		return 0
	}
	return max(out/s, 0)
}

// spreadToBack is the number of elements of which spreadTo makes out, or 0, and
// the output padding that does it.
func spreadToBack(out, k, s int, padding string) (in, more int) {
	if padding == "same" {
		k %= 2
	}
	if out < k {
		return 0, 0
	}
	return (out-k)/s + 1, (out - k) % s
}

// slide2 is slide over height and width of an image.
func slide2(layer string, in tensor.Shape, k, s nn.Pair, padding string) (h, w span, err error) {
	if len(in) != 3 {
		return h, w, errRank(layer, "height×width×channels", in)
	}
	if h, err = slide(in[0], k[0], s[0], padding); err == nil {
		w, err = slide(in[1], k[1], s[1], padding)
	}
	if err != nil {
		return h, w, fmt.Errorf("%s: input is %v: %w", layer, in, err)
	}
	return h, w, nil
}
