// Package methods holds the detection methods that ship: where the second
// opinion on an input comes from. One file a method.
package methods

import (
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table is every method that ships.
func Table() registry.Table[detect.Method] {
	return registry.NewTable("method",
		registry.Entry[detect.Method]{Name: "vae", Default: VAE{Samples: 10}, Doc: "Sampled reconstructions by a variational auto-encoder, the section vae (alibi-detect's AdversarialVAE)."},
		registry.Entry[detect.Method]{Name: "ae", Default: AE{}, Doc: "One reconstruction by an auto-encoder whose encoder ends in the code: no heads, no noise (Vacanti and Van Looveren 2020)."},
		registry.Entry[detect.Method]{Name: "smoothed", Default: Smoothed{Sigma: 0.25, Votes: 100, Stop: 1e-4, ProofVotes: 1000, Alpha: 0.001}, Doc: "Votes of the classifier over reconstructions of noisy copies, by an auto-encoder trained on noise: what passes is proved within a radius (Salman et al. 2020, Cohen et al. 2019)."},
		registry.Entry[detect.Method]{Name: "distillation", Default: Distillation{}, Doc: "The opinion of a student, a network trained to predict what the classifier predicts: for models without gradients."},
		registry.Entry[detect.Method]{Name: "max_softmax", Default: MaxSoftmax{}, Doc: "No second opinion: one minus the largest probability (Hendrycks and Gimpel 2017). The baseline that any other method must beat."},
		registry.Entry[detect.Method]{Name: "feature_squeezing", Default: FeatureSqueezing{MedianSize: 2}, Doc: "The classifier's opinion of versions of the input with less detail (Xu, Evans and Qi 2018)."},
		registry.Entry[detect.Method]{Name: "magnet", Default: MagNet{}, Doc: "As ae, scored by reconstruction error and two divergences; to be trained on reconstruction alone, as with loss mse (Meng and Chen 2017)."},
	)
}
