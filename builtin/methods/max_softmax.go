package methods

import "github.com/vaeguard/vaeguard/host/detect"

// MaxSoftmax has no second opinion: an input is strange where the classifier is
// not sure of it (Hendrycks and Gimpel 2017, arXiv:1610.02136).
type MaxSoftmax struct{}

// Make implements detect.Method.
func (MaxSoftmax) Make(detect.Parts) (detect.Opinion, error) { return detect.None{}, nil }

// Scores implements detect.Method.
func (MaxSoftmax) Scores() ([]string, detect.FusionRule) {
	return []string{"max_softmax"}, detect.NoFusion
}
