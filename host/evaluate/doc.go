// Package evaluate measures a detector: it attacks the classifier and the
// guarded classifier and reports what is detected and what evades, with
// confidence intervals and self-checks, so that a reader can judge the figures.
package evaluate
