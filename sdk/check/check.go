// Package check tests whether a classifier is what it declares: the checks at
// load, also run by `vaeguard plugin check` and by sdktest.Run.
package check

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// What is tolerated. Outputs are compared relative to the largest of their
// batch, but not below 1.
const (
	probeRows    = 16
	sumTolerance = 1e-3 // of a row of probabilities
	sameFail     = 1e-4 // the same rows asked again, or in another batch
	sameWarn     = 1e-6 // in another batch
)

// Severity is how bad a finding is.
type Severity int

// The severities.
const (
	Pass Severity = iota
	Warn
	Fail
)

// String is pass, warn or fail.
func (s Severity) String() string { return [...]string{"pass", "warn", "fail"}[s] }

// MarshalText writes the severity as String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is the result of one check.
type Finding struct {
	// Name is info, range, probabilities, repeat, batch, gradient, order, hidden,
	// differentiate or concurrent.
	Name     string   `json:"name"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Suggests string   `json:"suggests,omitempty"` // what a failure looks like, or ""
	Example  string   `json:"example,omitempty"`  // the smallest failing example that was found, or ""
}

// String is one line.
func (f Finding) String() string {
	s := f.Name + ": " + f.Message
	if f.Suggests != "" {
		s += " (looks like " + f.Suggests + ")"
	}
	if f.Example != "" {
		s += "; for example, " + f.Example
	}
	return s
}

// Options say what to check with.
type Options struct {
	// Rows are rows of the data, (N, input…); nil: random ones within the
	// legal range, or standard normal if it is unknown.
	Rows *tensor.Tensor
	Seed uint64
	// Thorough adds concurrent calls, rows in another order, and that Forward and its
	// Pullback agree with Predict and Gradient.
	Thorough bool
}

// Classifier runs the checks. The error is one that a call gave; it ends the
// run, after the findings so far.
func Classifier(ctx context.Context, c sdk.Classifier, o Options) ([]Finding, error) {
	p := &probe{c: c, r: rand.New(rand.NewPCG(o.Seed, 0xc4ec))}
	var err error
	if p.info, err = c.Info(ctx); err != nil {
		return nil, err
	}
	if err := p.info.Validate(); err != nil {
		p.add("info", Fail, err.Error(), "")
		return p.findings, nil
	}
	if o.Rows != nil && (o.Rows.N() == 0 || !o.Rows.Example().Equal(p.info.InputShape)) {
		p.add("info", Fail, fmt.Sprintf("the data has rows of shape %v, the classifier takes %v", o.Rows.Example(), p.info.InputShape), "")
		return p.findings, nil
	}
	p.add("info", Pass, fmt.Sprintf("takes %v (%v), %d classes, %v, gradient %v", p.info.InputShape, p.info.Layout, p.info.NumClasses, p.info.Output, p.info.Gradient), "")
	p.data, p.drawn = o.Rows, o.Rows == nil
	p.x = p.rows(o.Rows)
	if p.y, err = c.Predict(ctx, p.x); err != nil {
		return p.findings, err
	}
	steps := []func(context.Context) error{p.ranges, p.outputs, p.repeat, p.batch, p.gradient}
	if o.Thorough {
		steps = append(steps, p.order, p.differentiate, p.concurrent)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return p.findings, err
		}
	}
	return p.findings, nil
}

// probe is one run.
type probe struct {
	c        sdk.Classifier
	info     sdk.Info
	r        *rand.Rand
	data     *tensor.Tensor // all rows of the data, or nil
	picked   []int          // the numbers of x's in data
	x, y     *tensor.Tensor // probeRows rows and their outputs
	drawn    bool           // x was drawn, it is not data
	bad      bool           // the outputs themselves are wrong: a gradient would be too
	findings []Finding
}

func (p *probe) add(name string, s Severity, message, suggests string) {
	p.explain(name, s, message, suggests, "")
}

func (p *probe) explain(name string, s Severity, message, suggests, example string) {
	p.findings = append(p.findings, Finding{name, s, message, suggests, example})
}

// bounds is the legal range of feature i, if it is known.
func (p *probe) bounds(i int) (lo, hi float64, ok bool) {
	if len(p.info.Lo) == 0 {
		return 0, 0, false
	}
	return float64(p.info.Lo[min(i, len(p.info.Lo)-1)]), float64(p.info.Hi[min(i, len(p.info.Hi)-1)]), true
}

// rows picks probeRows rows, evenly spread over data, or draws them.
func (p *probe) rows(data *tensor.Tensor) *tensor.Tensor {
	if data != nil {
		p.picked = make([]int, probeRows)
		for i := range p.picked {
			p.picked[i] = i * data.N() / probeRows
		}
		return data.Gather(p.picked)
	}
	x := tensor.Batch(probeRows, p.info.InputShape)
	for i := range x.Data {
		if lo, hi, ok := p.bounds(i % x.Stride()); ok {
			x.Data[i] = float32(lo + float64((hi-lo)*p.r.Float64()))
		} else {
			x.Data[i] = float32(p.r.NormFloat64())
		}
	}
	return x
}

// severalLabels is what answers look like that are no choice of one class.
const severalLabels = "a model of several labels, each with a logistic function of its own; a detector is for one class of several"

// outputs checks shape, finiteness and what the numbers are.
func (p *probe) outputs(context.Context) error {
	y, k := p.y, p.info.NumClasses
	if y.N() != probeRows || !y.Example().Equal(tensor.Shape{k}) {
		p.bad = true
		p.add("probabilities", Fail, fmt.Sprintf("outputs of shape %v for %d rows and %d classes", y.Shape, probeRows, k), "")
		return nil
	}
	var worst, lowest, highest float64
	odd := 0 // the row that is the least like probabilities
	for i := range y.N() {
		sum := 0.0
		for j, v := range y.Row(i) {
			if v-v != 0 {
				p.bad = true
				p.explain("probabilities", Fail, "outputs that are not finite", "", fmt.Sprintf("class %d of %s is %v", j, p.row(i), v))
				return nil
			}
			sum += float64(v)
			lowest, highest = min(lowest, float64(v)), max(highest, float64(v))
		}
		if off := math.Abs(sum - 1); off > worst {
			worst, odd = off, i
		}
	}
	apart := lowest >= 0 && highest <= 1 // and do not sum to 1
	areProbabilities := worst <= sumTolerance && lowest >= -sumTolerance
	switch {
	case p.info.Output == sdk.Probabilities && !areProbabilities:
		p.bad = true
		looks := "logits called probabilities"
		if apart {
			looks = severalLabels
		}
		p.explain("probabilities", Fail, fmt.Sprintf("declared as probabilities, but a row's sum is off by %.3g and the least entry is %.3g", worst, lowest), looks,
			fmt.Sprintf("%s gives %s", p.row(odd), brief(y.Row(odd))))
	case p.info.Output == sdk.Probabilities:
		p.add("probabilities", Pass, fmt.Sprintf("rows sum to 1 within %.1g", worst), "")
	case areProbabilities && k > 1:
		p.explain("probabilities", Warn, "declared as logits, but every row is non-negative and sums to 1", "probabilities called logits",
			fmt.Sprintf("%s gives %s", p.row(0), brief(y.Row(0))))
	case apart:
		p.explain("probabilities", Warn, "declared as logits, but every number is from 0 to 1, and rows do not sum to 1", severalLabels,
			fmt.Sprintf("%s gives %s", p.row(odd), brief(y.Row(odd))))
	default:
		p.add("probabilities", Pass, "finite logits", "")
	}
	return nil
}

// repeat asks the same again.
func (p *probe) repeat(ctx context.Context) error {
	y, err := p.c.Predict(ctx, p.x)
	if err != nil {
		return err
	}
	if p.compare("repeat", "the same call twice", p.y, y, 0) {
		example, err := p.twice(ctx)
		if err != nil {
			return err
		}
		p.exemplify(example)
	}
	return nil
}

// batch asks for each row alone.
func (p *probe) batch(ctx context.Context) error {
	y := tensor.New(p.y.Shape...)
	for i := range p.x.N() {
		one, err := p.c.Predict(ctx, p.x.Rows(i, i+1))
		if err != nil {
			return err
		}
		copy(y.Row(i), one.Data)
	}
	if p.compare("batch", fmt.Sprintf("batches of 1 and of %d", probeRows), p.y, y, sameWarn) {
		example, err := p.company(ctx, y)
		if err != nil {
			return err
		}
		p.exemplify(example)
	}
	return nil
}

// exemplify gives the last finding a smaller example than it has; "" leaves it.
func (p *probe) exemplify(example string) {
	if example != "" {
		p.findings[len(p.findings)-1].Example = example
	}
}

// compare adds a finding about two answers that should be equal: exactly if
// the classifier promises so, else without a warning up to warn. It reports
// whether they are too far apart.
func (p *probe) compare(name, what string, a, b *tensor.Tensor, warn float64) (failed bool) {
	d := difference(a, b)
	message, example := fmt.Sprintf("%s differ by %.2g", what, d), ""
	if d > 0 {
		r, i := apart(a, b)
		example = fmt.Sprintf("%s of %s is %.6g and %.6g", p.element(a, i), p.row(r), a.Row(r)[i], b.Row(r)[i])
	}
	switch {
	case !(d <= sameFail):
		p.explain(name, Fail, message, "dropout or batch statistics still at work", example)
		return true
	case p.info.BatchInvariant && !sameBits(a, b):
		p.explain(name, Fail, message+", though batch_invariant promises the same bits", "", example)
	case d > warn:
		p.explain(name, Warn, message, "", example)
	default:
		p.add(name, Pass, message, "")
	}
	return false
}

// difference is max|a − b| / max(1, max|a|), NaN if the shapes differ.
func difference(a, b *tensor.Tensor) float64 {
	if !a.Shape.Equal(b.Shape) {
		return math.NaN()
	}
	worst, scale := 0.0, 1.0
	for i, v := range a.Data {
		d := math.Abs(float64(v) - float64(b.Data[i]))
		if math.IsNaN(d) {
			return d
		}
		worst, scale = max(worst, d), max(scale, math.Abs(float64(v)))
	}
	return worst / scale
}

func sameBits(a, b *tensor.Tensor) bool {
	for i, v := range a.Data {
		if math.Float32bits(v) != math.Float32bits(b.Data[i]) {
			return false
		}
	}
	return true
}
