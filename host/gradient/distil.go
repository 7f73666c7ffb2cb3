package gradient

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/vaeguard/vaeguard/host/dataset"
	"github.com/vaeguard/vaeguard/host/kernel"
	"github.com/vaeguard/vaeguard/host/oracle"
	"github.com/vaeguard/vaeguard/host/vae"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// The sizes of what the surrogate learns from.
const (
	maxBase     = 20000    // training rows
	minExamples = 8192     // with the noisy copies, of which there are as many as that takes …
	maxCopies   = 15       // … up to this
	maxHeld     = 2000     // held-out rows
	ringNumbers = 16 << 20 // of reconstructions that are kept, features counted
)

// base is the data that distillation asks about: training rows, each followed
// by noisy copies, and held-out rows, each followed by one.
type base struct {
	x, held *tensor.Tensor // clean rows
	copies  int            // noisy ones of each row of x
	out     *tensor.Tensor // answers: row e·(1+copies) is row e's, the next its copies'
	heldOut *tensor.Tensor // row 2e, and its copy
}

// newBase picks the rows. Without validation rows, a fifth of x is held out.
func newBase(o Options, classes int) (b *base, err error) {
	b = &base{}
	perm := func(n int) []int { return rand.New(rand.NewPCG(o.Seed, streamSplit)).Perm(n) }
	rows := perm(o.Train.N())
	if o.Validation != nil && o.Validation.N() > 0 {
		v := perm(o.Validation.N())
		b.held = o.Validation.Gather(v[:min(maxHeld, len(v))])
	} else {
		n := min(maxHeld, (len(rows)+4)/5)
		if b.held, err = dataset.Take(o.Train, rows[:n]); err != nil {
			return nil, fmt.Errorf("data.train: %w", err)
		}
		rows = rows[n:]
	}
	if b.x, err = dataset.Take(o.Train, rows[:min(maxBase, len(rows))]); err != nil {
		return nil, fmt.Errorf("data.train: %w", err)
	}
	b.copies = copiesOf(b.x.N(), o.Surrogate.Noise)
	b.out = tensor.New(b.x.N()*(1+b.copies), classes)
	b.heldOut = tensor.New(b.held.N()*2, classes)
	return b, nil
}

// fill writes example e of x and its copies.
func (s *Source) fill(b *base, e int, x []float32) {
	row, number := e/(1+b.copies), e%(1+b.copies)
	copy(x, b.x.Row(row))
	if number > 0 {
		s.disturb(x, streamNoise, uint64(e))
	}
}

// fillHeld writes held-out example e: row e/2, with noise if e is odd.
func (s *Source) fillHeld(b *base, e int, x []float32) {
	copy(x, b.held.Row(e/2))
	if e%2 == 1 {
		s.disturb(x, streamHeld, uint64(e))
	}
}

// disturb adds the noise of example e to x, within the legal range.
func (s *Source) disturb(x []float32, stream, e uint64) {
	noise := s.room(len(x))
	s.k.Normal(noise, kernel.Key{Seed: s.o.Seed, Stream: stream}, e*uint64(len(x)))
	for j, u := range noise {
		v := x[j]
		x[j] = s.f.clip(v+float32(float32(s.o.Surrogate.Noise)*s.f.spread[j])*u, v, j)
	}
}

func (s *Source) room(n int) []float32 {
	if len(s.noise) < n {
		s.noise = make([]float32, n)
	}
	return s.noise[:n]
}

// Refused is a way to gradients that cannot be taken. Its text says why and
// what would change that.
type Refused struct{ Reason string }

// Error is the reason.
func (e *Refused) Error() string { return e.Reason }

