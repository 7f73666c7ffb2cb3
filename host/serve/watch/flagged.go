package watch

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/vaeguard/vaeguard/host"
	"github.com/vaeguard/vaeguard/host/serve/judge"
	"github.com/vaeguard/vaeguard/sdk/tensor"
)

// Flagged is a row that was flagged.
type Flagged struct {
	Time                                time.Time `json:"time"`
	Client                              string    `json:"client,omitempty"`
	Score                               float64   `json:"score"`
	Predicted, Reconstructed, Corrected string
	Shape                               []int     `json:"shape"`
	Row                                 []float32 `json:"row,omitempty"` // as the guard takes it; absent: too large
	Rebuilt                             []float32 `json:"rebuilt,omitempty"`
	Columns                             []string  `json:"columns,omitempty"`
	Low, High                           float32
}

// Rows are reconstructed for a person to look at, one at a time and now and then, so that an attack does not make the page
// the work, and beside the answers, which wait for nothing here.
const (
	rebuildRest = 200 * time.Millisecond // from one to the next
	rebuildTime = time.Second            // that one may wait for its turn and take
)

// keep puts a flagged row before the others, and gives it if it is to be reconstructed.
func (s *state) keep(e judge.Event, i int) *Flagged {
	r, x, d := e.Result, e.Request.Rows.X, e.Model.Detector()
	f := &Flagged{Time: e.Start, Client: e.Request.Client, Score: r.Score[i], Shape: x.Example().Clone(),
		Predicted: s.class(r.Predicted[i]), Reconstructed: s.class(r.Reconstructed[i]), Corrected: s.class(r.Corrected[i])}
	f.Low, f.High = rangeOf(d)
	if math.IsInf(f.Score, 0) {
		f.Score = math.MaxFloat64
	}
	s.last = append([]*Flagged{f}, s.last[:min(len(s.last), keptRows-1)]...)
	if x.Stride() > maxNumbers {
		return nil
	}
	f.Row = append(f.Row, x.Row(i)...)
	f.Columns = e.Request.Rows.Features
	if rows := r.Reconstruction; rows != nil {
		f.Rebuilt = shown(rows.Row(i))
		return nil
	}
	if s.rebuilding || time.Since(s.rebuilt) < rebuildRest {
		return nil
	}
	s.rebuilding = true
	return f
}

// reconstruct adds the reconstruction to a row, if there is one.
func (b *Board) reconstruct(s *state, f *Flagged, d *host.Detector) {
	ctx, cancel := context.WithTimeout(context.Background(), rebuildTime)
	defer cancel()
	x := tensor.Batch(1, f.Shape)
	copy(x.Data, f.Row)
	out, err := b.rebuild(ctx, d, x)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rebuilding, s.rebuilt = false, time.Now()
	if err == nil && out != nil { // else there is none to look at
		f.Rebuilt = shown(out.Data)
	}
}

// flaggedRows are copies of them as they are now; mu is locked.
func (s *state) flaggedRows() []Flagged {
	out := make([]Flagged, len(s.last))
	for i, f := range s.last {
		out[i] = *f
	}
	return out
}

// shown is a copy of a reconstruction; nil for one that is not finite, as of a row that is far out: JSON has no such numbers, and
// the page would show nothing at all.
func shown(row []float32) []float32 {
	for _, v := range row {
		if v-v != 0 {
			return nil
		}
	}
	return slices.Clone(row)
}
