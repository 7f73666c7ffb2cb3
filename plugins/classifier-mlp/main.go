// Command classifier-mlp serves classifiers of dense layers that vaeguard trains.
package main

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/mlp"
	"github.com/vaeguard/vaeguard/sdk"
)

func main() { sdk.Serve(mlp.New()) }
