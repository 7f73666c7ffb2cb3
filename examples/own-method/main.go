// Command own-method is vaeguard with one detection method more: pca.
package main

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
)

func main() { cli.Main(components()) }

// components is what ships, and the method.
func components() host.Components {
	c := builtin.Components()
	c.Methods = c.Methods.With(registry.Entry[detect.Method]{
		Name: "pca", Default: PCA{Components: 16},
		Doc: "The classifier's opinion of an input's projection on the principal components of the training rows.",
	})
	return c
}
