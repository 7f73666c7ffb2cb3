package proxy

import "github.com/vaeguard/vaeguard/host/serve/tensors"

// Splice is splice of one parameter.
func Splice(text []byte) ([]byte, error) {
	return splice(text, tensors.Parameters{"vaeguard_verdict": "v"})
}

// Answer is answer.
var Answer = answer
