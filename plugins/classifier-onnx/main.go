// Command classifier-onnx serves classifiers from ONNX files.
package main

import (
	"github.com/vaeguard/vaeguard/builtin/classifiers/onnx"
	"github.com/vaeguard/vaeguard/sdk"
)

func main() { sdk.Serve(onnx.New()) }
