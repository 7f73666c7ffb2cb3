// Command own-format is vaeguard with one more file format: raw32.
package main

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

func main() { cli.Main(components()) }

// components are what ships and the format.
func components() host.Components {
	c := builtin.Components()
	c.Formats = c.Formats.With(registry.Entry[dataset.Format]{Name: "raw32", Default: Raw32{},
		Doc: "a line of JSON with the shape, then float32s (.raw32): {\"raw32\": [3, 64]}"})
	return c
}
