package bench

import (
	"fmt"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The products of a batch of 8, by hand: rows × inner × columns.
func TestProducts(t *testing.T) {
	same := layers.NewConv2D(6, 3)
	same.Padding, same.Strides = "same", nn.Pair{2, 2}
	up := layers.Conv2DTranspose{Filters: 1, Window: same.Window, Kernel: same.Kernel}
	deep := layers.DepthwiseConv2D{DepthMultiplier: 1, Window: same.Window, Kernel: same.Kernel}
	deep.Strides = nn.Pair{1, 1}
	m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 5, Encoder: []nn.Maker{deep, same, layers.Flatten{}, layers.NewDense(20)}, Decoder: []nn.Maker{layers.NewDense(32), layers.Reshape{TargetShape: []int{4, 4, 2}}, up}},
		Coding: vae.Sampled, Input: tensor.Shape{8, 8, 1},
	}, 1)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range productsOf(m, 8) {
		got = append(got, fmt.Sprintf("%s %s %d×%d×%d", p.Layer, p.Pass, p.M, p.K, p.N))
	}
	want := []string{ // depthwise_conv2d is no product, dense heads are their own
		"encoder/conv2d_1 forward 128×9×6", "encoder/conv2d_1 kernel 9×128×6", "encoder/conv2d_1 input 128×6×9",
		"encoder/dense_3 forward 8×96×20", "encoder/dense_3 kernel 96×8×20", "encoder/dense_3 input 8×20×96",
		"mean forward 8×20×5", "mean kernel 20×8×5", "mean input 8×5×20",
		"log_var forward 8×20×5", "log_var kernel 20×8×5", "log_var input 8×5×20",
		"decoder/dense_0 forward 8×5×32", "decoder/dense_0 kernel 5×8×32", "decoder/dense_0 input 8×32×5",
		"decoder/conv2d_transpose_2 input 128×9×2", "decoder/conv2d_transpose_2 kernel 9×128×2", "decoder/conv2d_transpose_2 forward 128×2×9",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("products\n%q\nwant\n%q", got, want)
	}
}
