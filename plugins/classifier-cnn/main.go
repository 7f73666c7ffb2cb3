// Command classifier-cnn serves classifiers of convolutions that vaeguard trains.
package main

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/cnn"
	"github.com/vaeguard/vaeguard/sdk"
)

func main() { sdk.Serve(cnn.New()) }
