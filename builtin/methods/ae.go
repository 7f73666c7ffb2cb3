package methods

import (
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
)

// AE asks the classifier about one reconstruction of an input, by an
// auto-encoder whose encoder ends in the code (alibi-detect's AdversarialAE).
type AE struct{}

// Make implements detect.Method.
func (AE) Make(p detect.Parts) (detect.Opinion, error) { return newCoded(p, vae.Plain) }

// Scores implements detect.Method.
func (AE) Scores() ([]string, detect.FusionRule) { return []string{"kl"}, detect.NoFusion }

// Coding implements detect.Coded.
func (AE) Coding() vae.Coding { return vae.Plain }

// Hardenable implements detect.Hardenable.
func (AE) Hardenable() bool { return true }

// Check implements detect.Checker.
func (AE) Check(code *vae.Section, _ *train.Section) registry.FieldErrors { return needsEncoder(code) }

// Title implements detect.Titled.
func (AE) Title() string { return "AdversarialAE" }

// needsEncoder is the fault of a code that nothing gives.
func needsEncoder(code *vae.Section) (faults registry.FieldErrors) {
	if code != nil && code.From == "" && !code.Auto() && code.Encoder == nil {
		faults.Add("vae", `missing key "encoder": without heads its last layer is the code`)
	}
	return faults
}
