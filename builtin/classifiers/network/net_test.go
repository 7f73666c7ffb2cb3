package network

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// list is an architecture of given layers.
type list []nn.Maker

func (list) Shared() Options                           { return Options{} }
func (l list) Makers(tensor.Shape) ([]nn.Maker, error) { return l, nil }

// own is a layer from elsewhere, with or without a hidden output.
type own struct{ hides bool }

type ownLayer struct {
	nn.Layer
	own
}

func (o own) Make(in tensor.Shape, r *rand.Rand) (nn.Layer, error) {
	l, err := layers.NewDense(3).Make(in, r)
	return ownLayer{l, o}, err
}

func (l ownLayer) NoHiddenOutput() bool { return l.hides }

// A layer says itself whether a classifier offers it as a hidden one.
func TestHiddenLayers(t *testing.T) {
	for _, c := range []struct {
		in   tensor.Shape
		list list
		want []string
	}{
		{tensor.Shape{6, 6, 1}, list{
			layers.Rescaling{Scale: 2}, layers.ZeroPadding2D{Padding: layers.Margin{Top: 1, Bottom: 1, Left: 1, Right: 1}}, layers.NewConv2D(2, 3),
			layers.Dropout{Rate: .1}, layers.Flatten{}, layers.NewDense(4), layers.GaussianNoise{Stddev: .1}, layers.Reshape{TargetShape: []int{2, 2}},
			layers.Reshape{TargetShape: []int{-1}}, layers.LeakyReLU{NegativeSlope: .1},
		}, []string{"conv2d_2", "dense_5", "leaky_relu_9"}},
		{tensor.Shape{5}, list{own{true}, own{false}, own{true}}, []string{"own_layer_1"}},
	} {
		n, err := build(c.list, c.in, 3, 1)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, h := range n.hidden {
			got = append(got, h.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("hidden layers %v, want %v", got, c.want)
		}
	}
}
