// Command own-verb is vaeguard with one verb more: histogram.
package main

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

func main() { cli.Main(builtin.Components(), histogram()) }
