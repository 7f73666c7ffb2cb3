// Command classifier-oip serves models of remote servers that speak the Open
// Inference Protocol.
package main

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/oip"
	"github.com/vaeguard/vaeguard/sdk"
)

func main() { sdk.Serve(oip.New()) }
