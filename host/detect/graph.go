package detect

import (
	"fmt"
	"math"

	"github.com/vaeguard/vaeguard/host/graph"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// GraphedOpinion is an Opinion that can be exported: Graph writes its Forward, for
// x (n, example…), as nodes of an ONNX graph. What its Form does not have stays the
// zero Value.
type GraphedOpinion interface {
	Opinion
	Graph(b *graph.Builder, x graph.Value, noise *tensor.Tensor) GraphedSecond
}

// GraphedSecond is a Second as values of a graph, float32.
type GraphedSecond struct {
	Rebuilt graph.Value // (n·s, example…)
	Logits  graph.Value // (n, classes)
}

// GraphedScore is a Score that can be exported: Graph writes one number an
// instance, (n), float64.
type GraphedScore interface {
	Score
	Graph(b *graph.Builder, e GraphedEvidence) graph.Value
}

// GraphedEvidence is Evidence as values of a graph, float64 throughout. Samples have a
// dimension of their own.
type GraphedEvidence struct {
	Samples       int
	Classes, Size int         // of a row of logarithms, of an example
	X             graph.Value // (n, 1, size)
	Rebuilt       graph.Value // (n, s, size)
	LogP, LogPT   graph.Value // (n, 1, classes)
	LogQ, ZQ      graph.Value // (n, s, classes)
	HiddenP       []graph.Value
	HiddenQ       []graph.Value
	HiddenUnits   []int
	HiddenWeights []float64
	Clip          float64
}

// Predicted is the class of each instance, (n), Int64.
func (e GraphedEvidence) Predicted(b *graph.Builder) graph.Value {
	return b.ArgMax(b.Reshape(e.LogP, -1, e.Classes), -1)
}

// Samplewise is the mean over samples of a value (n, s).
func (e GraphedEvidence) Samplewise(b *graph.Builder, v graph.Value) graph.Value {
	return b.Mean(v, graph.Double, e.Samples, 1)
}

// GraphedRows are what the classifier is to be asked about, as values of a graph.
type GraphedRows struct {
	X       graph.Value // (n, example…), float32
	Rebuilt graph.Value // (n·s, example…), finite; none: nothing is reconstructed
	Lost    graph.Value // (n), Bool: the reconstruction is not finite; none: nothing is reconstructed
	Logits  graph.Value // (n, classes) of an opinion that predicts by itself; none: it does not
}

// All are X, and Rebuilt after it.
func (r GraphedRows) All(b *graph.Builder) graph.Value {
	if r.Rebuilt == (graph.Value{}) {
		return r.X
	}
	return b.Concat(0, r.X, r.Rebuilt)
}

// GraphedResult is a Result as values of a graph, each (n).
type GraphedResult struct {
	Score, PValue                       graph.Value // float64; PValue may be none
	Adversarial                         graph.Value // Bool
	Predicted, Reconstructed, Corrected graph.Value // Int64
}

// GraphRows writes the first half of Detect as nodes of an ONNX graph: x,
// (n, example…), float32, as Detect takes it, and its reconstructions. A method
// without a form in ONNX is an error that names it.
func (d *Detector) GraphRows(b *graph.Builder, x graph.Value) (GraphedRows, error) {
	r := GraphedRows{X: x}
	if d.form == (Form{}) {
		return r, nil
	}
	opinion, ok := d.o.Opinion.(GraphedOpinion)
	if !ok {
		return r, fmt.Errorf("method %s has no form in ONNX (detect.GraphedOpinion)", d.o.Method)
	}
	second := opinion.Graph(b, x, d.o.Noise)
	r.Logits = second.Logits
	if second.Rebuilt != (graph.Value{}) {
		size := d.input.Size()
		r.Lost = b.NotFinite(b.Batch(second.Rebuilt, d.samples*size))
		lost := b.Unsqueeze(b.Unsqueeze(r.Lost, 1), 2)
		kept := b.Where(lost, b.Reshape(x, -1, 1, size), b.Reshape(second.Rebuilt, -1, d.samples, size))
		r.Rebuilt = b.Batch(kept, d.input...)
	}
	return r, b.Err()
}

// GraphVerdict writes the second half: from the classifier's answers on r.All, its
// output, (m, classes), and hidden layers, (m, …), in the order of their heads, to the
// answer of Detect. Numbers differ from Detect's by the rounding of another engine. A
// score without a form in ONNX is an error that names it.
func (d *Detector) GraphVerdict(b *graph.Builder, r GraphedRows, output graph.Value, hidden []graph.Value) (GraphedResult, error) {
	st := d.state.Load()
	if st.Threshold == nil {
		return GraphedResult{}, ErrNoThreshold
	}
	v := graphed{d: d, b: b, rows: r}
	v.gather(output, hidden)
	scores := make([]graph.Value, len(d.o.Scores))
	for j, s := range d.o.Scores {
		g, ok := s.Score.(GraphedScore)
		if !ok {
			return GraphedResult{}, fmt.Errorf("score %s has no form in ONNX (detect.GraphedScore)", s.Name)
		}
		scores[j] = g.Graph(b, v.evidence)
	}
	return v.conclude(st, scores), b.Err()
}

// graphed is a view as values of a graph.
type graphed struct {
	d        *Detector
	b        *graph.Builder
	rows     GraphedRows
	none     graph.Value // the zero Value
	outP     graph.Value // (n, classes)
	outR     graph.Value // (n·s, classes), or outP
	evidence GraphedEvidence
}

// gather makes the evidence.
func (v *graphed) gather(output graph.Value, hidden []graph.Value) {
	b, d := v.b, v.d
	n := b.Slice(b.Op("Shape", []graph.Value{v.rows.X}), 0, 0, 1)
	rebuilds := v.rows.Rebuilt != v.none
	split := func(y graph.Value) (p, q graph.Value) {
		if !rebuilds {
			return y, y
		}
		from, far, first := b.Ints(0), b.Ints(math.MaxInt64), b.Ints(0)
		p = b.Op("Slice", []graph.Value{y, from, n, first})
		return p, b.Op("Slice", []graph.Value{y, n, far, first})
	}
	v.outP, v.outR = split(output)
	k := d.info.NumClasses
	e := GraphedEvidence{Samples: d.samples, Classes: k, Size: d.input.Size(), Clip: d.o.Clip}
	e.X = b.Cast(b.Reshape(v.rows.X, -1, 1, e.Size), graph.Double)
	e.LogP = v.logP(v.outP, d.read, 1, k, 1)
	e.LogPT = e.LogP
	if d.o.Temperature != 1 {
		e.LogPT = v.logP(v.outP, d.read, d.o.Temperature, k, 1)
	}
	e.LogQ, e.ZQ = e.LogP, v.levels(v.outP, d.read, k, 1)
	if v.rows.Logits != v.none {
		e.LogQ, e.ZQ = v.logP(v.rows.Logits, d.read.Logits(), 1, k, 1), v.levels(v.rows.Logits, d.read.Logits(), k, 1)
	} else if rebuilds {
		e.LogQ, e.ZQ = v.logP(v.outR, d.read, 1, k, d.samples), v.levels(v.outR, d.read, k, d.samples)
		if d.read.Kind == sdk.Probabilities {
			e.ZQ = e.LogQ
		}
		e.Rebuilt = b.Cast(b.Reshape(v.rows.Rebuilt, -1, d.samples, e.Size), graph.Double)
	}
	for j, h := range d.o.Hidden {
		units := h.Kernel.Stride()
		logits := b.MatMul(b.Batch(hidden[j], h.Kernel.N()), b.Floats(h.Kernel.Data, h.Kernel.N(), units))
		p, q := split(logits)
		e.HiddenP = append(e.HiddenP, v.logP(p, d.read.Logits(), 1, units, 1))
		e.HiddenQ = append(e.HiddenQ, v.logP(q, d.read.Logits(), 1, units, d.samples))
		e.HiddenWeights = append(e.HiddenWeights, h.Weight)
	}
	v.evidence = e
}

// levels are logits, or ln max(p, Floor) of probabilities, (n, samples, k).
func (v *graphed) levels(out graph.Value, r oracle.Reading, k, samples int) graph.Value {
	wide := v.b.Cast(v.b.Reshape(out, -1, samples, k), graph.Double)
	if r.Kind == sdk.Probabilities {
		wide = v.b.Log(v.b.Max(wide, v.b.Number(graph.Double, oracle.Floor)))
	}
	return wide
}

// logP are log-probabilities as a detector keeps them, (n, samples, k).
func (v *graphed) logP(out graph.Value, r oracle.Reading, temperature float64, k, samples int) graph.Value {
	b := v.b
	l := v.levels(out, r, k, samples)
	if r.Kind != sdk.Probabilities {
		l = b.LogSoftmax(l)
	}
	if temperature != 1 {
		l = b.LogSoftmax(b.Div(l, b.Number(graph.Double, temperature)))
	}
	if r.Clip > 0 {
		l = b.Max(l, b.Number(graph.Double, math.Log(r.Clip)))
	}
	return l
}

// conclude flags and corrects.
func (v *graphed) conclude(st *state, scores []graph.Value) (r GraphedResult) {
	b, d := v.b, v.d
	raw := scores[0]
	if st.fusion != nil {
		raw = st.fusion.graph(b, scores)
	}
	r.Predicted = b.ArgMax(v.outP, -1)
	r.Reconstructed = r.Predicted
	if v.rows.Rebuilt != v.none {
		q := b.Exp(v.unclipped())
		mean := b.Sum(q, 1)
		r.Reconstructed = b.Where(v.rows.Lost, r.Predicted, b.ArgMax(mean, -1))
	}
	r.Score = raw
	own, values := st.ownThresholds(d.info.NumClasses)
	if own != nil {
		value := b.Number(graph.Double, st.Threshold.Value)
		moved := b.Add(b.Sub(raw, b.Gather(b.Doubles(values, len(values)), r.Predicted, 0)), value)
		r.Score = b.Where(b.Greater(b.Gather(b.Doubles(own, len(own)), r.Predicted, 0), b.Number(graph.Double, 0.5)), moved, raw)
		limits := make([]float64, len(own))
		for c := range limits {
			limits[c] = st.Threshold.Value
			if own[c] == 1 {
				limits[c] = values[c]
			}
		}
		r.Adversarial = b.Greater(raw, b.Gather(b.Doubles(limits, len(limits)), r.Predicted, 0))
	} else {
		r.Adversarial = b.Greater(raw, b.Number(graph.Double, st.Threshold.Value))
	}
	far := b.Op("IsNaN", []graph.Value{b.Sub(raw, raw)})
	if v.rows.Lost != v.none {
		far = b.Or(far, v.rows.Lost)
	}
	inf := b.Number(graph.Double, math.Inf(1))
	r.Score, r.Adversarial = b.Where(far, inf, r.Score), b.Or(far, r.Adversarial)
	if st.Scores != nil {
		r.PValue = st.graphPValue(b, b.Where(far, inf, raw), r.Predicted)
	}
	correct := r.Adversarial
	if c := st.Correction; c != nil && v.rows.Rebuilt != v.none {
		correct = b.Op("And", []graph.Value{correct, v.preferred(c, r)})
	}
	r.Corrected = b.Where(correct, r.Reconstructed, r.Predicted)
	return r
}

// preferred tells where the second opinion's margin is above the least of a
// Correction.
func (v *graphed) preferred(c *Correction, r GraphedResult) graph.Value {
	b := v.b
	l := b.Log(b.Sum(b.Exp(v.unclipped()), 1)) // (n, classes)
	margin := b.Sub(b.Pick(l, r.Reconstructed), b.Pick(l, r.Predicted))
	return b.Greater(margin, b.Gather(b.Doubles(c.Least, len(c.Least)), r.Predicted, 0))
}

// unclipped are ln Q without the clip, for the mean probability.
func (v *graphed) unclipped() graph.Value {
	r := v.d.read
	r.Clip = 0
	return v.logP(v.outR, r, 1, v.d.info.NumClasses, v.d.samples)
}

// ownThresholds tells for each class whether it has a threshold of its own, 1 or 0,
// and which; nil, nil if thresholds are not by class.
func (s *state) ownThresholds(classes int) (own, values []float64) {
	if s.Threshold.ByClass == nil {
		return nil, nil
	}
	own, values = make([]float64, classes), make([]float64, classes)
	for c, t := range s.Threshold.ByClass {
		if values[c] = t.Value; t.Own {
			own[c] = 1
		}
	}
	return own, values
}

// graphPValue is pValue, where one p-value is (1 + the calibration scores of at least the score)/(1 + n).
func (s *state) graphPValue(b *graph.Builder, score, predicted graph.Value) graph.Value {
	of := func(scores []float64) graph.Value {
		all := b.Doubles(scores, 1, len(scores))
		count := b.Sum(b.Cast(b.AtLeast(all, b.Unsqueeze(score, 1)), graph.Double), 1)
		return b.Div(b.Add(count, b.Number(graph.Double, 1)), b.Number(graph.Double, float64(len(scores)+1)))
	}
	all := of(s.Scores)
	p := all
	if s.byClass == nil {
		return p
	}
	for c, t := range s.Threshold.ByClass {
		if t.Own {
			own := of(s.byClass[c])
			if rule := s.Threshold.Rule; rule.ClassFPR != nil {
				scaled := b.Mul(b.Number(graph.Double, *rule.FPR), b.Div(own, b.Number(graph.Double, *rule.ClassFPR)))
				own = b.Op("Max", []graph.Value{all, scaled})
			}
			p = b.Where(b.Op("Equal", []graph.Value{predicted, b.Index(c)}), own, p)
		}
	}
	return p
}
