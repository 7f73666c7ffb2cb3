package attack

import "github.com/vaeguard/vaeguard/sdk/tensor"

// The interfaces of this file are properties that an Attack may declare. The
// evaluation goes by them and never by an attack's name: an attack from
// elsewhere that declares one is treated as those that ship.

// Iterated is an Attack that works towards its goal in many steps within its
// ball, so that more of it is never weaker: neither more eps nor more steps.
// It is the yardstick of its norm. The evaluation repeats the first of each
// norm and need at multiples of eps (security curves) and warns where an
// Iterated attack does less well with more eps, or worse than an attack that
// sees less of the model. An eps of +Inf has no multiples and no curve.
//
// Attacks that look for the smallest perturbation are not Iterated, nor are
// adaptive ones, whose curves need no declaration.
type Iterated interface {
	Attack
	// Iterated reports whether this holds with the attack's options.
	Iterated() bool
}

// Control is an Attack in name only: what it proposes does not depend on the
// model, and it should not succeed. It is reported as a control, left out of
// the verdict, of the worst case and of comparisons between detectors, and an
// Iterated attack that it outdoes is said not to work.
type Control interface {
	Attack
	// Control reports whether the attack is a control with its options.
	Control() bool
}

// Transferred is an Adaptive attack on another detector of the same classifier,
// one trained with another seed, that is judged by the detector under test. It
// is left out where there is no other detector.
type Transferred interface {
	Adaptive
	// Transferred reports whether the attack is a transfer attack with its
	// options.
	Transferred() bool
}

// Limited is an Attack that is run on few rows, because each is costly.
type Limited interface {
	Attack
	// RowLimit is the most rows that are attacked; 0: as many as of others.
	RowLimit() int
}

// Counted is an Attack with a query budget among its options. Every attack
// keeps to Budget.Queries; a Counted one keeps to its own as well.
type Counted interface {
	Attack
	// MaxQueries is the most rows sent to the model per instance and run; 0:
	// no limit.
	MaxQueries() int
}

// Overshooting is an Attack that may do worse with more eps, such as a single
// step as long as eps, which goes past what it aims at. Of others the
// conformance suite (attacktest) expects that more eps is never weaker, of
// these only that much eps is no weaker than little.
type Overshooting interface {
	Attack
	// Overshoots reports whether more eps may do worse with the attack's
	// options.
	Overshoots() bool
}

// Choosy is an Attack that does not work on every classifier, such as one for
// images alone or with a loss that needs some number of classes. lint asks it
// before anything is started.
type Choosy interface {
	Attack
	// Fits is an error that says why the attack cannot work, with its options,
	// on examples of a shape, NHWC, or with a number of classes; nil and 0
	// stand for what is not known yet.
	Fits(example tensor.Shape, classes int) error
}

// Fits is what a Choosy attack says of an example's shape and a number of
// classes; nil of others.
func Fits(a Attack, example tensor.Shape, classes int) error {
	if c, ok := a.(Choosy); ok {
		return c.Fits(example, classes)
	}
	return nil
}

// IsIterated reports whether a declares Iterated.
func IsIterated(a Attack) bool {
	i, ok := a.(Iterated)
	return ok && i.Iterated()
}

// IsControl reports whether a declares Control.
func IsControl(a Attack) bool {
	c, ok := a.(Control)
	return ok && c.Control()
}

// IsTransferred reports whether a declares Transferred.
func IsTransferred(a Attack) bool {
	t, ok := a.(Transferred)
	return ok && t.Transferred()
}
