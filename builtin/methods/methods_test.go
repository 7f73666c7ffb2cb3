package methods_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/builtin/layers"
	"github.com/vaeguard/vaeguard/builtin/losses"
	"github.com/vaeguard/vaeguard/builtin/methods"
	"github.com/vaeguard/vaeguard/builtin/optimizers"
	"github.com/vaeguard/vaeguard/builtin/scores"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/detect/methodtest"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// required are options without a default.
var required = map[string]detect.Method{
	"distillation": methods.Distillation{Student: &methods.Student{Layers: []nn.Maker{layers.Flatten{}, dense(9)}}},
}

func dense(units int) layers.Dense {
	d := layers.NewDense(units)
	d.Activation = nn.Activation{Name: "tanh"}
	return d
}

// TestConformance runs the suite over the whole table.
func TestConformance(t *testing.T) {
	loss, err := losses.Table().Lookup("adversarial")
	if err != nil {
		t.Fatal(err)
	}
	adam, err := optimizers.Table().Lookup("adam")
	if err != nil {
		t.Fatal(err)
	}
	shape := tensor.Shape{4, 6, 1}
	for _, e := range methods.Table().Entries() {
		t.Run(e.Name, func(t *testing.T) {
			m := e.Default
			if r, ok := required[e.Name]; ok {
				m = r
			}
			code := []nn.Maker{layers.Flatten{}, dense(12)}
			if c, ok := m.(detect.Coded); ok && c.Coding() == vae.Plain {
				code = append(code, dense(5))
			}
			methodtest.Run(t, m, methodtest.Case{
				Input: shape, Scores: scores.Table(),
				VAE:   &vae.Section{LatentDim: 5, Encoder: code, Decoder: []nn.Maker{dense(24), layers.Reshape{TargetShape: []int{4, 6, 1}}}},
				Train: &train.Section{Loss: loss, Optimizer: adam, Epochs: 2, BatchSize: 16},
			})
		})
	}
}

// TestForeignOptions holds that each method takes its own options and no
// other's, with a place and an owner.
func TestForeignOptions(t *testing.T) {
	c := builtin.Components()
	options := map[string][]string{}
	for _, name := range c.Methods.Names() {
		v, _, _ := c.Methods.Fresh(name)
		for i := range v.NumField() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
			options[key] = append(options[key], name)
		}
	}
	if !reflect.DeepEqual(options["samples"], []string{"vae"}) {
		t.Fatalf("options %v", options)
	}
	for key, owners := range options {
		for _, name := range c.Methods.Names() {
			if strings.Contains(strings.Join(owners, " "), name) {
				continue
			}
			text := fmt.Sprintf("api_version: vaeguard/v1\nkind: Experiment\nname: x\ndetector: {method: %s, %s: 3}\n", name, key)
			_, err := host.ParseSpec("x.yaml", []byte(text), c)
			want := fmt.Sprintf("x.yaml:4:%d: detector: unknown key %q for method %s; %s has it", len("detector: {method: "+name+", ")+1, key, name, strings.Join(owners, ", "))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %s: %v, want %s", name, key, err, want)
			}
		}
	}
}
