package spec_test

import (
	"reflect"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

type network struct {
	Layers []maker `yaml:"layers" doc:"the network"`
	Hidden []int   `yaml:"hidden" check:">= 1" doc:"short form"`
	Seed   uint64  `yaml:"seed" doc:"of the weights"`
	Name   string  `yaml:"name" doc:"free"`
}

func TestDecodeJSON(t *testing.T) {
	got := network{Hidden: []int{128}, Name: "kept"}
	err := spec.DecodeJSON([]byte(`{"layers": ["flatten", {"dense": {"units": 3}}, {"conv2d": {"filters": 2, "kernel_size": [1, 2]}},
		{"residual": {"layers": [{"dropout": null}], "shortcut": "flatten"}}], "hidden": [], "seed": 18446744073709551615}`), &got, tables...)
	if err != nil {
		t.Fatal(err)
	}
	want := network{
		Layers: []maker{
			flatten{}, dense{Units: 3, Activation: "linear", UseBias: true},
			&conv{Filters: 2, KernelSize: pair{1, 2}, Strides: pair{1, 1}, Padding: "valid", Activation: "linear"},
			residual{Layers: []maker{dropout{0.5}}, Shortcut: flatten{}},
		},
		Hidden: []int{}, Seed: 1<<64 - 1, Name: "kept",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if err := spec.DecodeJSON(nil, &got, tables...); err != nil {
		t.Errorf("no data: %v", err)
	}
}

func TestDecodeJSONErrors(t *testing.T) {
	for _, c := range []struct{ name, json, want string }{
		{"syntax", `{"layers": `, `not JSON: unexpected EOF`},
		{"trailing", `{} {}`, `not JSON: more follows the value`},
		{"top", `3`, `want a mapping of options, got 3`},
		{"all at once", `{"layers": [{"conv2d": {"filter": 3}}, {"dense": {"units": 0}}], "hiden": [1]}`,
			`unknown key "hiden"; did you mean "hidden"?
/layers/0/conv2d: unknown key "filter"; did you mean "filters"?
/layers/1/dense/units: must be >= 1, got 0`},
		{"no such layer", `{"layers": ["conv3d"]}`, `/layers/0: unknown layer "conv3d"; did you mean "conv2d"?`},
		{"nested", `{"layers": [{"residual": {"layers": [{"residual": {"layers": []}}]}}]}`,
			`/layers/0/residual/layers/0/residual: a residual block has at least one layer`},
		{"twice", `{"seed": 1, "seed": 2}`, `key "seed" appears twice`},
		{"element", `{"hidden": [3, 0.5]}`, `/hidden/1: want an integer, got 0.5`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := spec.DecodeJSON([]byte(c.json), &network{}, tables...)
			if err == nil || err.Error() != c.want {
				t.Errorf("got\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}
