package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/vaeguard/vaeguard/host/artifact"
	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/detect"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

const (
	canaryRows   = 4
	canaryBytes  = 1 << 20 // of all rows together, more or less
	canaryStream = 0x63616e617279
)

// How far a canary's answer may be from the known one where its last bits are
// others: the classifier runs on another machine, or by another library.
const (
	canaryProbability = 1e-3 // absolute
	canaryScore       = 1e-2 // relative, of a score of at least 0.1
)

var canaryParts = detect.Include{Probabilities: true}

// makeCanaries draws rows, and asks what the detector says of them. nil: there are
// no rows to draw from, or no numbers are said of them; the detector is as good
// without.
func (d *Detector) makeCanaries(ctx context.Context) (*artifact.Canaries, error) {
	rows := d.Experiment.rows.of[dataset.RoleCalibration]
	if rows == nil {
		rows = d.Experiment.rows.of[dataset.RoleTrain]
	}
	if rows == nil || rows.N() == 0 {
		return nil, nil
	}
	r := rand.New(rand.NewPCG(d.Experiment.Spec.Seed, canaryStream))
	n := max(1, min(canaryRows, canaryBytes/(4*rows.Example().Size())))
	from := make([]int, 4*n)
	for i := range from {
		from[i] = r.IntN(rows.N())
	}
	slices.Sort(from)
	some, err := dataset.Take(rows.Examples(), slices.Compact(from))
	if err != nil {
		return nil, err
	}
	x := tensor.Batch(n, some.Example())
	for i := range n {
		for j := range x.Row(i) { // every number from a row of its own: the canary is nobody
			x.Row(i)[j] = some.Row(r.IntN(some.N()))[j]
		}
	}
	said, err := d.Survey(ctx, x, canaryParts)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil { // such as a classifier that refuses rows of this kind
		d.Experiment.o.logger().Debug("the detector has no canaries", "error", err)
		return nil, nil
	}
	c := &artifact.Canaries{Scores: said.Scores, Predicted: said.Predicted, Reconstructed: said.Reconstructed}
	if c.Arithmetic, err = arithmetic(); err != nil {
		return nil, err
	}
	for i := range n {
		c.X = append(c.X, x.Row(i))
		c.Probabilities = append(c.Probabilities, said.Probabilities.Row(i))
	}
	if said.NotFinite != nil || !c.Finite() {
		return nil, nil
	}
	return c, nil
}

// arithmetic names the rounding of the host's numbers: both levels of x86 have the same.
func arithmetic() (string, error) {
	e, err := kernel.New(kernel.Options{Threads: 1})
	if err != nil {
		return "", err
	}
	defer e.Close()
	if l := e.Level(); l != kernel.Generic {
		return "fma", nil
	}
	return "generic " + runtime.GOARCH, nil
}

// CanaryError says that a detector does not answer as it did when it was made.
type CanaryError struct {
	Row  int
	What string // what is another, and how
}

// Error names the row and the difference.
func (e *CanaryError) Error() string {
	return fmt.Sprintf("canary row %d: %s: the classifier or the machine computes something else than when the detector was made", e.Row, e.What)
}

// CheckCanaries asks for the detector's canaries, the rows whose answers are known
// since it was made. same: every bit is as it was. Other last bits are no error,
// since a classifier may run on another machine or another library; a difference
// that is more is a *CanaryError. A detector without canaries is asked whether its
// classifier answers, and is the same then.
func (d *Detector) CheckCanaries(ctx context.Context) (same bool, err error) {
	if d.Saved == nil || d.Saved.Canaries == nil {
		x := tensor.Batch(1, d.InputShape())
		info := d.Info()
		for i := range x.Data {
			if len(info.Lo) == 0 || len(info.Hi) == 0 {
				break // any number is legal
			}
			if mid := (info.Lo[min(i, len(info.Lo)-1)] + info.Hi[min(i, len(info.Hi)-1)]) / 2; mid-mid == 0 {
				x.Data[i] = mid
			}
		}
		_, err := d.Survey(ctx, x, detect.Include{})
		return err == nil, err
	}
	c := d.Saved.Canaries
	x := tensor.Batch(len(c.X), d.InputShape())
	for i, row := range c.X {
		copy(x.Row(i), row)
	}
	got, err := d.Survey(ctx, x, canaryParts)
	if err != nil {
		return false, err
	}
	if len(got.Scores) != len(c.Scores) {
		return false, errors.New("the canaries are of other scores than the detector's")
	}
	same = got.NotFinite == nil
	for i := range c.X {
		equal, err := compareCanary(c, got, i)
		if err != nil {
			return false, err
		}
		same = same && equal
	}
	return same, nil
}

// compareCanary reports whether row i of what was said now has the known bits.
func compareCanary(c *artifact.Canaries, got *detect.Result, i int) (same bool, err error) {
	same = true
	for k, want := range c.Probabilities[i] {
		p := got.Probabilities.Row(i)[k]
		if !(math.Abs(float64(p)-float64(want)) <= canaryProbability) {
			return false, &CanaryError{i, fmt.Sprintf("the probability of class %d is %v, was %v", k, p, want)}
		}
		same = same && p == want
	}
	if p, q := got.Predicted[i], c.Predicted[i]; p != q && !closeClasses(c.Probabilities[i], p, q) {
		return false, &CanaryError{i, fmt.Sprintf("its class is %d, was %d", p, q)}
	}
	for j, known := range c.Scores {
		s, want := got.Scores[j][i], known[i]
		if !(math.Abs(s-want) <= canaryScore*max(math.Abs(want), 0.1)) {
			return false, &CanaryError{i, fmt.Sprintf("score %d is %v, was %v", j, s, want)}
		}
		same = same && s == want
	}
	return same && got.Predicted[i] == c.Predicted[i] && got.Reconstructed[i] == c.Reconstructed[i], nil
}

// closeClasses reports whether two classes are so close that rounding decides.
func closeClasses(p []float32, a, b int) bool {
	return math.Abs(float64(p[a])-float64(p[b])) <= 2*canaryProbability
}
