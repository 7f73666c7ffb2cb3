package oip

import (
	"google.golang.org/grpc"

	"github.com/vaeguard/vaeguard/host/serve/inference"
	"github.com/vaeguard/vaeguard/host/serve/judge"
)

// ModelInfer is that call alone, without a server.
func ModelInfer(models judge.Models, o Options) grpc.MethodDesc {
	return inference.Infer(maxParts, (&service{Options: o, models: models}).admitCall, (&service{Options: o, models: models}).modelInfer)
}
