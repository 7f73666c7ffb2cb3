package methods

import (
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
)

// MagNet asks the classifier about one reconstruction, by an auto-encoder that
// is trained without it, and flags what any of three scores flags (Meng and Chen
// 2017, arXiv:1705.09064).
type MagNet struct{}

// Make implements detect.Method.
func (MagNet) Make(p detect.Parts) (detect.Opinion, error) { return newCoded(p, vae.Plain) }

// Scores implements detect.Method: the paper's detectors, of which the
// strangest counts.
func (MagNet) Scores() ([]string, detect.FusionRule) {
	return []string{"reconstruction_error", "js_10", "js_40"}, detect.Tippett
}

// Coding implements detect.Coded.
func (MagNet) Coding() vae.Coding { return vae.Plain }

// Check implements detect.Checker.
func (MagNet) Check(code *vae.Section, _ *train.Section) registry.FieldErrors {
	return needsEncoder(code)
}
