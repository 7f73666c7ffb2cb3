// Command vaeguard guards classifiers against adversarial inputs.
package main

import (
	"github.com/vaeguard/vaeguard/builtin"
	"github.com/vaeguard/vaeguard/host/cli"
)

func main() { cli.Main(builtin.Components()) }
