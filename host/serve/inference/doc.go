// Package inference holds the messages of the Open Inference Protocol over
// gRPC, generated from inference.proto, and how its service is put on a server.
package inference

//go:generate protoc --proto_path=../../.. --go_out=../../.. --go_opt=module=github.com/vaeguard/vaeguard host/serve/inference/inference.proto

// Full names of the protocol's calls.
const (
	Service               = "inference.GRPCInferenceService"
	ServerLive            = "/" + Service + "/ServerLive"
	ServerReady           = "/" + Service + "/ServerReady"
	ServerMetadata        = "/" + Service + "/ServerMetadata"
	ModelReady            = "/" + Service + "/ModelReady"
	ModelMetadata         = "/" + Service + "/ModelMetadata"
	ModelConfig           = "/" + Service + "/ModelConfig" // Triton's
	ModelInfer            = "/" + Service + "/ModelInfer"
	RepositoryIndex       = "/" + Service + "/RepositoryIndex"
	RepositoryModelLoad   = "/" + Service + "/RepositoryModelLoad"
	RepositoryModelUnload = "/" + Service + "/RepositoryModelUnload"
)
