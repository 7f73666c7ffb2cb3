// Package losses holds the losses of the box: what training the detector
// minimises. One file a loss.
package losses

import (
	"github.com/vaeguard/vaeguard/host/registry"
	"github.com/vaeguard/vaeguard/host/train"
)

// Table lists the losses.
func Table() registry.Table[train.Loss] {
	return registry.NewTable("loss",
		registry.Entry[train.Loss]{Name: "adversarial", Default: &Adversarial{WModel: 1, CovELBO: DefaultCovariance()},
			Doc: "Kullback-Leibler divergence between the classifier's predictions on an input and on its reconstruction, plus a weighted reconstruction term.\n\n" +
				"w_model · KL(P ‖ Q) + w_recon · reconstruction; hidden layers named by the detector add their own terms."},
		registry.Entry[train.Loss]{Name: "elbo", Default: &ELBO{CovELBO: DefaultCovariance()},
			Doc: "Negative log-likelihood of the input under a Gaussian around its reconstruction."},
		registry.Entry[train.Loss]{Name: "mse", Default: &MSE{},
			Doc: "Mean squared error of the reconstruction, in the auto-encoder's units."},
		registry.Entry[train.Loss]{Name: "bce", Default: &BCE{},
			Doc: "Binary cross-entropy of the reconstruction; inputs in [0, 1] in the auto-encoder's units."},
	)
}
