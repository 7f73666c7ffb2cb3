package gradient

import "github.com/vaeguard/vaeguard/sdk"

// Cost is what a Source takes besides the classifier's answers to what is asked about in
// any case.
type Cost struct {
	Kind   Kind // Exact: there is no Source
	PerRow int  // further answers of the classifier for one row's gradient
	// Of a surrogate: what it asks about before the first step, held-out rows among it; what it
	// learns from in each of its epochs; and its options. Auto is counted as one, which it
	// tries first.
	Asked, Examples int
	Surrogate       *SurrogateSection // with its layers
}

// CostOf counts for so many rows of data.train and data.validation, of which nothing is read.
func CostOf(o Options, info sdk.Info, rows, validation int) Cost {
	if !Needed(o.Kind, info) {
		return Cost{Kind: Exact}
	}
	o.complete(info)
	switch o.Kind {
	case Difference:
		return Cost{Kind: Difference, PerRow: 2 * info.InputShape.Size()}
	case NES:
		return Cost{Kind: NES, PerRow: 2 * o.Differences.Pairs}
	}
	n, held := rows, min(maxHeld, validation)
	if validation == 0 {
		held = min(maxHeld, (rows+4)/5)
		n -= held
	}
	n = min(maxBase, n)
	examples := n * (1 + copiesOf(n, o.Surrogate.Noise))
	return Cost{Kind: Surrogate, Asked: examples + 2*held, Examples: examples, Surrogate: o.Surrogate}
}

// copiesOf is how many noisy copies each of n rows is followed by.
func copiesOf(n int, noise float64) int {
	if noise == 0 {
		return 0
	}
	n = max(1, n)
	return min(max(1, (minExamples+n-1)/n-1), maxCopies)
}
