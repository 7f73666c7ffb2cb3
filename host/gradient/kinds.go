package gradient

import "fmt"

// Doc documents one Kind.
type Doc struct {
	Kind    Kind
	Text    string // one sentence; further paragraphs for explain
	Key     string // of the section classifier that has its options; "": it has none
	Options any    // the struct of that section; nil: none
	Example string // the keys of the section classifier, as YAML on one line
}

// Docs documents the kinds: auto, then the others in the order in which it
// tries them.
func Docs() []Doc {
	return []Doc{
		{Kind: Auto, Text: fmt.Sprintf(`The first of the others that works.

It is exact, if the classifier has gradients; surrogate, if that agrees with the classifier often enough; finite_difference, for up to %d
features; nes, where the expected cosine between its direction and the gradient is at least %g. What was chosen, and why nothing before it, is
in the log and in what inspect prints.`, MaxDifferences, MinCosine), Example: "gradient: auto"},
		{Kind: Exact, Text: "The classifier's own gradients; it is an error if it has none.", Example: "gradient: exact"},
		{Kind: Surrogate, Text: `A small network distilled from the classifier's predictions, whose gradients stand in.

It learns from data.train and noisy copies of it, and again from the detector's reconstructions as training continues. Predictions are still the
classifier's own. It is refused if its top class agrees with the classifier's on too few held-out rows.`,
			Key: "surrogate", Options: SurrogateSection{}, Example: "gradient: surrogate, surrogate: {min_agreement: 0.95}"},
		{Kind: Difference, Text: `Central differences: two queries for each feature of a row.

The step is a share of a feature's range.`,
			Key: "differences", Options: Differences{}, Example: "gradient: finite_difference, differences: {step: 0.01}"},
		{Kind: NES, Text: `An estimate from random directions: two queries for each.

These are natural evolution strategies (Wierstra et al. 2014; as an attack Ilyas et al. 2018, arXiv:1804.08598). With n antithetic pairs of directions and D features, the expected cosine between the estimate and the gradient is √(n/(n+D)).`,
			Key: "differences", Options: Differences{}, Example: "gradient: nes, differences: {pairs: 128}"},
	}
}
