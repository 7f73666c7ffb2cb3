// Package proto is the wire protocol of a classifier plugin, generated from
// classifier.proto. Authors of Go plugins do not need it: package sdk speaks it
// for them. An SDK for another language starts here, and with sdk/PROTOCOL.md.
package proto

//go:generate protoc --proto_path=../.. --go_out=../.. --go_opt=module=github.com/vaeguard/vaeguard --go-grpc_out=../.. --go-grpc_opt=module=github.com/vaeguard/vaeguard sdk/proto/classifier.proto
