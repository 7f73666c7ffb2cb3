package gradient

import (
	"math"

	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/train"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Streams of random numbers.
const (
	streamPairs = 0x6772_0000_0000_0000 + iota<<40
	streamNoise // on queries
	streamHeld  // on held-out queries
	streamSplit // which rows are held out
	streamOrder // of examples in an epoch
	streamRefit // of examples in a refit
)

// surrogate is the small network: a student of the classifier on standardised
// inputs, with what its training needs.
type surrogate struct {
	k   *kernel.Engine
	net *vae.Student

	learn   *nn.Workspace // nil at rest
	grads   *nn.Grads
	m, v    [][]float32 // Adam's
	steps   int         // made so far
	kl      *train.Divergence
	least   float64        // log-probability that match tells from smaller ones
	x, p    *tensor.Tensor // a batch: inputs in the classifier's units, log-probabilities
	dy      *tensor.Tensor
	logp    []float64
	example []uint64

	infer  *nn.Workspace
	unit   *tensor.Tensor // standardised inputs
	dz     *tensor.Tensor
	orders int // epochs drawn so far
}

// fitBatch is the batch size of fitting, passBatch of passes.
const (
	fitBatch  = 64
	passBatch = 256
)

// Adam's constants, and its learning rate at the start of distillation, at its
// end and in refits.
const (
	beta1, beta2 = 0.9, 0.999
	rateFirst    = 2e-3
	rateLast     = 1e-4
	rateRefit    = 5e-4
)

func newSurrogate(k *kernel.Engine, in tensor.Shape, classes int, layers []nn.Maker, seed uint64) (*surrogate, error) {
	net, err := vae.BuildStudent(in, layers, classes, seed)
	if err != nil {
		return nil, err
	}
	return &surrogate{
		k: k, least: leastLog, net: net, kl: train.NewDivergence(sdk.Logits, 1, 0), logp: make([]float64, classes),
		infer: nn.NewWorkspace(k, net.Net, passBatch, nn.Inference),
		unit:  tensor.Batch(passBatch, in), dz: tensor.New(passBatch, classes),
	}, nil
}

// notice takes the floor of probabilities over.
func (s *surrogate) notice(floor float64) { s.least = max(leastLog, math.Log(floor)) }

// wake takes the memory of fitting, unless it is there.
func (s *surrogate) wake() {
	if s.learn != nil {
		return
	}
	s.learn = nn.NewWorkspace(s.k, s.net.Net, fitBatch, nn.Training)
	s.learn.ParamsOnly = true
	s.grads = nn.NewGrads(s.net.Params())
	for _, p := range s.net.Params() {
		s.m, s.v = append(s.m, make([]float32, len(p.Value.Data))), append(s.v, make([]float32, len(p.Value.Data)))
	}
	s.x, s.p, s.dy = tensor.Batch(fitBatch, s.net.Input), tensor.New(fitBatch, s.net.Classes), tensor.New(fitBatch, s.net.Classes)
	s.example = make([]uint64, fitBatch)
}

// rest gives the memory of fitting back.
func (s *surrogate) rest() {
	s.learn, s.grads, s.m, s.v, s.x, s.p, s.dy = nil, nil, nil, nil, nil, nil, nil
}

// standardise writes x in the network's units.
func (s *surrogate) standardise(f *frame, x *tensor.Tensor) *tensor.Tensor {
	u := s.unit.Rows(0, x.N())
	s.k.ScaleColumns(u.Data, x.Data, f.scale, f.offset)
	return u
}

// logits of up to passBatch rows, valid until the next call.
func (s *surrogate) logits(f *frame, x *tensor.Tensor) *tensor.Tensor {
	return s.net.Net.Forward(s.infer, s.standardise(f, x))
}

// pull is the surrogate's gradient at x for the cotangent dy of the
// classifier's answer y.
func (s *surrogate) pull(f *frame, x, y, dy *tensor.Tensor, kind sdk.OutputKind) *tensor.Tensor {
	dx := tensor.Batch(x.N(), x.Example())
	for lo := 0; lo < x.N(); lo += passBatch {
		hi := min(lo+passBatch, x.N())
		z := s.logits(f, x.Rows(lo, hi))
		dz := s.dz.Rows(0, hi-lo)
		for i := range hi - lo {
			atLogits(dz.Row(i), z.Row(i), y.Row(lo+i), dy.Row(lo+i), kind)
		}
		du := s.net.Net.Backward(s.infer, dz, nil)
		out := dx.Rows(lo, hi)
		for i := range hi - lo {
			row := out.Row(i)
			for j, v := range du.Row(i) {
				row[j] = v * f.scale[j]
			}
		}
	}
	return dx
}

// fill writes example i of what is learnt from, its input and the classifier's
// answer.
type fillExample func(i int, x, y []float32)

// epoch makes a pass over examples in the given order. rate is that of a step
// of the pass.
func (s *surrogate) epoch(f *frame, order []int, fill fillExample, kind sdk.OutputKind, seed uint64, rate func(step, of int) float64) {
	s.wake()
	of := (len(order) + fitBatch - 1) / fitBatch
	for step := range of {
		rows := order[step*fitBatch : min((step+1)*fitBatch, len(order))]
		n := len(rows)
		x, p := s.x.Rows(0, n), s.p.Rows(0, n)
		for i, r := range rows {
			fill(r, x.Row(i), p.Row(i))
			s.logarithm(p.Row(i), kind)
			s.example[i] = uint64(r)
		}
		s.step(f, x, p, seed, rate(step, of))
	}
}

// logarithm turns a row of outputs into log-probabilities.
func (s *surrogate) logarithm(y []float32, kind sdk.OutputKind) {
	oracle.LogProbabilities(s.logp, y, kind, 1)
	for c, l := range s.logp {
		y[c] = float32(l)
	}
}

// step makes a step of Adam on KL(p ‖ surrogate), p log-probabilities.
func (s *surrogate) step(f *frame, x, p *tensor.Tensor, seed uint64, rate float64) {
	n := x.N()
	s.grads.Zero()
	s.learn.Draw = nn.Draw{Seed: seed ^ streamRefit, Step: uint64(s.steps), Examples: s.example[:n]}
	q := s.net.Net.Forward(s.learn, s.standardise(f, x))
	dy := s.dy.Rows(0, n)
	clear(dy.Data)
	for i := range n {
		s.kl.Row(p.Row(i), q.Row(i), dy.Row(i), 1/float64(n))
		match(dy.Row(i), p.Row(i), q.Row(i), s.least, matchWeight/float64(n))
	}
	s.net.Net.Backward(s.learn, dy, s.grads)
	s.grads.Penalty(s.k)
	s.steps++
	t := float64(s.steps)
	a := kernel.AdamStep{Beta1: beta1, Beta2: beta2, Eps: 1e-7,
		Rate: float32(rate * math.Sqrt(1-math.Pow(beta2, t)) / (1 - math.Pow(beta1, t)))}
	for i, w := range s.net.Params() {
		if w.Role == nn.Weight {
			s.k.Adam(w.Value.Data, s.grads.Of(w).Data, s.m[i], s.v[i], a)
		}
	}
	s.grads.ApplyStatistics(s.k)
}

// matchWeight is the weight of match relative to the divergence.
const matchWeight = 0.1

// match adds weight times the gradient at logits q of ½·Σ(q − p)², both less
// their means. The divergence alone leaves the logits of improbable classes to
// chance, and with them the way to those classes, which is what an attack or a
// guard that has gone wrong asks for.
func match(dq, p, q []float32, least, weight float64) {
	mp, mq := 0.0, 0.0
	for c := range p {
		mp += max(float64(p[c]), least)
		mq += float64(q[c])
	}
	mp, mq = mp/float64(len(p)), mq/float64(len(p))
	for c := range p {
		dq[c] += float32(weight * ((float64(q[c]) - mq) - (max(float64(p[c]), least) - mp)))
	}
}

// leastLog bounds surrogate.least.
const leastLog = -16

// measure compares the surrogate with the classifier's answers on n rows.
func (s *surrogate) measure(f *frame, n int, fill fillExample, kind sdk.OutputKind) *Fidelity {
	out := &Fidelity{N: n}
	rows, same := make([]int, s.net.Classes), make([]int, s.net.Classes)
	x, p := tensor.Batch(min(n, passBatch), s.net.Input), tensor.New(min(n, passBatch), s.net.Classes)
	for lo := 0; lo < n; lo += passBatch {
		m := min(passBatch, n-lo)
		for i := range m {
			fill(lo+i, x.Row(i), p.Row(i))
			s.logarithm(p.Row(i), kind)
		}
		z := s.logits(f, x.Rows(0, m))
		for i := range m {
			kl, _ := s.kl.Row(p.Row(i), z.Row(i), nil, 0)
			out.KL += kl
			top := oracle.Argmax(p.Row(i))
			rows[top]++
			if top == oracle.Argmax(z.Row(i)) {
				out.Agreement++
				same[top]++
			}
		}
	}
	present := 0
	for c, k := range rows {
		out.Majority = max(out.Majority, float64(k)/float64(n))
		if k > 0 {
			out.Balanced += float64(same[c]) / float64(k)
			present++
		}
	}
	out.Balanced /= float64(max(1, present))
	out.Agreement /= float64(n)
	out.KL /= float64(n)
	return out
}
