package spec_test

import (
	"slices"
	"testing"

	"github.com/vaeguard/vaeguard/host/spec"
)

func TestLeaves(t *testing.T) {
	got, err := spec.Leaves([]byte("train: {epochs: 3, harden: {}}\nattacks:\n  - fgsm\n  - pgd: &p {eps: .1}\n  - bim: *p\nvae: null\ndata: []\n"))
	want := []spec.Leaf{{"train.epochs", "3"}, {"train.harden", "{}"}, {"attacks[0]", "fgsm"}, {"attacks[1].pgd.eps", ".1"}, {"attacks[2].bim", "*p"}, {"vae", "null"}, {"data", "[]"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if got, err := spec.Leaves(nil); err != nil || got != nil {
		t.Errorf("of nothing: %v, %v", got, err)
	}
	if _, err := spec.Leaves([]byte("a: [")); err == nil {
		t.Error("broken YAML is accepted")
	}
}
