// Command own-layer is vaeguard with one more layer: soft_threshold.
package main

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/registry"
)

func main() { cli.Main(components()) }

// components is what ships, and the layer.
func components() host.Components {
	c := builtin.Components()
	c.Layers = c.Layers.With(registry.Entry[nn.Maker]{
		Name: "soft_threshold", Default: SoftThreshold{Lambda: 0.1},
		Doc: "y = sign(x)·max(|x| − lambda, 0): small numbers become zero",
	})
	return c
}