// distil asks, fits, and holds the result against MinAgreement.
func (s *Source) distil(ctx context.Context) error {
	classes := s.info.NumClasses
	var err error
	if s.sur, err = newSurrogate(s.k, s.info.InputShape, classes, s.o.Surrogate.Layers, s.o.Seed); err != nil {
		var part *vae.PartError
		if errors.As(err, &part) {
			err = part.Err
		}
		return fmt.Errorf("classifier.surrogate.layers: %w", err)
	}
	b, err := newBase(s.o, classes)
	if err != nil {
		return err
	}
	if b.x.N() < 2 || b.held.N() < 2 {
		s.sur = nil
		return &Refused{fmt.Sprintf("surrogate: %d rows of data.train are too few to learn from", s.o.Train.N())}
	}
	s.base = b
	total := b.out.N() + b.heldOut.N()
	if max := int64(s.o.Surrogate.MaxQueries); max > 0 && s.report.Queries.Total()+int64(total) > max {
		s.sur, s.base = nil, nil
		return fmt.Errorf("classifier.surrogate.max_queries is %d: the surrogate alone asks for %d rows (%d of data.train with %d noisy copies each, %d held-out ones with one each): raise it, or give fewer rows",
			max, total, b.x.N(), b.copies, b.held.N())
	}
	if err := s.consult(ctx, b, total); err != nil {
		s.sur, s.base = nil, nil
		return err
	}
	s.remember(b)
	s.floor = floorOf(s.info.Output, b.out.Data)
	s.sur.notice(s.floor)
	s.fit(b)
	s.judge(b)
	if got, want := s.report.HeldOut.Agreement, s.o.Surrogate.MinAgreement; got < want {
		reason := fmt.Sprintf("surrogate: it agrees with the classifier on %.3f of %d held-out rows (mean KL %.3g), below classifier.surrogate.min_agreement %.3g: give it more data.train rows, larger layers or more epochs, or lower the floor",
			got, b.held.N(), s.report.HeldOut.KL, want)
		s.sur, s.base = nil, nil
		s.report.HeldOut, s.report.Noisy = nil, nil
		return &Refused{reason}
	}
	s.ring.plan(s.ringRows(), s.info.InputShape, classes)
	return nil
}

// ringRows is how many reconstructions are kept: those of two epochs, in
// bounded memory.
func (s *Source) ringRows() int {
	n := max(1024, 2*s.o.Train.N())
	return max(256, min(n, ringNumbers/s.info.InputShape.Size()))
}

// consult fills in the answers.
func (s *Source) consult(ctx context.Context, b *base, total int) error {
	const batch = 512
	x := tensor.Batch(batch, s.info.InputShape)
	done := 0
	all := func(out *tensor.Tensor, fill func(*base, int, []float32)) error {
		for lo := 0; lo < out.N(); lo += batch {
			n := min(batch, out.N()-lo)
			for i := range n {
				fill(b, lo+i, x.Row(i))
			}
			y, err := s.ask(ctx, x.Rows(0, n), &s.report.Queries.Gradients)
			if err != nil {
				return err
			}
			copy(out.Rows(lo, lo+n).Data, y.Data)
			done += n
			s.tell(Event{Stage: StageAsk, Done: done, Total: total})
		}
		return nil
	}
	if err := all(b.out, s.fill); err != nil {
		return err
	}
	return all(b.heldOut, s.fillHeld)
}

// floorOf is what is added to probabilities in logarithms: half the least one
// seen, where the classifier also gives zeros, as forests do.
func floorOf(kind sdk.OutputKind, out []float32) float64 {
	least, zeros := float32(1), false
	for _, v := range out {
		if v > 0 {
			least = min(least, v)
		} else {
			zeros = true
		}
	}
	if kind != sdk.Probabilities || !zeros {
		return oracle.Floor
	}
	return float64(max(float32(oracle.Floor), min(least/2, .01))) // as a detector keeps it
}

// remember keeps the answers on clean rows for the trainer, and counts them as
// its own.
func (s *Source) remember(b *base) {
	for e := range b.x.N() {
		s.memo.add(b.x.Row(e), b.out.Row(e*(1+b.copies)))
	}
	for e := range b.held.N() {
		s.memo.add(b.held.Row(e), b.heldOut.Row(2*e))
	}
}

// fit makes the passes of distillation.
func (s *Source) fit(b *base) {
	n := b.out.N()
	for epoch := range s.o.Surrogate.Epochs {
		order := s.order(streamOrder, n)
		s.sur.epoch(s.f, order, func(e int, x, y []float32) {
			s.fill(b, e, x)
			copy(y, b.out.Row(e))
		}, s.info.Output, s.o.Seed, func(step, of int) float64 {
			t := (float64(epoch) + float64(step)/float64(of)) / float64(s.o.Surrogate.Epochs)
			return rateLast + (rateFirst-rateLast)*(1+math.Cos(math.Pi*t))/2
		})
		s.tell(Event{Stage: StageFit, Done: epoch + 1, Total: s.o.Surrogate.Epochs})
	}
}

