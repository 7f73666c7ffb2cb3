// Package evaluate says what a guard is worth: it attacks a guarded classifier
// and reports how much is caught, with confidence intervals, self-checks and
// everything that a reader needs to doubt the figures.
package evaluate
