// Package wire is what both ends of a classifier plugin's connection share:
// the handshake, the limits and the encoding of tensors. Authors of Go plugins
// do not need it; package sdk speaks the protocol for them. The protocol is
// described in sdk/PROTOCOL.md.
package wire

import "github.com/hashicorp/go-plugin"

// PluginName is the name under which go-plugin dispenses the classifier.
const PluginName = "classifier"

// DeathWatchEnv names the variable by which a host says that the plugin's
// stdin is a pipe held open by the host: its end is the host's death, however
// it died. The value is "stdin". A plugin takes it out of its environment.
const DeathWatchEnv = "VAEGUARD_DEATH_WATCH"

// Windows and buffers of both ends, in bytes. They save a third of the time
// of a large Predict.
const (
	StreamWindow     = 8 << 20
	ConnectionWindow = 16 << 20
	BufferSize       = 1 << 20
)

// Limits on what a message may claim, checked before memory is allocated.
const (
	MaxRank     = 8
	MaxElements = 1 << 29 // 2 GiB of float32: gRPC's own limit
)

// FitMessage is the largest number of bytes of rows in one message of a Fit.
const FitMessage = 4 << 20

// Handshake is what host and plugin must agree on before anything else:
// protocol version 1 and the magic cookie VAEGUARD_PLUGIN=classifier.
func Handshake() plugin.HandshakeConfig {
	return plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "VAEGUARD_PLUGIN", MagicCookieValue: "classifier"}
}
