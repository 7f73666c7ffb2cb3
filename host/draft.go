package host

import "github.com/vaeguard/vaeguard/sdk/tensor"

// ClassifierDraft says how vaeguard init writes the section classifier for a plugin:
// by what a user names, or for want of a model. Keys are those of its config; empty
// ones it does not have.
type ClassifierDraft struct {
	Plugin string // a name in Components.Classifiers
	Range  string // key of the legal range: [lowest, highest]
	// Endings are those of files that it runs, .onnx, and File is the key that
	// names one.
	Endings []string
	File    string
	// Schemes are those of URLs of servers that it asks, http. Server is the key of
	// the URL, Model that of the model's name on the server.
	Schemes       []string
	Server, Model string
	// Untrained is a config, as lines of YAML, for a classifier that is trained on
	// rows of a shape; ok is false where it is not for such rows. nil: it is not
	// trained.
	Untrained func(in tensor.Shape) (config []string, ok bool)
}