// order is the next permutation of n examples.
func (s *Source) order(stream uint64, n int) []int {
	s.sur.orders++
	return rand.New(rand.NewPCG(s.o.Seed, stream+uint64(s.sur.orders))).Perm(n)
}

// judge measures fidelity on held-out rows.
func (s *Source) judge(b *base) {
	on := func(odd int) *Fidelity {
		return s.sur.measure(s.f, b.held.N(), func(e int, x, y []float32) {
			s.fillHeld(b, 2*e+odd, x)
			copy(y, b.heldOut.Row(2*e+odd))
		}, s.info.Output)
	}
	s.report.HeldOut, s.report.Noisy = on(0), on(1)
}

// follow makes a step of the surrogate's on what a step of the detector's has
// asked about and on as many examples of its own: the detector moves to where
// the surrogate is wrong, and faster than a refit at the end of the epoch could
// follow.
func (s *Source) follow(a answer) {
	n, own := a.x.N(), s.base.out.N()
	s.sur.wake()
	for lo := 0; lo < n; lo += fitBatch / 2 {
		m := min(fitBatch/2, n-lo)
		order := s.recent[:0]
		for i := range m {
			order = append(order, own+lo+i)
		}
		for i := range m {
			order = append(order, int(hashNumbers(s.o.Seed, uint64(s.sur.steps), uint64(i))%uint64(own)))
		}
		s.recent = order
		s.sur.epoch(s.f, order, func(e int, x, y []float32) {
			if e >= own {
				copy(x, a.x.Row(e-own))
				copy(y, a.y.Row(e-own))
				return
			}
			s.fill(s.base, e, x)
			copy(y, s.base.out.Row(e))
		}, s.info.Output, s.o.Seed, func(int, int) float64 { return rateRefit })
	}
}

// Epoch implements train.Companion: the surrogate is refitted on the
// reconstructions that were asked about in the epoch, which costs no query,
// and on as many of its first examples. epoch counts from 1.
func (s *Source) Epoch(ctx context.Context, epoch int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sur == nil || s.o.Surrogate.RefitEvery == 0 || epoch%s.o.Surrogate.RefitEvery != 0 || s.ring.count == 0 {
		return ctx.Err()
	}
	fresh := s.ring.fresh
	s.report.Rebuilt = s.sur.measure(s.f, fresh, func(e int, x, y []float32) {
		at := s.ring.at(s.ring.count - fresh + e)
		copy(x, s.ring.x.Row(at))
		copy(y, s.ring.y.Row(at))
	}, s.info.Output)
	n := s.ring.count
	order := s.order(streamRefit, s.base.out.N())[:min(n, s.base.out.N())]
	for i := range n {
		order = append(order, s.base.out.N()+i)
	}
	r := rand.New(rand.NewPCG(s.o.Seed, streamRefit^uint64(epoch)<<8))
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	s.sur.epoch(s.f, order, func(e int, x, y []float32) {
		if e < s.base.out.N() {
			s.fill(s.base, e, x)
			copy(y, s.base.out.Row(e))
			return
		}
		at := s.ring.at(e - s.base.out.N())
		copy(x, s.ring.x.Row(at))
		copy(y, s.ring.y.Row(at))
	}, s.info.Output, s.o.Seed, func(int, int) float64 { return rateRefit })
	s.ring.fresh = 0
	s.judge(s.base)
	s.report.Refits++
	e := Event{Stage: StageRefit, Epoch: epoch, Fidelity: s.report.HeldOut, Rebuilt: s.report.Rebuilt}
	if got := s.report.HeldOut.Agreement; got < s.o.Surrogate.MinAgreement {
		e.Warning = true
		e.Message = fmt.Sprintf("after the refit of epoch %d the surrogate agrees with the classifier on %.3f of held-out rows, below classifier.surrogate.min_agreement %.3g", epoch, got, s.o.Surrogate.MinAgreement)
	}
	s.tell(e)
	return ctx.Err()
}
