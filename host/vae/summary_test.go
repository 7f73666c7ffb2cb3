package vae_test

import (
	"testing"

	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

func TestDescribe(t *testing.T) {
	m, err := vae.Build(vae.Options{Section: vae.Section{LatentDim: 3, Encoder: []nn.Maker{layers.Flatten{}, layers.NewDense(10)}, Decoder: []nn.Maker{layers.NewDense(16), layers.Reshape{TargetShape: []int{4, 4, 1}}}}, Input: tensor.Shape{4, 4, 1}}, 1)
	if err != nil {
		t.Fatal(err)
	}
	infos := m.Describe()
	names := []string{"encoder/flatten_0", "encoder/dense_1", "mean", "log_var", "decoder/dense_0", "decoder/reshape_1"}
	if len(infos) != len(names) {
		t.Fatalf("%d layers, want %d", len(infos), len(names))
	}
	for i, name := range names {
		if infos[i].Name != name {
			t.Errorf("layer %d is %s, want %s", i, infos[i].Name, name)
		}
	}
	params, flops := vae.Total(infos)
	numbers := 0
	for _, p := range m.Params() {
		numbers += len(p.Value.Data)
	}
	if want := 16*10 + 10 + 2*(10*3+3) + 3*16 + 16; params != want || numbers != want {
		t.Errorf("params add up to %d, in the model %d, want %d", params, numbers, want)
	}
	if least := int64(2 * (160 + 60 + 48)); flops < least {
		t.Errorf("%d FLOPs, want at least the products' %d", flops, least)
	}
}
