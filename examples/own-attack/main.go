// Command own-attack is vaeguard with one attack more: brightness.
package main

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/attack"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/registry"
)

func main() { cli.Main(components()) }

// components is what ships, and the attack.
func components() host.Components {
	c := builtin.Components()
	c.Attacks = c.Attacks.With(registry.Entry[attack.Attack]{
		Name: "brightness", Default: Brightness{Norm: "linf", Eps: 0.3, Steps: 9},
		Doc: "the same shift of all features, the worst of a few, from predictions",
	})
	return c
}
