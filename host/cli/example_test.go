package cli_test

import (
	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/cli"
)

// The whole main of a program with a verb more. It hands over
// builtin.Components(), or a copy with components of its own.
func ExampleMain() {
	var components host.Components
	cli.Main(components, count())
}
