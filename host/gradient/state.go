package gradient

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/vaeguard/vaeguard/host/nn"
	"github.com/vaeguard/vaeguard/sdk"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// progress is the part of a state that is not a tensor.
type progress struct {
	Report Report  `json:"report"`
	Floor  float64 `json:"floor"`
	Steps  int     `json:"steps"`  // of the surrogate
	Orders int     `json:"orders"` // drawn for it
	Next   int     `json:"next"`   // of the ring
	Count  int     `json:"count"`
	Fresh  int     `json:"fresh"`
}

// The names of a state's tensors.
const (
	tensorWeights = "weights/"
	tensorMean    = "adam_m/"
	tensorSquare  = "adam_v/"
	tensorOut     = "answers"
	tensorHeld    = "answers_held"
	tensorRingX   = "rebuilt_x"
	tensorRingY   = "rebuilt_answers"
)

// State implements train.Companion: all that a resumed training needs. It
// shares nothing with the Source.
func (s *Source) State() (json.RawMessage, map[string]*tensor.Tensor, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := progress{Report: s.report, Floor: s.floor, Next: s.ring.next, Count: s.ring.count, Fresh: s.ring.fresh}
	out := map[string]*tensor.Tensor{}
	if s.sur != nil {
		p.Steps, p.Orders = s.sur.steps, s.sur.orders
		s.sur.wake()
		for i, w := range s.sur.net.Params() {
			out[tensorWeights+w.Name] = w.Value.Clone()
			if w.Role == nn.Weight {
				shape := w.Value.Shape
				out[tensorMean+w.Name] = tensor.From(slices.Clone(s.sur.m[i]), shape...)
				out[tensorSquare+w.Name] = tensor.From(slices.Clone(s.sur.v[i]), shape...)
			}
		}
		out[tensorOut], out[tensorHeld] = s.base.out.Clone(), s.base.heldOut.Clone()
		if n := s.ring.count; n > 0 {
			out[tensorRingX], out[tensorRingY] = s.ring.x.Rows(0, n).Clone(), s.ring.y.Rows(0, n).Clone()
		}
	}
	text, err := json.Marshal(p)
	return text, out, err
}

// Restore implements train.Companion: it takes over the state of a Source with
// equal options. Nothing is asked or fitted again.
func (s *Source) Restore(text json.RawMessage, tensors map[string]*tensor.Tensor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var p progress
	if err := json.Unmarshal(text, &p); err != nil {
		return fmt.Errorf("checkpoint: gradient: %w", err)
	}
	s.report, s.floor = p.Report, p.Floor
	if p.Report.Kind != Surrogate {
		return nil
	}
	sur, err := newSurrogate(s.k, s.info.InputShape, s.info.NumClasses, s.o.Surrogate.Layers, s.o.Seed)
	if err != nil {
		return err
	}
	sur.notice(s.floor)
	b, err := newBase(s.o, s.info.NumClasses)
	if err != nil {
		return err
	}
	sur.wake()
	want := map[string]*tensor.Tensor{tensorOut: b.out, tensorHeld: b.heldOut}
	for i, w := range sur.net.Params() {
		want[tensorWeights+w.Name] = w.Value
		if w.Role == nn.Weight {
			want[tensorMean+w.Name] = tensor.From(sur.m[i], w.Value.Shape...)
			want[tensorSquare+w.Name] = tensor.From(sur.v[i], w.Value.Shape...)
		}
	}
	var r ring
	r.plan(s.ringRows(), s.info.InputShape, s.info.NumClasses)
	if p.Count < 0 || p.Count > r.x.N() || p.Next < 0 || p.Next >= r.x.N() || p.Fresh < 0 || p.Fresh > p.Count {
		return fmt.Errorf("checkpoint: gradient: %d reconstructions at %d, there is room for %d", p.Count, p.Next, r.x.N())
	}
	if p.Count > 0 {
		want[tensorRingX], want[tensorRingY] = r.x.Rows(0, p.Count), r.y.Rows(0, p.Count)
	}
	for name, into := range want {
		t := tensors[name]
		if t == nil || !t.Shape.Equal(into.Shape) {
			return fmt.Errorf("checkpoint: gradient: tensor %q is missing or not %v", name, into.Shape)
		}
		copy(into.Data, t.Data)
	}
	sur.steps, sur.orders = p.Steps, p.Orders
	r.next, r.count, r.fresh = p.Next, p.Count, p.Fresh
	s.sur, s.base, s.ring, s.memo = sur, b, r, memo{}
	s.remember(b)
	return nil
}

// Saved is what a detector keeps of a Source, so that attacks on it have the
// same gradients: tensors by name, with the prefix SavedPrefix. Nil before
// Prepare.
func (s *Source) Saved() map[string]*tensor.Tensor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.report.Kind == "" {
		return nil
	}
	vector := func(v []float32) *tensor.Tensor { return tensor.From(slices.Clone(v), len(v)) }
	out := map[string]*tensor.Tensor{
		savedSpread: vector(s.f.spread), savedScale: vector(s.f.scale), savedOffset: vector(s.f.offset),
		savedFloor: tensor.From([]float32{float32(s.floor)}, 1),
	}
	if s.sur != nil {
		for _, w := range s.sur.net.Params() {
			out[SavedPrefix+w.Name] = w.Value.Clone()
		}
	}
	return out
}

// SavedPrefix begins the names of all that Saved gives.
const SavedPrefix = "gradient."

const (
	savedSpread = SavedPrefix + "spread"
	savedScale  = SavedPrefix + "scale"
	savedOffset = SavedPrefix + "offset"
	savedFloor  = SavedPrefix + "floor"
)

// Reopen makes the Source of a saved detector: its surrogate's layers, o.Seed
// and o.Threads are those that it was made with, the rest comes from its report and what
// Saved gave. It is frozen, and asks nothing by itself.
func Reopen(ctx context.Context, c sdk.Classifier, o Options, r Report, saved map[string]*tensor.Tensor) (*Source, error) {
	s, err := newSource(ctx, c, Options{Section: Section{Kind: r.Kind, Surrogate: o.Surrogate}, Layers: o.Layers, Seed: o.Seed, Threads: o.Threads})
	if err != nil {
		return nil, err
	}
	if err := s.reopen(r, saved); err != nil {
		s.k.Close()
		return nil, err
	}
	s.frozen.Store(true)
	return s, nil
}

func (s *Source) reopen(r Report, saved map[string]*tensor.Tensor) error {
	s.report = r
	d := s.info.InputShape.Size()
	s.f = &frame{}
	s.f.bound(s.info)
	for name, into := range map[string]*[]float32{savedSpread: &s.f.spread, savedScale: &s.f.scale, savedOffset: &s.f.offset} {
		t := saved[name]
		if t == nil || len(t.Data) != d {
			return fmt.Errorf("tensor %q is missing or not of %d numbers", name, d)
		}
		*into = t.Data
	}
	if t := saved[savedFloor]; t != nil && len(t.Data) == 1 {
		s.floor = float64(t.Data[0])
	}
	if r.Kind != Surrogate {
		return nil
	}
	var err error
	if s.sur, err = newSurrogate(s.k, s.info.InputShape, s.info.NumClasses, s.o.Surrogate.Layers, s.o.Seed); err != nil {
		return err
	}
	weights := map[string]*tensor.Tensor{}
	for name, t := range saved {
		switch name {
		case savedSpread, savedScale, savedOffset, savedFloor:
		default:
			weights[strings.TrimPrefix(name, SavedPrefix)] = t
		}
	}
	return s.sur.net.Load(weights)
}
