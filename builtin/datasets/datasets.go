// Package datasets holds the named data sets: some embedded, some installed.
package datasets

import (
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/registry"
)

// Table lists the named sets.
func Table() registry.Table[dataset.Set] {
	return registry.NewTable("dataset",
		registry.Entry[dataset.Set]{Name: "fashion-mnist", Default: fashionMNIST,
			Doc: "60,000 + 10,000 grey images of clothes, 28×28×1 in [0, 1], splits train and test (MIT); to be installed"},
		registry.Entry[dataset.Set]{Name: "mnist", Default: mnist,
			Doc: "60,000 + 10,000 grey images of handwritten digits, 28×28×1 in [0, 1], splits train and test (CC BY-SA 3.0); to be installed"},
		registry.Entry[dataset.Set]{Name: "fashion-mnist-3k", Default: fashion3K,
			Doc: "2,400 + 600 images of fashion-mnist, the same number of each class, splits train and test; embedded"},
		registry.Entry[dataset.Set]{Name: "digits", Default: digits,
			Doc: "1,797 handwritten digits of 8×8, flat, in [0, 1]; embedded"},
		registry.Entry[dataset.Set]{Name: "breast_cancer", Default: breastCancer,
			Doc: "569 tumours in 30 features, malignant or benign; embedded"},
		registry.Entry[dataset.Set]{Name: "wine", Default: wine,
			Doc: "178 wines in 13 features, 3 classes; embedded"},
		registry.Entry[dataset.Set]{Name: "iris", Default: iris,
			Doc: "150 irises in 4 features, 3 classes; embedded"},
	)
}
